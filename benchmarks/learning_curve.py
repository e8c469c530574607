"""The learning curve of a run, from its metrics.jsonl.

python benchmarks/learning_curve.py runs/NAME docs/images/NAME.png
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    rows = [json.loads(line) for line in (options.run / "metrics.jsonl").read_text("utf-8").splitlines()]
    training = _windows([row for row in rows if row["kind"] == "train"], width=10)
    validation = [row for row in rows if row["kind"] == "validation"]

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    left.plot(*_curve(training, "nll"), color="0.6", label="training, raw weights")
    left.plot(*_curve(validation, "nll"), color="black", marker="o", markersize=3, label="validation, averaged weights")
    left.set(ylabel="NLL, nats per image", ylim=(_floor([*training, *validation]), 200))
    for name, key, style in (
        ("KL_a", "kl_address", "-"),
        ("KL_z", "kl_latent", "--"),
        ("entropy of q(a|x)", "posterior_entropy", ":"),
    ):
        middle.plot(*_curve(training, key), color="black", linestyle=style, label=name)
    middle.set(ylabel="nats, training")
    accuracy = [(row["step"], 100 * row["accuracy"]) for row in validation if row["accuracy"] is not None]
    right.plot(*zip(*accuracy, strict=True), color="black", marker="o", markersize=3, label="5-way 1-shot, q(a|x)")
    right.set(ylabel="validation accuracy, %")
    for axes in (left, middle, right):
        axes.set(xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=110)


def _windows(rows: list[dict[str, float]], width: int) -> list[dict[str, float]]:
    """Means over so many reports in a row: a single step's 32 targets are noise."""
    keys = ("step", "nll", "kl_address", "kl_latent", "posterior_entropy")
    parts = [rows[start : start + width] for start in range(0, len(rows), width)]
    return [{key: sum(row[key] for row in part) / len(part) for key in keys} for part in parts]


def _curve(rows: list[dict[str, float]], key: str) -> tuple[list[float], list[float]]:
    return [row["step"] for row in rows], [row[key] for row in rows]


def _floor(rows: list[dict[str, float]]) -> float:
    return 10 * (min(row["nll"] for row in rows) // 10)


if __name__ == "__main__":
    main()
