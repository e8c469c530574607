"""Memories of pictures in files: what comes back, grows and shrinks, and what leave-one-out tells."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import synthetic
from vmacore.addressing import similarities
from vmacore.config import ModelConfig
from vmacore.data.characters import Characters
from vmacore.data.pictures import LEVELS, Preparation
from vmacore.errors import VmaError
from vmacore.memory import calibration
from vmacore.memory.calibration import Calibration
from vmacore.memory.large import open_memory, write_memory
from vmacore.memory.pictures import PictureMemory, open_pictures, read_pictures
from vmacore.models.vma import VariationalMemoryAddressing

PREPARATION = Preparation((8, 8))
COUNTS = [3, 1, 4, 2]


def make_model(view: str = "pixels") -> VariationalMemoryAddressing:
    """Untrained, with keys that differ."""
    torch.manual_seed(0)
    layout = {"network": "residual", "stages": (4, 6), "blocks": (1, 1), "latent_maps": (1, 1), "embedding": 8}
    model = VariationalMemoryAddressing(ModelConfig(size=(8, 8), view=view, **layout)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.15 * torch.randn_like(parameter))
    return model


def characters(counts: list[int] = COUNTS, seed: int = 0, start: str = "a") -> Characters:
    """Classes a, b, c … in the finer view of 8×8, alike within a class."""
    pixels = synthetic.characters(counts, seed=seed)
    finer = pixels.images.repeat_interleave(2, 1).repeat_interleave(2, 2) * (LEVELS - 7)
    names = tuple(chr(ord(start) + c) for c in range(len(counts)))
    files = tuple(f"{names[int(c)]}/{seed}-{number}.png" for number, c in enumerate(pixels.labels))
    return Characters(finer, pixels.labels, names, LEVELS, True, files)


def make_memory(model: VariationalMemoryAddressing, drawings: Characters | None = None) -> PictureMemory:
    """Read and calibrated."""
    return read_pictures(model, drawings or characters(), PREPARATION, "some-run").calibrated(model)


def assert_same(one: PictureMemory, other: PictureMemory) -> None:
    assert (one.classes, one.files, one.preparation, one.run) == (
        other.classes,
        other.files,
        other.preparation,
        other.run,
    )
    assert one.calibration is not None
    assert other.calibration is not None
    assert one.calibration.temperature == pytest.approx(other.calibration.temperature)
    for mine, theirs in (
        (one.labels, other.labels),
        (one.slots.slots, other.slots.slots),
        (one.slots.keys, other.slots.keys),
        (one.slots.log_prior, other.slots.log_prior),
        (one.calibration.cosines, other.calibration.cosines),
        (one.calibration.nearest, other.calibration.nearest),
        (one.calibration.centres, other.calibration.centres),
    ):
        torch.testing.assert_close(mine, theirs, equal_nan=True)
    assert torch.equal(one.images(torch.arange(len(one))), other.images(torch.arange(len(other))))


@pytest.mark.parametrize("view", ["pixels", "finer"])
def test_a_memory_comes_back_from_its_file(tmp_path: Path, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmacore.memory.pictures.PART", 3)
    model, drawings = make_model(view), characters()
    memory = make_memory(model, drawings)
    memory.save(tmp_path / "m")
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
    found = open_pictures(tmp_path / "m")
    assert_same(found, memory)
    found.check(model, tmp_path / "m")
    seen = drawings if view == "finer" else drawings.in_pixels()
    kept = found.characters()
    assert torch.equal(kept.images, seen.images)
    assert (kept.levels, kept.finer, kept.files) == (seen.levels, seen.finer, seen.files)
    assert found.characters(["c"]).files == drawings.files[4:8]
    plain = open_memory(tmp_path / "m", model)  # also a large memory like any other
    assert torch.equal(plain.contents(torch.arange(10)), model.pixels(seen.images[:, None].float() / seen.levels))
    assert found.as_dataset("m", None, "pixels").test.images.shape == (10, 8, 8)
    if view == "pixels":
        with pytest.raises(VmaError, match="pixels alone"):
            found.as_dataset("m", None, "finer")


def test_keys_are_those_of_other_large_memories(tmp_path: Path) -> None:
    model, drawings = make_model(), characters()
    pixels = drawings.in_pixels()
    write_memory(tmp_path / "m", model, [pixels.images], 10, labels=pixels.labels, classes=4)
    expected, memory = open_memory(tmp_path / "m", model), make_memory(model, drawings).slots
    torch.testing.assert_close(memory.keys, expected.keys)
    torch.testing.assert_close(memory.log_prior, expected.log_prior)
    assert torch.equal(memory.slots, expected.slots)


@pytest.mark.parametrize("view", ["pixels", "finer"])
def test_what_is_added_and_removed_is_as_if_it_was_built_so(view: str) -> None:
    model = make_model(view)
    first, second = characters([3, 2]), characters([2, 2], seed=1, start="b")  # b in both, c new
    memory = make_memory(model, first).joined(make_memory(model, second)).calibrated(model)
    assert memory.classes == ("a", "b", "c")
    assert memory.counts.tolist() == [3, 4, 2]
    assert memory.files == (*first.files, *second.files)
    both = Characters(
        torch.cat([first.images, second.images]),
        torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2]),
        ("a", "b", "c"),
        LEVELS,
        True,
        first.files + second.files,
    )
    assert_same(memory, make_memory(model, both))
    assert_same(memory.without(["c", *second.files[:2]]).calibrated(model), make_memory(model, first))
    assert memory.without([*first.files[:3], "b"]).classes == ("c",)
    with pytest.raises(VmaError, match="no class and no file 'absent'"):
        memory.without(["absent"])
    with pytest.raises(VmaError, match="no picture would be left"):
        memory.without(["a", "b", "c"])


def test_a_file_that_is_added_again_is_read_anew() -> None:
    model, drawings = make_model(), characters()
    changed = replace(drawings, images=drawings.images.flip(2)).select([0])
    memory = make_memory(model).joined(make_memory(model, changed)).calibrated(model)
    assert len(memory) == len(drawings.images)
    own = memory.characters(["a"])
    assert torch.equal(own.images, changed.in_pixels().images)


def test_a_file_of_the_same_path_in_another_class_is_another() -> None:
    model, drawings = make_model(), characters()
    other = replace(drawings.select([0]), classes=("e",))
    memory = make_memory(model).joined(make_memory(model, other))
    assert memory.counts.tolist() == [*COUNTS, COUNTS[0]]


def test_on_another_device() -> None:
    memory = make_memory(make_model("finer"))
    assert_same(memory.to("cpu"), memory)
    moved = memory.to("meta")
    assert moved.calibration is not None
    assert {tensor.device.type for tensor in (moved.slots.keys, moved.labels, moved.calibration.centres)} == {"meta"}


def test_calibration_asks_each_picture_of_the_others() -> None:
    model, drawings = make_model(), characters([3, 1, 4, 2], seed=3)
    memory = make_memory(model, drawings)
    assert memory.calibration is not None
    images = drawings.in_pixels().images[:, None].float()
    keys, queries = model.keys(images), model.queries(images)
    cosines = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T
    scores = similarities(keys, queries).double()
    log_q, right = [], []
    for slot, label in enumerate(drawings.labels.tolist()):
        others = [[s for s in range(10) if s != slot and int(drawings.labels[s]) == c] for c in range(4)]
        if not others[label]:
            assert math.isnan(memory.calibration.cosines[slot])
            assert math.isnan(memory.calibration.centres[slot])
            continue
        nearest = max((s for s in range(10) if s != slot), key=lambda s: float(cosines[slot, s]))
        assert int(memory.calibration.nearest[slot]) == nearest
        # What the picture left out would bring: what the one before brings, where left out in turn, times (k − 2)/k.
        asking, own, k = F.normalize(queries[slot], dim=0), others[label], len(others[label]) + 1
        left = [max(float(cosines[slot, s]) for s in range(10) if s not in (slot, other)) for other in own]
        brought = (float(cosines[slot, nearest]) - float(np.mean(left))) * (k - 2) / k
        assert float(memory.calibration.cosines[slot]) == pytest.approx(
            float(cosines[slot, nearest]) + (brought if nearest in own else 0), abs=1e-5
        )
        unit = F.normalize(keys, dim=1)
        centres = [float(asking @ F.normalize(unit[of].mean(0), dim=0)) for of in others]
        if k > 2:
            sums = unit[own].sum(0) - unit[own]  # without each in turn
            fewer = float((sums @ asking).mean() / (sums**2).sum(1).mean().sqrt())
            centres[label] += (centres[label] - fewer) * (k - 2) / k
        centre = max(centres)
        assert float(memory.calibration.centres[slot]) == pytest.approx(centre, abs=1e-5)
        log_q.append(torch.stack([scores[slot, own].exp().mean().log() for own in others]))
        right.append(label)
    losses = [float(F.cross_entropy(torch.stack(log_q) / t, torch.tensor(right))) for t in calibration.TEMPERATURES]
    assert memory.calibration.temperature == calibration.TEMPERATURES[losses.index(min(losses))]


def test_of_many_pictures_some_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "ASKED", 4)
    monkeypatch.setattr(calibration, "SCORES", 20)
    monkeypatch.setattr(calibration, "BLOCK", 3)
    memory = make_memory(make_model())
    assert memory.calibration is not None
    assert memory.calibration.asked.nonzero()[:, 0].tolist() == [0, 2, 6, 9]  # slot 3 has no other of its class


def test_usual_cosines_and_thresholds() -> None:
    cosines = torch.tensor([0.8, 0.6, torch.nan, 0.9, 0.9, 0.9, 0.5])
    nearest = torch.tensor([1, 2, 0, 4, 3, 3, 0], dtype=torch.int32)
    labels = torch.tensor([0, 0, 1, 2, 2, 2, 2])
    centres = torch.tensor([0.3, 0.4, torch.nan, 0.1, 0.2, 0.9, 0.6])
    found = Calibration(cosines, nearest, centres, 1.0)
    mean = 4.6 / 6
    expected = [(1.4 + 5 * mean) / 7, mean, (3.2 + 5 * mean) / 9]
    assert found.usual(labels, 3).tolist() == pytest.approx(expected)
    alike = 0.9 - (3.2 - 0.9 + 5 * mean) / 8  # without itself
    excess = [0.8 - (0.6 + 5 * mean) / 6, 0.6 - mean, alike, alike, alike, 0.5 - expected[0]]
    excess = [number + centre for number, centre in zip(excess, centres[found.asked].tolist(), strict=True)]
    for part in (1e-9, 0.2, 0.4, 0.6):
        assert found.threshold(labels, 3, part) == pytest.approx(
            np.quantile(excess, part, method="median_unbiased"), abs=1e-6
        )
    assert found.threshold(labels, 3, 0) == -math.inf
    nan = torch.full((2,), torch.nan)
    none = Calibration(nan, torch.zeros(2, dtype=torch.int32), nan, 1.0)
    assert none.threshold(torch.tensor([0, 1]), 2, 0.5) == -math.inf
    assert none.usual(torch.tensor([0, 1]), 2).tolist() == [0, 0]


def test_what_is_no_memory_of_these_weights_is_refused(tmp_path: Path) -> None:
    model, pixels = make_model(), characters().in_pixels()
    with pytest.raises(VmaError, match="there is no memory"):
        open_pictures(tmp_path / "absent")
    with pytest.raises(VmaError, match=f"is a folder: build a memory of it .vma memory build {tmp_path.name}.mem "):
        open_pictures(tmp_path)
    write_memory(tmp_path / "plain", model, [pixels.images], 10)
    with pytest.raises(VmaError, match="holds no names"):
        open_pictures(tmp_path / "plain")
    memory = make_memory(model)
    model.key_network.get_parameter(next(iter(dict(model.key_network.named_parameters())))).add_(1e-3)
    with pytest.raises(VmaError, match="made by other weights than some-run is now: build the memory again"):
        memory.check(model, tmp_path / "m")
    with pytest.raises(VmaError, match="holds no class 'z'; it holds a, b, c, d"):
        memory.characters(["z"])
    with pytest.raises(VmaError, match="reads"):
        read_pictures(model, characters(), Preparation((9, 9)), "some-run")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e20)
    with pytest.raises(VmaError, match="some-run makes of these pictures are not finite"):
        read_pictures(model, characters(), PREPARATION, "some-run")
    (tmp_path / "folder").write_text("")
    with pytest.raises(VmaError, match="cannot write"):
        memory.save(tmp_path / "folder" / "m")
