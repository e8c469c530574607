from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.drawings import zipped
from vmacore.data import load_dataset
from vmacore.data.sets import omniglot, omniglot_oneshot
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError


def png(seed: int) -> bytes:
    ink = np.random.default_rng(seed).random((105, 105)) < 0.1
    file = io.BytesIO()
    Image.fromarray(~ink).save(file, format="PNG")
    return file.getvalue()


def files() -> dict[str, bytes]:
    """Two runs of three characters; item 1 is of class 3, 2 of class 1, 3 of class 2."""
    made = {}
    for run in ("run01", "run02"):
        for n in (1, 2, 3):
            made[f"{run}/training/class0{n}.png"] = png(10 * n + int(run[-1]))
            made[f"{run}/test/item0{n}.png"] = png(100 * n + int(run[-1]))
        pairs = [(1, 3), (2, 1), (3, 2)]
        made[f"{run}/class_labels.txt"] = "".join(
            f"{run}/test/item0{item}.png {run}/training/class0{label}.png\n" for item, label in pairs
        ).encode()
    return made


def imported(tmp_path: Path, content: dict[str, bytes]) -> Path:
    (tmp_path / "all_runs.zip").write_bytes(zipped(content))
    omniglot_oneshot.import_from(tmp_path / "all_runs.zip", tmp_path / "data", runs=2, way=3)
    return tmp_path / "data"


def test_a_class_holds_the_training_drawing_and_then_the_test_drawing(tmp_path: Path) -> None:
    content = files()
    drawings = omniglot_oneshot.read(imported(tmp_path, content))
    assert drawings.classes[3:] == ("run02/class01", "run02/class02", "run02/class03")
    assert drawings.counts.tolist() == [2] * 6
    for at, file in ((8, "run02/training/class02.png"), (9, "run02/test/item03.png")):
        expected = omniglot.quarters(omniglot.decode(content[file], file))
        assert np.array_equal(drawings.images[at].numpy(), expected)


def test_both_views_are_for_tests_alone(tmp_path: Path) -> None:
    data_dir = imported(tmp_path, files())
    finer, pixels = (load_dataset("omniglot-oneshot", data_dir=data_dir, view=view) for view in ("finer", "pixels"))
    assert (pixels.train.n_classes, pixels.validation.n_classes, pixels.test.n_classes) == (0, 0, 6)
    assert torch.equal(pixels_of(finer.test.images[:, None] / 4)[:, 0].byte(), pixels.test.images)
    assert pixels.test.levels == 1


@pytest.mark.parametrize(
    ("gone", "said"), [("run02/test/item02.png", "lacks run02/test/item02.png"), ("run02/class_labels.txt", "pair 3")]
)
def test_what_is_missing_is_named(gone: str, said: str, tmp_path: Path) -> None:
    content = files()
    del content[gone]
    with pytest.raises(VmaError, match=said):
        imported(tmp_path, content)
    assert not (tmp_path / "data").exists()
    with pytest.raises(VmaError, match="run `vma download omniglot-oneshot`"):
        omniglot_oneshot.read(tmp_path / "data")


def test_the_real_challenge(real_data: Path, tmp_path: Path) -> None:
    omniglot_oneshot.import_from(real_data / "oneshot", tmp_path)
    expected = "400 characters in 20 runs, 800 drawings, 26×26"
    assert omniglot_oneshot.describe(tmp_path) == expected
