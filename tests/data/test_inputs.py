"""Pictures as programs hold them become Pillow's, and rows rectangles."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.pictures import drawing
from vmacore.data.inputs import as_image, read_inputs, sides_of
from vmacore.data.pictures import Preparation
from vmacore.errors import VmaError


@pytest.mark.parametrize(
    ("features", "sides"), [(1, (1, 1)), (7, (1, 7)), (10, (2, 5)), (64, (8, 8)), (560, (20, 28)), (784, (28, 28))]
)
def test_sides_of_a_row(features: int, sides: tuple[int, int]) -> None:
    assert sides_of(features) == sides


def test_numbers_become_the_picture_that_they_stand_for() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert as_image(grey).mode == "L"
    np.testing.assert_array_equal(as_image(grey), grey)
    np.testing.assert_array_equal(as_image(grey > 100), np.where(grey > 100, 255, 0))
    np.testing.assert_array_equal(as_image((grey > 100).astype(np.uint8)), np.where(grey > 100, 255, 0))
    assert as_image(grey.astype(np.int64) * 300).mode == "F"  # nothing is cut off at 255
    assert np.asarray(as_image(grey.astype(np.int64) * 300)).max() == 66_000
    colours = np.stack([grey] * 4, 2)
    assert as_image(colours).mode == "RGBA"
    np.testing.assert_array_equal(as_image(colours[:, :, :3] / 255), colours[:, :, :3])


@pytest.mark.parametrize("picture", [np.array(["a"]), np.ones(4), np.ones((0, 4)), None, np.full((3, 3), np.inf)])
def test_what_is_no_picture(picture: object) -> None:
    with pytest.raises(VmaError, match=r"it is no array of finite numbers|it has the shape"):
        as_image(picture)


def test_a_blank_one_has_no_ink_and_others_are_prepared() -> None:
    drawn = read_inputs([np.full((20, 20), 7), drawing()], Preparation())
    assert drawn.shape == (2, 52, 52)
    assert not drawn[0].any()
    np.testing.assert_array_equal(drawn[1], Preparation().finer(drawing()))
