"""Pictures beside what is read of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import drawing, save_classes
from vmacore.data.inspection import CELL, inspect_pictures, preview, save_sheet
from vmacore.data.pictures import Preparation
from vmacore.errors import VmaError


def test_pictures_and_folders(tmp_path: Path) -> None:
    save_classes(tmp_path / "folder", {"a": 1, "b": 1})
    drawing(2).save(tmp_path / "one.png")
    (tmp_path / "bad.png").write_bytes(b"text")
    found = inspect_pictures([tmp_path / "one.png", tmp_path / "bad.png", tmp_path / "folder"], Preparation())
    assert [item.path.name for item in found] == ["one.png", "bad.png", "0.png", "0.png"]
    assert found[1].finer is None
    assert found[1].words.startswith("can't be used: it is no picture")
    assert found[0].numbers() == {"width": 64, "height": 64, "mode": "L", "ink": found[0].pixels.mean()}


def test_preview_shows_both(tmp_path: Path) -> None:
    drawing(2).save(tmp_path / "cross.png")
    (item,) = inspect_pictures([tmp_path / "cross.png"], Preparation())
    lines = preview(item).splitlines()
    assert len(lines) == 13  # 52 pixels at four a line
    assert all(line[26:].startswith(" │") for line in lines)
    inked = [any(character > "\u2800" for character in line[28:]) for line in lines[:7]]
    assert inked == [False, True, True, True, True, True, False]
    assert any(character > "\u2800" for line in lines for character in line[:26])
    assert max(map(len, preview(item, 30).splitlines())) <= 30


def test_sheet(tmp_path: Path) -> None:
    Image.fromarray(np.asarray(drawing(0)).astype(np.uint16) * 257).save(tmp_path / "a.png")
    drawing(1).convert("LA").save(tmp_path / "b.png")
    found = inspect_pictures([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "absent.png"], Preparation())
    save_sheet(found, tmp_path / "new" / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "new" / "sheet.png").convert("L"))
    assert sheet.shape == (2 * (CELL + 6), 3 * (CELL + 6))
    views = [sheet[3 : 3 + CELL, column * (CELL + 6) + 3 :][:, :CELL] for column in range(3)]
    assert all(0.03 < (view < 128).mean() < 0.4 for view in views)
    assert set(np.unique(views[2])) == {0, 255}
    with pytest.raises(VmaError, match=r"ends in \.png"):
        save_sheet(found, tmp_path / "sheet.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(VmaError, match="choose another --out"):
        save_sheet(found, tmp_path / "file" / "sheet.png")
