"""Pictures inside a page: small ones, and as they are."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from tests.reports.parsed import picture, shades
from vmacore.reports.pictures import LONGEST, drawing, thumbnail, thumbnail_of


def test_thumbnails_are_small() -> None:
    wide = Image.new("RGBA", (3000, 20), (255, 0, 0, 0))
    shown = thumbnail(wide)
    assert shown is not None
    assert picture(shown).size == (LONGEST, 1)
    assert picture(shown).convert("RGB").getpixel((0, 0)) == (255, 255, 255)  # white behind what is transparent
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (400, 300, 3), dtype=torch.uint8, generator=draw)
    shown = thumbnail(Image.fromarray(noise.numpy()))
    assert shown is not None
    assert shown.startswith("data:image/jpeg")  # smaller than as PNG
    assert picture(shown).size == (96, LONGEST)
    assert thumbnail(Image.new("La", (4, 4))) is None  # a mode that converts to no other


def test_drawings_are_dark_on_white() -> None:
    ink = torch.tensor([[0.0, 0.5, 1.0], [float("nan"), -1.0, 2.0]])
    torch.testing.assert_close(shades(drawing(ink)), torch.tensor([[1, 0.5, 0], [1, 1, 0]]), atol=0.005, rtol=0)


def test_what_cannot_be_shown(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    assert thumbnail_of(tmp_path / "a.png") is None
    assert thumbnail_of(tmp_path / "absent.png") is None
