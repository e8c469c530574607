"""How the cost of a training step and of a score grows with |M|, K, B and the side of the image.

    python benchmarks/growth.py [--task step|score] [--rounds 5] [--device cpu] [--json]

Otherwise B = 32, K = 4, |M| = 32, 26×26; a score is of 4 targets with K = 100. The paper's network, fresh weights.
"""

import argparse
import json
import sys
from dataclasses import asdict

import torch
from rich.console import Console

from vmacli.allocator import keep_freed_memory
from vmacli.output import figures, table
from vmacore.bench.growth import AXES, SCORE_AXES, growth
from vmacore.config import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=("step", "score"), help="one of them alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    points = growth(
        load_recipe("omniglot"),
        steps={} if options.task == "score" else AXES,
        scores={} if options.task == "step" else SCORE_AXES,
        rounds=options.rounds,
        device=options.device,
        progress=lambda done, total: print(f"round {done} of {total}", file=sys.stderr, flush=True),
    )
    if options.json:
        print(json.dumps([asdict(point) for point in points]))
        return
    for task, axis in dict.fromkeys((point.task, point.axis) for point in points):
        shown = table(f"{task}, {axis} =", "ms", "GFLOP needed", "GFLOP/s")
        for point in points:
            if (point.task, point.axis) == (task, axis):
                rate = point.flops / point.seconds / 1e9
                shown.add_row(str(point.value), figures(1e3 * point.seconds), figures(point.flops / 1e9), f"{rate:.0f}")
        Console().print(shown)
    print(f"medians of {options.rounds} rounds, {torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
