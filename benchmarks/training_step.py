"""A training step of the paper's network beside the plain reference and its floor.

    python benchmarks/training_step.py [--rounds 15] [--device cpu]

The floor is the step's floating-point operations at the rate that a large convolution reaches in the same run.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table

from vmacore.bench import training_step_times
from vmacore.config import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    config = load_recipe("omniglot")
    times = training_step_times(config, rounds=options.rounds, device=options.device)

    episode = config.episode
    table = Table(
        title=f"One training step: B = {episode.classes * episode.targets}, K = {config.objective.samples}, "
        f"|M| = {episode.classes * episode.shots}"
    )
    for column in ("", "ms", "× floor", "steps/s"):
        table.add_column(column, justify="left" if not column else "right")
    for name, seconds in times.seconds.items():
        table.add_row(name, f"{seconds * 1e3:.0f}", f"{seconds / times.floor:.2f}", f"{1 / seconds:.2f}")
    table.add_row("floor", f"{times.floor * 1e3:.0f}", "1.00", f"{1 / times.floor:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"{times.flops / 1e9:.1f} GFLOP a step; a large convolution reached {times.rate / 1e9:.0f} GFLOP/s; "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, medians of {options.rounds} rounds in turns"
    )


if __name__ == "__main__":
    main()
