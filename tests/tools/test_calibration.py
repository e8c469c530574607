"""How far probabilities are from how often answers are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import save_classes
from tools import calibration


def test_the_error_is_the_mean_gap_of_bins_weighted() -> None:
    probability = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0])
    right = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    # In 0.9 … 1: mean probability 0.96 of five, four of them right; in 0.5 … 0.6 0.55 of two, one right.
    assert calibration.calibration_error(probability, right) == pytest.approx((5 * 0.16 + 2 * 0.05) / 7)


def test_answers_are_to_pictures_that_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_classes(tmp_path, {"a": 4, "b": 4, "c": 2})
    (tmp_path / "a" / "notes.txt").write_text("no picture", "utf-8")
    monkeypatch.setattr(calibration, "ROUNDS", 2)
    probability, right = calibration.answers(tmp_path, "ink", 3)
    assert len(probability) == len(right) == 2 * 2  # of a and b one is left over, in each of two rounds
    assert ((probability > 0) & (probability <= 1)).all()
    assert set(right.tolist()) <= {0.0, 1.0}
