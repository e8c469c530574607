"""Pictures of any encoding, polarity and light are read alike, and what is none is refused in a line."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from tests.data.pictures import SIDE, drawing, grey, ink
from vmacore.data.ink import ink_of
from vmacore.data.pictures import LEVELS, Preparation, open_picture
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError

PLAIN = drawing()
RAMP = np.linspace(0, 1, SIDE)


def pixels(image: Image.Image, **options: object) -> np.ndarray:
    finer = Preparation(**options).finer(image)  # type: ignore[arg-type]
    return pixels_of(torch.from_numpy(finer)[None, None].float() / LEVELS)[0, 0].bool().numpy()


def overlap(left: np.ndarray, right: np.ndarray) -> float:
    """Intersection over union."""
    return float((left & right).sum() / (left | right).sum())


def colours(paper: tuple[int, int, int], pen: tuple[int, int, int]) -> Image.Image:
    return Image.composite(Image.new("RGB", PLAIN.size, paper), Image.new("RGB", PLAIN.size, pen), PLAIN)


def transparent(shade: int) -> Image.Image:
    alpha = grey(255 * ink(PLAIN))
    return Image.merge("LA", (Image.new("L", PLAIN.size, shade), alpha))


def framed(shade: int, width: int, inset: int = 0) -> Image.Image:
    side = SIDE + 2 * (width + inset + 4)
    image = Image.new("L", (side, side), 255)
    image.paste(shade, (inset, inset, side - inset, side - inset))
    image.paste(255, (inset + width, inset + width, side - inset - width, side - inset - width))
    image.paste(PLAIN, (width + inset + 4, width + inset + 4))
    return image


def noisy(contrast: float, noise: float) -> Image.Image:
    rng = np.random.default_rng(0)
    return grey(210 - contrast * ink(PLAIN) + rng.normal(0, noise, PLAIN.size))


def lit(light: np.ndarray) -> Image.Image:
    """Light that falls on paper and ink."""
    return grey(255 * light * (1 - 0.9 * ink(PLAIN)))


def saved(file_format: str, image: Image.Image = PLAIN, **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    file.seek(0)
    return open_picture(file)


def rotated() -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: 90° clockwise brings it upright
    return saved("JPEG", PLAIN.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)


def palette_with_a_hole() -> Image.Image:
    image = Image.composite(
        Image.new("L", PLAIN.size, 1), Image.new("L", PLAIN.size, 0), PLAIN.point(lambda v: 255 * (v > 127))
    )
    image = Image.frombytes("P", PLAIN.size, image.tobytes())
    image.putpalette([0, 0, 0, 255, 255, 255])
    return saved("PNG", image, transparency=1)


ENCODINGS: dict[str, Callable[[], Image.Image]] = {
    "inverted": lambda: grey(255 * ink(PLAIN)),
    "one bit": lambda: PLAIN.convert("1", dither=Image.Dither.NONE),
    "red on yellow": lambda: colours((240, 230, 120), (170, 20, 40)),
    "light on blue": lambda: colours((20, 40, 120), (220, 240, 230)),
    "palette": lambda: colours((250, 250, 250), (10, 90, 20)).quantize(16),
    "CMYK": lambda: saved("JPEG", PLAIN.convert("CMYK"), quality=95),
    "JPEG": lambda: saved("JPEG", quality=75),
    "GIF": lambda: saved("GIF"),
    "turned by EXIF": rotated,
    "16 bits": lambda: Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 257),
    "12 bits in 16": lambda: Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 16),
    "floats": lambda: Image.fromarray(np.asarray(PLAIN, dtype=np.float32) / 255),
    "black on transparent": lambda: transparent(0),
    "white on transparent": lambda: transparent(255).convert("RGBA"),
    "a transparent palette": palette_with_a_hole,
    "opaque LA": lambda: PLAIN.convert("LA"),
    "less opaque all over": lambda: Image.merge("LA", (PLAIN, Image.new("L", PLAIN.size, 100))),
    "drawn on transparent at little opacity": lambda: Image.merge("LA", (PLAIN, grey(80 * ink(PLAIN)))),
    "a picture within a transparent margin": lambda: _within_margin(),
    "large": lambda: PLAIN.resize((1500, 1500), Image.Resampling.BICUBIC),
    "wide": lambda: _padded(300, SIDE),
    "a black frame": lambda: framed(0, 4),
    "a wide grey frame": lambda: framed(90, 30),
    "a line around it": lambda: framed(0, 2, inset=3),
    "noise": lambda: noisy(150, 12),
    "shaded": lambda: lit(np.broadcast_to(0.35 + 0.65 * RAMP, PLAIN.size)),
    "dark corners": lambda: lit(1 - 0.6 * ((RAMP - 0.5) ** 2 + (RAMP[:, None] - 0.5) ** 2)),
}


def photograph(noise: float) -> Image.Image:
    """A sheet in colour, darker towards its corners, the drawing off its middle."""
    rng = np.random.default_rng(0)
    inked = np.zeros((300, 400))
    inked[90:270, 100:280] = ink(PLAIN.resize((180, 180), Image.Resampling.BICUBIC))
    y, x = np.mgrid[-0.5:0.5:300j, -0.5:0.5:400j]
    light = (1 - 0.8 * (x**2 + y**2)) * (1 - 0.75 * inked)
    sheet = light[:, :, None] * (235, 228, 210) + rng.normal(0, noise, (300, 400, 3))
    return saved("JPEG", grey(sheet), quality=85)


@pytest.mark.parametrize(("noise", "least"), [(4.0, 0.85), (15.0, 0.75)])
def test_a_photograph_of_paper(noise: float, least: float) -> None:
    assert overlap(pixels(photograph(noise)), pixels(PLAIN)) >= least


def _padded(width: int, height: int) -> Image.Image:
    image = Image.new("L", (width, height), 255)
    image.paste(PLAIN, (width - SIDE, height - SIDE))
    return image


def _within_margin() -> Image.Image:
    sheet = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    sheet.paste(PLAIN.convert("RGBA"), (12, 20))
    return sheet


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_one_drawing_is_read_alike(encoding: str) -> None:
    plain = pixels(PLAIN)
    assert 0.05 < plain.mean() < 0.4
    assert overlap(pixels(ENCODINGS[encoding]()), plain) >= 0.85


@pytest.mark.parametrize("kind", range(4))
def test_soft_edges_are_as_soft_where_they_are_opaque(kind: int) -> None:
    """As where transparency is one bit. Most of a thin stroke is edge."""
    thin = drawing(kind, width=3)
    opaque = Image.merge("LA", (thin, thin.point(lambda value: 255 * (value < 255))))
    assert overlap(pixels(opaque), pixels(thin)) >= 0.97


def test_tiny_pictures_are_read_nearly_alike() -> None:
    assert overlap(pixels(PLAIN.resize((20, 20), Image.Resampling.BOX)), pixels(PLAIN)) >= 0.7


def test_the_ink_fills_so_much_of_the_drawing_in_the_middle() -> None:
    for fill, side in ((9 / 13, 36), (0.5, 26)):
        finer = Preparation(fill=fill).finer(PLAIN)
        assert finer.shape == (52, 52)
        rows, columns = (np.flatnonzero((finer > LEVELS / 2).any(axis)) for axis in (1, 0))
        assert abs(len(rows) - side) <= 1
        assert len(columns) < len(rows)
        assert all(abs(float(place.mean()) - 25.5) <= 1 for place in (rows, columns))
    assert Preparation((28, 20)).finer(PLAIN).shape == (56, 40)


def test_the_frame_of_the_image_keeps_size_and_place() -> None:
    low, high = Image.new("L", (80, 80), 255), Image.new("L", (80, 80), 255)
    low.paste(0, (10, 60, 20, 70))
    high.paste(0, (50, 5, 60, 15))
    assert overlap(pixels(low), pixels(high)) == 1
    kept = pixels(low, frame="image")
    assert overlap(kept, pixels(high, frame="image")) == 0
    assert kept[20:22, 4:6].all()
    assert kept.sum() <= 16


def test_drawings_of_the_models_own_size_stay_as_they_are() -> None:
    own = np.random.default_rng(0).random((26, 26)) < 0.3
    own[0], own[:, 0] = False, False  # paper along the edges
    assert np.array_equal(pixels(grey(255.0 * ~own)), own)
    finer = own.repeat(2, 0).repeat(2, 1)
    shades = Preparation().finer(grey(255.0 * ~finer))
    assert np.array_equal(shades, LEVELS * finer)
    assert not np.array_equal(pixels(grey(255.0 * ~own), as_drawn=False), own)


def test_two_shades_of_ink_are_both_ink() -> None:
    image = Image.new("RGB", (60, 60), "white")
    image.paste((0, 0, 0), (10, 10, 20, 50))
    image.paste((230, 60, 60), (40, 10, 50, 50))
    found = ink_of(image)
    assert found[30, 15] == 1
    assert found[30, 45] > 0.9
    assert found[30, 30] == 0


def test_dust_does_not_decide_the_crop() -> None:
    image = PLAIN.resize((256, 256), Image.Resampling.BICUBIC)
    clean = pixels(image)
    image.paste(0, (250, 3, 252, 5))
    assert overlap(pixels(image), clean) >= 0.97


def test_a_square_outline_is_a_drawing() -> None:
    image = Image.new("L", (64, 64), 255)
    image.paste(0, (10, 10, 54, 54))
    image.paste(255, (14, 14, 50, 50))
    found = pixels(image)
    assert found[4, 4:22].all()
    assert not found[13, 13]


def test_a_solid_square_is_a_drawing() -> None:
    image = Image.new("L", (64, 64), 255)
    image.paste(0, (20, 20, 44, 44))
    assert pixels(image)[5:21, 5:21].all()


def test_a_drawing_may_fill_a_picture_of_few_pixels() -> None:
    digits = load_digits().images[:300]
    drawn = np.stack([Preparation().finer(Image.fromarray(digit.astype(np.float32))) for digit in digits])
    assert (drawn > 127).mean((1, 2)).min() > 0.05


def test_the_largest_numbers_have_a_range() -> None:
    numbers = np.where(ink(PLAIN) > 0.5, np.float32(-3e38), np.float32(3e38)).astype(np.float32)
    of_bytes = Preparation().finer(grey(np.where(ink(PLAIN) > 0.5, 0, 255)))
    np.testing.assert_array_equal(Preparation().finer(Image.fromarray(numbers)), of_bytes)


def test_a_preparation_is_kept_as_json() -> None:
    preparation = Preparation((28, 28), "image", 0.5)
    assert Preparation.from_dict(preparation.to_dict()) == preparation
    assert preparation.to_dict() == {"size": [28, 28], "frame": "image", "fill": 0.5, "as_drawn": True}
    with pytest.raises(VmaError, match="no frame 'page'; choose one of ink, image"):
        Preparation(frame="page")
    with pytest.raises(VmaError, match="0 to 1"):
        Preparation(fill=1.5)


def test_one_bit_gets_soft_edges_and_keeps_its_ink() -> None:
    """A line would else be thinner in one bit than in grey, where its edges are half ink."""
    line = Image.new("1", (104, 104), 1)
    line.paste(0, (51, 20, 52, 84))
    beside = 2 * gaussian_filter(np.eye(1, 99, 49)[0], 0.7)[:49].sum()  # the part of a softened line that is not on it
    finer = Preparation(frame="image").finer(line) / LEVELS
    assert finer[26].sum() == pytest.approx((1 + beside) / 2, abs=0.01)  # half as large
    for frame in ("image", "ink"):
        two_shades = line.convert("L").point(lambda shade: 250 if shade else 10)
        assert np.array_equal(Preparation(frame=frame).finer(line), Preparation(frame=frame).finer(two_shades))


def test_reading_leaves_warnings_as_they_were(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "a.png")
    before = list(warnings.filters)
    Preparation().read(tmp_path / "a.png")
    assert warnings.filters == before


def test_real_encodings(real_data: Path) -> None:
    """20 pixels hold less."""
    folder = real_data / "own" / "tricky" / "modes"
    for drawn in sorted(folder.iterdir()):
        plain = pixels(open_picture(drawn / "grey.png"))
        for path in sorted(drawn.iterdir()):
            least = 0.7 if path.name == "tiny-20px.png" else 0.85
            assert overlap(pixels(open_picture(path)), plain) >= least, path
