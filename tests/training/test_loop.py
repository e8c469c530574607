"""Training on a small data set: it learns, and stops where it must."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from tests.small_runs import DATASET, create_run, files_of, metrics_of
from vmacore.config import Config
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import Score, score_episodes
from vmacore.runs.directory import MOMENTS, WEIGHTS, RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import build_model, load_model, read_tensors
from vmacore.training import trainer
from vmacore.training.loop import StepReport, ValidationReport, prepare, train
from vmacore.training.start import Start

# It learns


NETWORKS: dict[str, dict[str, Any]] = {
    "convolutional": {},
    "fully-connected": {"network": "fully-connected", "layers": (24, 16)},
    "residual": {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2)},
}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_loss_falls(tmp_path: Path, network: str) -> None:
    run = create_run(
        tmp_path / "run",
        model=NETWORKS[network],
        training={"steps": 160, "metrics_every": 10, "checkpoint_every": 1000},
    )
    reports: list[StepReport] = []
    summary = train(run, DATASET, on_step=reports.append)
    assert [report.step for report in reports] == list(range(10, 161, 10))
    assert reports[-1].nll < 0.88 * reports[0].nll
    # 64 fair coins are 44 nats.
    assert 35 < reports[0].nll < 60
    assert (summary.step, summary.interrupted, summary.nll) == (160, False, reports[-1].nll)
    assert summary.run == run.path


@pytest.mark.parametrize("network", ["convolutional", "fully-connected"])
def test_learned_memory_trains(tmp_path: Path, network: str) -> None:
    size = {"slot": 10} if network == "fully-connected" else {}
    run = create_run(tmp_path / "run", model={**NETWORKS[network], "learned_slots": 6, **size})
    validations: list[ValidationReport] = []
    start = build_model(run.config).learned_memory
    train(run, DATASET, on_validation=validations.append)
    trained = load_model(find_run(run.path, runs_dir=tmp_path), weights="raw").learned_memory
    assert start is not None
    assert trained is not None
    assert trained().shape == ((6, 1, 8, 8) if network == "convolutional" else (6, 10))
    assert bool((trained() - start()).detach().flatten(1).abs().amax(1).gt(1e-3).all())
    assert validations[-1].accuracy is None  # slots have no class
    assert math.isfinite(validations[-1].nll)


def test_decay_spares_learned_slots(tmp_path: Path) -> None:
    """In the first step, decay changes what Adam does to every weight, and nothing of what it does to the slots."""
    tensors = []
    for name, decay in (("without", 0.0), ("with", 1e3)):
        sections: dict[str, Any] = {
            "model": {"learned_slots": 6},
            "optimiser": {"weight_decay": decay},
            "training": {"steps": 1},
        }
        train(create_run(tmp_path / name, **sections), DATASET)
        tensors.append(load_model(find_run(tmp_path / name, runs_dir=tmp_path), weights="raw").state_dict())
    without, decayed = tensors
    same = {name for name in without if without[name].equal(decayed[name])}
    assert "learned_memory.slots" in same
    assert not any(name.endswith(".weight") for name in same)  # biases start at zero


def test_bfloat16_trains_nearly_as_float32(tmp_path: Path) -> None:
    """Networks run in bfloat16; weights, addresses and densities stay in float32."""
    nll = {}
    for precision in ("highest", "bfloat16"):
        training = {"steps": 40, "metrics_every": 40, "precision": precision}
        run = create_run(tmp_path / precision, model=NETWORKS["residual"], training=training)
        nll[precision] = train(run, DATASET).nll
        assert {tensor.dtype for tensor in read_tensors(run.checkpoint(40) / WEIGHTS["raw"]).values()} == {
            torch.float32
        }
    assert nll["bfloat16"] == pytest.approx(nll["highest"], rel=0.02)
    assert nll["bfloat16"] != nll["highest"]


def test_reports_and_metrics(straight: RunDirectory) -> None:
    rows = [json.loads(line) for line in (straight.path / "metrics.jsonl").read_text().splitlines()]
    training = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in training] == [5, 10, 15, 20]
    for row in training:
        parts = row["reconstruction"] + row["kl_address"] + row["kl_latent"]
        assert row["elbo"] == pytest.approx(-parts, rel=1e-5)
        assert row["nll"] < -row["elbo"]  # three samples say more than one
        assert min(row["kl_address"], row["kl_latent"], row["posterior_entropy"], row["reconstruction"]) > 0
        assert row["posterior_entropy"] <= row["prior_entropy"] + 0.1 <= math.log(8) + 0.1
        assert row["steps_per_second"] > 0
    validation = [row for row in rows if row["kind"] == "validation"]
    assert [row["step"] for row in validation] == [10, 20]
    assert all(0 <= row["accuracy"] <= 1 and row["nll_se"] > 0 for row in validation)
    best = min(validation, key=lambda row: row["nll"])["step"]
    assert straight.pointed("best") == best
    assert validation[0]["is_best"] is True


def test_the_first_report_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    every: list[StepReport] = []
    fifth: list[StepReport] = []
    train(create_run(tmp_path / "a", training={"metrics_every": 1, "steps": 5}), DATASET, on_step=every.append)
    train(create_run(tmp_path / "b", training={"metrics_every": 5, "steps": 5}), DATASET, on_step=fifth.append)
    for name in ("nll", "kl_address", "kl_latent", "posterior_entropy"):
        mean = sum(getattr(report, name) for report in every) / 5
        assert getattr(fifth[0], name) == pytest.approx(mean)


# It stops where it must


@pytest.mark.parametrize("metrics_every", [1, 1000])
def test_a_loss_that_is_not_finite(tmp_path: Path, metrics_every: int) -> None:
    run = create_run(tmp_path / "run", training={"steps": 10})
    train(run, DATASET)
    good = files_of(run)
    wild = run.config.with_overrides(["optimiser.learning_rate=1e30", f"training.metrics_every={metrics_every}"])
    run.with_config(wild)
    with pytest.raises(VmaError, match=r"not finite .*from step 10 .*step-00000010 --set optimiser") as caught:
        train(RunDirectory.open(run.path), DATASET, steps=30, resume=True)
    assert "\n" not in str(caught.value)
    assert run.pointed("latest") == 10
    assert files_of(run) == good
    load_model(find_run(run.path, runs_dir=tmp_path))
    assert "NaN" not in (run.path / "metrics.jsonl").read_text()


def test_a_loss_that_is_not_finite_before_anything_was_saved(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", optimiser={"learning_rate": 1e30})
    with pytest.raises(VmaError, match=r"not finite .*train again at a lower rate"):
        train(run, DATASET)


@pytest.mark.parametrize("nll", [math.nan, math.inf, -math.inf])
def test_weights_that_validate_as_no_number_are_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nll: float
) -> None:
    run = create_run(tmp_path / "run", training={"steps": 20, "validate_every": 5, "checkpoint_every": 5})

    def score(*arguments: Any, **named: Any) -> Score:
        found = score_episodes(*arguments, **named)
        return replace(found, nll=nll) if run.pointed("latest") == 5 else found

    monkeypatch.setattr(trainer, "score_episodes", score)
    with pytest.raises(VmaError, match=r"NLL on validation is not finite at step 10.*--init .*step-00000005 --set"):
        train(run, DATASET)
    assert (run.pointed("latest"), run.pointed("best")) == (5, 5)
    assert metrics_of(run)[-1]["nll"] is None
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "score_episodes", score_episodes)
        assert train(run, DATASET, resume=True).step == 20


def test_steps_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"training\.steps"):
        train(create_run(tmp_path / "run"), DATASET, steps=0)


def test_images_of_another_size(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", synthetic.config(model={"size": (10, 10)}))
    with pytest.raises(VmaError, match=r"reads images of \(10, 10\), synthetic has \(8, 8\)"):
        train(run, DATASET)


def test_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run")
    (run.path / "metrics.jsonl").mkdir()
    with pytest.raises(VmaError, match=r"cannot write .*metrics\.jsonl"):
        train(run, DATASET)


@pytest.mark.parametrize("kind", ["link", "file"])
def test_checkpoints_that_cannot_be_saved_are_told_before_training(tmp_path: Path, kind: str) -> None:
    run = create_run(tmp_path / "run")
    (tmp_path / "disk").mkdir()
    checkpoints = run.path / "checkpoints"
    checkpoints.symlink_to(tmp_path / "disk") if kind == "link" else checkpoints.write_text("")
    with pytest.raises(VmaError, match=r"checkpoints is a link" if kind == "link" else r"cannot write .*checkpoints"):
        train(run, DATASET)
    assert not (run.path / "metrics.jsonl").exists()


# Preparing


def test_preparing_fills_in_what_the_data_say() -> None:
    config = synthetic.config(model={"size": (26, 26)}).with_overrides(["data.protocol=none"])
    filled = prepare(config, DATASET)
    assert filled.model.size == (8, 8)
    assert filled.data.protocol == "standard"
    assert filled == synthetic.config()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["episode.classes=13"], "13 classes asked for, but the split holds 12: ask for 1 to 12"),
        (["episode.shots=9"], "9 in memory and 2 targets of each class .* has 10 drawings"),
        (["episode.targets=9"], "2 in memory and 9 targets"),
    ],
)
def test_episodes_that_the_data_do_not_hold(settings: list[str], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        prepare(synthetic.config().with_overrides(settings), DATASET)


def test_episodes_that_only_validation_does_not_hold() -> None:
    """Found before training starts, not at its first validation."""
    few = synthetic.dataset()
    object.__setattr__(few, "validation", synthetic.characters([10, 3, 10], seed=1))
    with pytest.raises(VmaError, match="a class of this split has 3 drawings"):
        prepare(synthetic.config(), few)
    # Fewer classes are no hindrance: validation takes what there is.
    prepare(synthetic.config(episode={"shots": 1}), few)


def test_a_learned_memory_takes_no_drawings_of_an_episode() -> None:
    prepare(synthetic.config(model={"learned_slots": 5}, episode={"shots": 10}), DATASET)


# Weights


def test_initial_weights_depend_on_the_seed_alone(straight: RunDirectory) -> None:
    torch.manual_seed(5)
    first = build_model(straight.config).state_dict()
    torch.manual_seed(6)
    state = torch.get_rng_state()
    second = build_model(straight.config).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    other = build_model(straight.config.with_overrides(["training.seed=1"])).state_dict()
    for name, weight in first.items():
        assert torch.equal(weight, second[name])
    assert any(not torch.equal(weight, other[name]) for name, weight in first.items())


def test_the_seed_decides_the_run(straight: RunDirectory, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 20, "validate_every": 10, "seed": 1})
    train(run, DATASET)
    assert metrics_of(run) != metrics_of(straight)


def _first_gradient(run: RunDirectory) -> float:
    """Norm of the gradient of the first step, from Adam's first moment (1 − β₁) g."""
    train(run, DATASET)
    moments = read_tensors(run.checkpoint(1) / MOMENTS["exp_avg"])
    return float(torch.stack([moment.norm() for moment in moments.values()]).norm()) / 0.1


