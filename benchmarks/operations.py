"""Where the time of a training step and of a K = 1000 score goes, operation by operation.

    python benchmarks/operations.py [--task step|score] [--shapes] [--top 20] [--device cpu]

B = 32, K = 4, |M| = 32 for a step; 4 targets, K = 1000, |M| = 32 for a score; the paper's network, fresh weights.
"""

import argparse

import torch
from rich.console import Console

from vmacli.allocator import keep_freed_memory
from vmacli.output import figures, table
from vmacore.bench.operations import operations
from vmacore.bench.steps import EPISODES, scoring, training_step, vma_model
from vmacore.config import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=("step", "score"), default="step")
    parser.add_argument("--shapes", action="store_true", help="apart by the shapes of the first two tensors")
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()
    config = load_recipe("omniglot")
    model = vma_model(config, options.device)
    if options.task == "step":
        call = training_step(model, config, targets=32, slots=32, device=options.device)
    else:
        model.eval().requires_grad_(False)
        call = scoring(model, config, targets=4 // EPISODES, slots=32, samples=1000, device=options.device)
    found = operations(call, repeats=options.repeats, by_shape=options.shapes, device=options.device)
    whole = sum(one.seconds for one in found)
    shown = table("operation", "calls", "ms", "share, %")
    if options.shapes:
        shown.add_column("shapes", no_wrap=True)
    for one in found[: options.top]:
        row = [one.name, f"{one.calls:.0f}", figures(1e3 * one.seconds), f"{100 * one.share:.1f}"]
        shown.add_row(*row, *([one.shapes] if options.shapes else []))
    Console(width=120).print(shown)
    print(f"{1e3 * whole:.0f} ms in all, {torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
