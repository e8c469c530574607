"""Whether probabilities of answers can be trusted: python -m tools.calibration FOLDER [--frame image] [--shots 5].

Some pictures of each of 20 classes are remembered and the others asked, as `vma memory build` and `vma identify` do,
for ten draws of classes and pictures; what can't be read is left out. Printed are, over all answers, how many are
right, their mean probability, and the calibration error: the mean distance between the two in ten bins of probability,
weighted by how many lie in each (Guo et al. 2017, On Calibration of Modern Neural Networks).
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmacore import FewShotClassifier
from vmacore.data.pictures import Preparation
from vmacore.errors import VmaError

WAY, ROUNDS, BINS = 20, 10, 10

Floats = NDArray[np.float64]


def calibration_error(probability: Floats, right: Floats) -> float:
    """Of answers [N]; both in [0, 1]."""
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    gaps = [abs(float((probability - right)[bins == number].sum())) for number in range(BINS)]
    return sum(gaps) / len(probability)


def answers(folder: Path, frame: str, shots: int) -> tuple[Floats, Floats]:
    """The probability of each answer [N], and whether it is right."""
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*.*")):
        with contextlib.suppress(VmaError):
            Preparation().read(file)
            files.setdefault(str(file.parent), []).append(file)
    names = [name for name, own in files.items() if len(own) > shots]
    probabilities, right = [], []
    for number in range(ROUNDS):
        rng = np.random.default_rng(number)
        known: list[tuple[Path, str]] = []
        asked: list[tuple[Path, str]] = []
        for name in rng.permutation(names)[:WAY]:
            own = [files[name][place] for place in rng.permutation(len(files[name]))]
            known += [(file, name) for file in own[:shots]]
            asked += [(file, name) for file in own[shots:]]
        classifier = FewShotClassifier(frame=frame).fit(*map(list, zip(*known, strict=True)))
        found = classifier.predict_proba([file for file, _ in asked])
        probabilities.append(found.max(1))
        right.append(classifier.classes_[found.argmax(1)] == [name for _, name in asked])
    return np.concatenate(probabilities).astype(np.float64), np.concatenate(right).astype(np.float64)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Whether probabilities of answers can be trusted.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frame", default="ink")
    parser.add_argument("--shots", type=int, default=5)
    given = parser.parse_args()
    sure, correct = answers(given.folder, given.frame, given.shots)
    print(
        f"{len(sure)} answers, {correct.mean():.1%} right, mean probability {sure.mean():.3f}, "
        f"calibration error {calibration_error(sure, correct):.3f}"
    )
