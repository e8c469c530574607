"""Grids of drawings as pictures: the PNG and the preview."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vmacore.errors import VmaError
from vmacore.evaluation.sampling import SCALE, Grid, preview, save_grid


def _pictures(rows: int, columns: int, height: int = 8, width: int = 8) -> Grid:
    draw = torch.Generator().manual_seed(0)
    slots = (torch.rand(rows, height, width, generator=draw) < 0.5).float()
    return Grid(slots, torch.rand(rows, columns, height, width, generator=draw), torch.arange(rows))


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 4), (3, 1), (1, 1)])
def test_the_png(tmp_path: Path, rows: int, columns: int) -> None:
    grid = _pictures(rows, columns, height=8, width=12)
    path = tmp_path / "new" / "grid.png"
    assert save_grid(grid, path) == (rows, columns)
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L")).astype(float) / 255
    # Pictures are framed by one pixel; a quarter of a picture stands between the slots and the rest.
    across = (12 + 2) + 12 // 4 + (columns * 13 + 1)
    assert pixels.shape == (SCALE * (rows * 9 + 1), SCALE * across)
    pixels = pixels[1::SCALE, 1::SCALE]
    for row in range(rows):
        top = 1 + 9 * row
        slot = pixels[top : top + 8, 1:13]
        np.testing.assert_allclose(slot, 1 - grid.slots[row].numpy(), atol=0.01)  # ink is dark
        for column in range(columns):
            left = 14 + 3 + 1 + 13 * column
            drawn = pixels[top : top + 8, left : left + 12]
            np.testing.assert_allclose(drawn, 1 - grid.samples[row, column].numpy(), atol=0.01)
    np.testing.assert_array_equal(pixels[:, 14:17], 1.0)


def test_slots_that_are_no_images_are_grey(tmp_path: Path) -> None:
    grid = _pictures(2, 2)
    save_grid(Grid(torch.full((2, 8, 8), torch.nan), grid.samples, grid.addresses), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        pixels = np.asarray(image.convert("L"))[1::SCALE, 1::SCALE]
    assert len(np.unique(pixels[1:9, 1:9])) == 1
    assert 200 < pixels[1, 1] < 250


def test_a_picture_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    save_grid(_pictures(2, 2), path)
    before = path.read_bytes()
    save_grid(_pictures(3, 2), path)
    assert path.read_bytes() != before


@pytest.mark.parametrize("name", ["grid.jpg", "grid", "grid.png.txt"])
def test_only_png_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(VmaError, match=r"ends in \.png"):
        save_grid(_pictures(2, 2), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match="cannot write"):
        save_grid(_pictures(2, 2), tmp_path / "file" / "grid.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(VmaError, match="cannot write"):
        save_grid(_pictures(2, 2), tmp_path / "folder.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.parametrize("width", [30, 80, 200])
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (40, 40)])
def test_the_preview_fits(width: int, rows: int, columns: int) -> None:
    grid = _pictures(rows, columns, height=26, width=26)
    lines = preview(grid, width).splitlines()
    assert lines
    assert max(len(line) for line in lines) <= width or width < 2 * 14 + 2
    assert len(lines) <= 32
    assert len(lines) % 7 == 0  # whole pictures


def test_the_preview_shows_the_ink() -> None:
    """Every dot of the characters, put back in its place, is a pixel of the pictures."""
    grid = _pictures(2, 3)
    lines = preview(grid, 80).splitlines()
    assert len(lines) == 4
    for row in range(2):
        texts = [line.split(" ") for line in lines[2 * row : 2 * row + 2]]
        assert [text.pop(1) for text in texts] == ["│", "│"]
        pictures = [grid.slots[row], *grid.samples[row]]
        for place, picture in enumerate(pictures):
            dots = np.concatenate([_dots(text[place]) for text in texts])
            np.testing.assert_array_equal(dots, (picture > 0.5).numpy())


def _dots(text: str) -> np.ndarray:
    """Braille characters as dots [4, 2 · characters]."""
    places = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}
    dots = np.zeros((4, 2 * len(text)), dtype=bool)
    for index, character in enumerate(text):
        for bit, (down, right) in places.items():
            dots[down, 2 * index + right] = bool((ord(character) - 0x2800) >> bit & 1)
    return dots


def test_the_preview_of_sizes_that_fill_no_character() -> None:
    lines = preview(_pictures(1, 2, height=5, width=7), 80).splitlines()
    assert [len(line) for line in lines] == [4 + 2 + 2 * 5, 4 + 2 + 2 * 5]