def test_clipping_limits_the_gradient(tmp_path: Path) -> None:
    free = _first_gradient(create_run(tmp_path / "free", training={"steps": 1}))
    limit = free / 10
    clipped = _first_gradient(create_run(tmp_path / "clipped", training={"steps": 1}, optimiser={"clip": limit}))
    assert clipped == pytest.approx(limit, rel=1e-4)
    loose = _first_gradient(create_run(tmp_path / "loose", training={"steps": 1}, optimiser={"clip": 10 * free}))
    assert loose == pytest.approx(free, rel=1e-6)


def test_starting_from_another_run(straight: RunDirectory, tmp_path: Path) -> None:
    location = find_run(straight.checkpoint(20), runs_dir=tmp_path)
    # A learning rate too small to move anything shows the weights it starts from.
    run = create_run(tmp_path / "run", training={"steps": 1}, optimiser={"learning_rate": 1e-20})
    train(run, DATASET, start=Start.of(location))
    start = read_tensors(straight.checkpoint(20) / WEIGHTS["averaged"])
    for file in WEIGHTS.values():
        for name, weight in read_tensors(run.checkpoint(1) / file).items():
            assert torch.equal(weight, start[name])
    assert run.pointed("latest") == 1  # it counts its own steps
    assert RunDirectory.open(run.path).config.init == f"{location.run}, step 20"
    train(RunDirectory.open(run.path), DATASET, steps=2, resume=True)
    assert RunDirectory.open(run.path).config.init == f"{location.run}, step 20"


def test_starting_from_a_run_of_another_shape(straight: RunDirectory, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", model={"latent": 5})
    with pytest.raises(VmaError, match=r"another model\.latent: 4, not 5"):
        train(run, DATASET, start=Start.of(find_run(straight.path, runs_dir=tmp_path)))


def test_intensities_train_and_validate(tmp_path: Path) -> None:
    shaded = synthetic.dataset(levels=16)
    config: Config = prepare(synthetic.config(training={"steps": 4}), shaded)
    summary = train(RunDirectory.create(tmp_path / "run", config), shaded)
    assert 20 < summary.nll < 60  # of binary pixels: intensities up to 16 would score far worse
