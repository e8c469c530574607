"""What all figures share."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from vmacore.errors import VmaError
from vmacore.experiments.lab import figures


def test_png_and_svg_are_written_and_nothing_global_changes(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    contents = []
    for name in ("one", "two"):
        figure, axes = figures.new(width=3.0, height=2.0)
        axes.plot([1, 10], [2.0, 1.0], **figures.STYLES[0].line(), label="line")
        figures.counts_axis(axes, [1, 10])
        figures.legend(axes)
        png, svg = figures.save(figure, tmp_path / name)
        assert (png.name, svg.name) == (f"{name}.png", f"{name}.svg")
        with Image.open(png) as image:
            assert image.size == (480, 320)
        contents.append(svg.read_bytes())
    assert contents[0] == contents[1]  # no date, no random names
    assert dict(matplotlib.rcParams) == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    figure, _ = figures.new()
    with pytest.raises(VmaError, match="choose another --out"):
        figures.save(figure, tmp_path / "file" / "figure")


def test_styles_survive_grey() -> None:
    """Neighbours in the list differ in lightness, and no two share a marker."""
    lightness = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(to_rgb, figures.COLOURS)]
    assert all(abs(one - other) > 0.08 for one, other in pairwise(lightness))
    assert len(set(figures.MARKERS)) == len(figures.STYLES)


def test_sheet_puts_each_image_in_its_place() -> None:
    images = torch.rand(2, 3, 4, 5)
    sheet = figures.sheet(images, gap=2, grey=0.75)
    assert sheet.shape == (2 * 6 + 2, 3 * 7 + 2)
    assert sheet[8:12, 16:21].equal(images[1, 2])
    assert sheet[:2].eq(0.25).all()
