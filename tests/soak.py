"""Long work in one process: memory and open files have to stay as they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import vmacore
from tests.small_runs import DATASET, create_run
from vmacore.data import load_dataset
from vmacore.evaluation.classification import classify
from vmacore.training.loop import train

MINUTES = 60
WARM_UP = 2  # rounds in which modules, weights and plans of convolutions are loaded
ALLOWANCE = 64  # MiB that may come after the first quarter, and after those rounds


def soak(folder: Path, small: bool) -> tuple[int, list[str]]:
    """Load weights, train on with saves and validations, and classify, again and again."""
    glyphs = load_dataset("glyphs").test
    run, rounds, held = create_run(folder / "soaked", training={"steps": 5}), 0, [_held()]
    train(run, DATASET)
    ends = time.monotonic() + (5 if small else 60 * MINUTES)
    while time.monotonic() < ends or rounds < 4:
        rounds += 1
        train(run, DATASET, steps=5 + 20 * rounds, resume=True)
        model, _ = vmacore.load("omniglot-45-5")
        classify(model, glyphs, way=5, shot=1 + rounds % 5, episodes=2 if small else 5, seed=rounds)
        held.append(_held())
    memory, files = zip(*held[max(WARM_UP, len(held) // 4) :], strict=True)
    told = f"{rounds} rounds: {memory[0]} MiB and {files[0]} files after a quarter, {memory[-1]} and {files[-1]} last"
    print(f"  {told}", flush=True)
    grown = memory[-1] - memory[0] > ALLOWANCE or files[-1] > files[0]
    return rounds, [told] if grown else []


def _held() -> tuple[int, int]:
    """MiB of memory and number of open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20, len(os.listdir("/proc/self/fd"))
