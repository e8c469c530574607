"""Gradient estimators side by side: bias, variance and time of their gradients, and a short training with each.

    python benchmarks/estimators.py --run RUN [--estimators vimco rloo] [--seeds 2] [--steps 300] [--json]

On the validation classes, at an early checkpoint (a small network trained for a few steps on made-up characters, with
the entropy of q(a|x) still high) and at that of RUN; then a short training of the small network with each. The first
estimator is the one that the others are set beside. One thread, and its own time, so that other processes disturb the
timings less.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from vmacli.allocator import keep_freed_memory
from vmacore.bench.estimator_training import MANY, Comparison, Reached, compare_training
from vmacore.bench.estimators import GROUPS, Bias, CheckpointQuality, gradient_quality, step_seconds
from vmacore.config import Config, load_recipe
from vmacore.data import load_dataset
from vmacore.data.characters import Dataset
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.estimators import ESTIMATORS
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model
from vmacore.training.loop import prepare, train

# The glyphs recipe with a smaller network and 4 classes an episode: B = 16 targets, 16 slots.
SMALL = (
    "model.channels=[8, 8, 12, 16, 16, 16]",
    "model.hidden=64",
    "model.latent=16",
    "model.embedding=32",
    "episode.classes=4",
    "training.validate_every=1000000",  # only where training is looked at
    "training.checkpoint_every=1000000",
    "training.validation_episodes=16",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="a trained few-shot run, or shipped weights")
    parser.add_argument(
        "--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS), metavar="NAME", help="left out: all"
    )
    parser.add_argument("--seeds", type=int, default=2, help="episodes at a checkpoint, and trainings")
    parser.add_argument("--steps", type=int, default=300, help="of the short training")
    parser.add_argument("--early", type=int, default=100, help="steps to the early checkpoint")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("VMA_DATA", "data")))
    parser.add_argument("--runs-dir", type=Path, default=Path(os.environ.get("VMA_RUNS", "runs")))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        document = _measured(options)
    except VmaError as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps(document, default=asdict, indent=1))
    else:
        _print(document)


def _measured(options: argparse.Namespace) -> dict:
    names = list(dict.fromkeys(options.estimators))
    small = load_recipe("glyphs").with_overrides(SMALL)
    glyphs = load_dataset("glyphs")
    location = find_run(options.run, runs_dir=options.runs_dir)
    trained = location.config
    data = load_dataset(trained.data.dataset, protocol=trained.data.protocol, data_dir=options.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "early", prepare(small, glyphs))
        train(run, glyphs, steps=options.early)
        early = find_run(run.path, runs_dir=Path(folder))
        first, seconds = _checkpoint("early", load_model(early, weights="raw"), small, glyphs, names, options.seeds)
        second, _ = _checkpoint("trained", load_model(location), trained, data, names, options.seeds)
        training = compare_training(
            small,
            glyphs,
            names,
            Path(folder),
            steps=options.steps,
            seconds=seconds,
            seeds=options.seeds,
            progress=lambda name, seed: print(f"training with {name}, seed {seed}", file=sys.stderr, flush=True),
        )
    return {
        "command": "benchmarks/estimators.py",
        "early_step": options.early,
        "run": location.run,
        "step": location.step,
        "dataset": f"{data.name} {data.protocol}",
        "seeds": options.seeds,
        "samples": {"early": small.objective.samples, "trained": trained.objective.samples},
        "temperature": small.objective.changed(estimator="gumbel").temperature,
        "torch": torch.__version__,
        "early": first,
        "trained": second,
        "training": training,
    }


def _checkpoint(
    label: str, model: torch.nn.Module, config: Config, data: Dataset, names: list[str], seeds: int
) -> tuple[CheckpointQuality, dict[str, float]]:
    if not isinstance(model, VariationalMemoryAddressing):
        raise VmaError("--run needs a model that draws addresses")
    characters, episode = data.validation.binarised(config.data.seed), config.episode
    sampler = EpisodeSampler(characters, n_way=episode.classes, n_shot=episode.shots, n_target=episode.targets, seed=0)
    episodes = [sampler.at(index) for index in range(seeds)]
    seconds = step_seconds(model, episodes[0], config.objective, names)
    quality = gradient_quality(
        model,
        episodes,
        config.objective,
        names,
        seconds=seconds,
        progress=lambda name: print(f"{label} checkpoint: {name}", file=sys.stderr, flush=True),
    )
    return quality, seconds


def _print(document: dict) -> None:
    console = Console(width=150)
    titles = {
        "early": f"Early: made-up characters, a small network after {document['early_step']} steps",
        "trained": f"Trained: {document['run']}, {document['dataset']}, {document['step']} steps",
    }
    for name, title in titles.items():
        quality: CheckpointQuality = document[name]
        title += f"; entropy of q(a|x) {quality.entropy:.2f} nats, K = {document['samples'][name]}"
        table = Table(title=f"{title}\nbias: |E g − reference| / |reference|")
        columns = [f"{to}: {group}" for to in ("own objective", "K-sample bound", "ELBO") for group in GROUPS]
        _columns(table, "estimator", "objective", *columns)
        for one in quality.estimators:
            biases = [one.bias[to][group] for to in ("own", "bound", "ELBO") for group in GROUPS]
            table.add_row(one.estimator, one.objective, *map(_bias, biases))
        console.print(table)
        table = Table(
            title="noise: variance / |E g|² of a step, and at equal time as a multiple of that of "
            f"{quality.estimators[0].estimator}"
        )
        _columns(table, "estimator", "objective", "ms a step", *GROUPS, *(f"equal time: {group}" for group in GROUPS))
        for one in quality.estimators:
            relative = one.noise_at_equal_time(quality.estimators[0])
            noise = [_noise(one.noise[group]) for group in GROUPS] + [_noise(relative[group]) for group in GROUPS]
            table.add_row(one.estimator, one.objective, f"{one.seconds * 1e3:.0f}", *noise)
        console.print(table)
    training: Comparison = document["training"]
    for title, rows in (("equal steps", training.equal_steps), ("equal time", training.equal_time)):
        table = Table(
            title=f"Short training after {title}: validation, averaged weights, means of {document['seeds']} seeds; "
            f"difference of NLL at K = {MANY} to {rows[0].estimator}, paired by seed, ± its standard error"
        )
        _columns(table, "estimator", "steps", "NLL, K = 4", f"NLL, K = {MANY}", "difference", "KL_a", "5-way 1-shot, %")
        for row in rows:
            table.add_row(*_reached(row))
        console.print(table)


def _columns(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="left" if name in ("estimator", "objective") else "right")


def _bias(bias: Bias) -> str:
    if bias.value:
        return f"{bias.value:.2f}"
    return f"< {max(bias.at_most, 0.01):.2f}" if bias.at_most else "0"


def _noise(noise: float) -> str:
    return f"{noise:.3f}" if noise < 0.1 else f"{noise:.2f}" if noise < 10 else f"{noise:.0f}"


def _reached(row: Reached) -> list[str]:
    return [
        row.estimator,
        str(row.steps),
        f"{row.nll:.2f}",
        f"{row.nll_many:.2f}",
        f"{row.difference:+.2f} ± {row.difference_se:.2f}",
        f"{row.kl_address:.2f}",
        f"{100 * row.accuracy:.1f}",
    ]


if __name__ == "__main__":
    main()
