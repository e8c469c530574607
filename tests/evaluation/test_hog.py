"""Histograms of oriented gradients: where edges run which way, whatever the contrast."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.data.pictures import drawing
from vmacore.data.pictures import LEVELS, Preparation
from vmacore.evaluation.hog import BLOCK, CELL, ORIENTATIONS, SIDE, hog, hog_of_files


def test_orientations_and_places_of_edges() -> None:
    upright = torch.zeros(1, 16, 16)
    upright[:, :, 4:] = 1  # its gradient points across, in the cells on the left
    features = hog(upright).view(ORIENTATIONS, BLOCK, BLOCK)
    assert features[0, :, 0].tolist() == pytest.approx([0.5**0.5] * 2)
    features[0, :, 0] = 0
    assert float(features.abs().max()) == 0
    level = hog(upright.transpose(1, 2)).view(ORIENTATIONS, BLOCK, BLOCK)
    assert level[ORIENTATIONS // 2, 0].tolist() == pytest.approx([0.5**0.5] * 2)


def test_contrast_and_polarity_do_not_matter() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(3, 32, 24, generator=rng)
    features = hog(images)
    assert features.shape == (3, (32 // CELL - 1) * (24 // CELL - 1) * BLOCK**2 * ORIENTATIONS)
    assert torch.allclose(features, hog(5 * images), atol=1e-5)
    assert torch.allclose(features, hog(1 - images), atol=1e-4)
    assert torch.equal(features[:1], hog(images[:1]))
    assert float(hog(torch.ones(1, 16, 16)).abs().max()) == 0


def test_of_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{kind}.png" for kind in range(2)]
    for kind, file in enumerate(files):
        drawing(kind).save(file)
    features = hog_of_files([str(file) for file in files], "ink")
    shades = Preparation((SIDE // 2, SIDE // 2), as_drawn=False).read(files[1])
    assert torch.equal(features[1], hog(torch.from_numpy(shades)[None] / LEVELS)[0])
    assert not torch.equal(features, hog_of_files([str(file) for file in files], "image"))
