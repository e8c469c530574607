"""What is no picture, or shows no drawing, is refused in a line."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import drawing, grey, ink
from vmacore.data.pictures import MOST_PIXELS, Preparation, open_picture
from vmacore.errors import Blank, VmaError

PLAIN = drawing()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (40, 40), 255),
        Image.new("L", (40, 40), 0),
        Image.new("RGBA", (40, 40), (0, 0, 0, 0)),
        Image.new("L", (1, 1), 0),
        grey(200 + np.random.default_rng(0).normal(0, 10, (64, 64))),
        grey(250 - 5 * ink(PLAIN)),
    ],
    ids=["white", "black", "transparent", "one pixel", "noise alone", "too faint"],
)
def test_blank_pictures_are_refused(image: Image.Image) -> None:
    with pytest.raises(VmaError, match="it is blank"):
        Preparation().finer(image)


@pytest.mark.parametrize("frame", ["ink", "image"])
def test_lines_too_thin_for_the_pixels_are_blank(frame: str) -> None:
    long = Image.new("L", (1500, 12), 255)
    long.paste(0, (10, 5, 1490, 7))
    with pytest.raises(Blank, match="too thin for its 750×6"):
        Preparation(frame=frame).finer(long)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no picture in a format"),
        (b"text", "no picture in a format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture in a format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "no picture in a format"),
        (_png(PLAIN)[:200], "damaged"),
        (_png(Image.new("1", (9000, 8000))), "9000×8000 pixels, and more than 67 million"),
        (_png(Image.new("1", (20000, 10000))), "too many pixels"),
        (_png(Image.new("L", (9, 9))), "blank"),
    ],
    ids=["empty", "text", "svg", "eps", "truncated", "large", "huge", "blank"],
)
def test_what_is_no_picture_is_named_with_the_way_out(content: bytes, words: str, tmp_path: Path) -> None:
    assert MOST_PIXELS < 9000 * 8000
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(VmaError, match=words) as caught:
        Preparation().read(path)
    assert str(caught.value).startswith(f"{path} can't be used: ")
    assert str(caught.value).endswith("leave it out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [struct.error("unpack"), ZeroDivisionError(), RecursionError(), NotImplementedError()]
)
def test_whatever_a_parser_meets_is_one_line(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(VmaError, match="it is damaged: "):
        Preparation().read(tmp_path / "picture.png")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="every file can be read")
def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_png(PLAIN))
    path.chmod(0)
    with pytest.raises(VmaError, match=r"a\.png can't be used"):
        Preparation().read(path)


def test_a_picture_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="No such file or directory; give the path of a picture"):
        Preparation().read(tmp_path / "absent.png")
    with pytest.raises(VmaError, match=r"^it cannot be read: No such file or directory$"):
        open_picture(tmp_path / "absent.png")
