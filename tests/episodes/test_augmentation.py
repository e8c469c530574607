"""Changes of whole classes: exact symmetries, ink that stays, one change for all drawings of a class."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from tests import synthetic
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.data.sets import glyphs
from vmacore.episodes import training_sampler
from vmacore.episodes.augmentation import (
    BEND,
    STROKES,
    Augmentation,
    affine,
    after,
    bend,
    restroked,
    stroke_kinds,
    symmetries,
    warp,
)
from vmacore.episodes.base import Episode
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError

CHARACTERS = synthetic.characters([9] * 6)


def _sampler(
    turned: float, warped: float, characters: Characters = CHARACTERS, *, n_way: int = 5, seed: int = 0
) -> EpisodeSampler:
    changes = Augmentation(turned, warped, characters.size, binary=characters.levels == 1)
    return EpisodeSampler(characters, n_way=n_way, n_shot=3, n_target=4, seed=seed, augmentation=changes)


def _turns(image: Tensor) -> list[Tensor]:
    """The eight pictures that an image [H, W] can be turned to, by torch's own rotations and flips."""
    return [flipped.rot90(k) for flipped in (image, image.flip(0)) for k in range(4)]


def _drawn(episode: Episode, characters: Characters = CHARACTERS) -> tuple[Tensor, Tensor, Tensor]:
    """Every drawing as it is and as it came [P, H, W], and its label."""
    index = torch.cat([episode.memory_index, episode.target_index])
    came = torch.cat([episode.memory, episode.targets])[:, 0]
    return characters.images[index].float(), came, torch.cat([episode.memory_labels, episode.target_labels])


def _strokes(count: int) -> Tensor:
    """Pictures of a polyline away from the border, made small by the largest of 4×4 pixels [count, 1, 26, 26]."""
    draw = torch.Generator().manual_seed(3)
    corner = 24 + 56 * torch.rand(count, 4, 2, generator=draw)
    t = torch.linspace(0, 1, 200)[:, None]
    line = torch.cat([corner[:, i, None] * (1 - t) + corner[:, i + 1, None] * t for i in range(3)], 1)
    images = torch.zeros(count, 104, 104)
    for image, points in zip(images, line.round().long(), strict=True):
        image[points[:, 0], points[:, 1]] = 1
    return F.max_pool2d(F.max_pool2d(images[:, None], 3, stride=1, padding=1), 4)


def _pieces(images: Tensor) -> Tensor:
    return torch.tensor([ndimage.label(image[0].numpy(), torch.ones(3, 3))[1] for image in images])


def test_symmetries_are_the_eight_of_the_square() -> None:
    image = torch.arange(25.0).view(5, 5)
    turned = {tuple(image.flatten()[source].tolist()) for source in symmetries(5)}
    assert turned == {tuple(turn.flatten().tolist()) for turn in _turns(image)}
    assert len(turned) == 8
    assert symmetries(5)[0].tolist() == list(range(25))


def test_a_class_is_turned_as_one_and_can_be_turned_back() -> None:
    sampler = _sampler(1.0, 0.0)
    for step in range(5):
        before, after, label = _drawn(sampler.at(step))
        for own in range(5):
            rows = label == own
            fits = [
                turn
                for turn in range(8)
                if all(torch.equal(_turns(one)[turn], two) for one, two in zip(before[rows], after[rows], strict=True))
            ]
            assert len(fits) == 1  # of memory and targets alike
            assert fits != [0]
            source = next(
                s for s in symmetries(8) if torch.equal(before[rows].flatten(1)[:, s], after[rows].flatten(1))
            )
            assert torch.equal(after[rows].flatten(1)[:, source.argsort()], before[rows].flatten(1))


def test_the_seven_others_are_alike() -> None:
    image = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    pictures = _turns(image[0, 0])
    changes = Augmentation(0.7, 0.0, (4, 4))
    change = changes.draw(7_000, torch.Generator().manual_seed(1))
    came = change(image.expand(7_000, 1, 4, 4), torch.arange(7_000))[:, 0]
    counts = torch.tensor([float((came == picture).all((1, 2)).sum()) for picture in pictures])
    expected = torch.tensor([2_100.0] + [700.0] * 7)
    assert float(counts.sum()) == 7_000
    assert float(((counts - expected) / expected.sqrt()).abs().max()) < 4


@pytest.mark.parametrize(("turned", "warped"), [(0.5, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_indices_stay_and_the_change_is_of_seed_and_step(turned: float, warped: float) -> None:
    plain = EpisodeSampler(CHARACTERS, n_way=5, n_shot=3, n_target=4, seed=0)
    used = _sampler(turned, warped)
    for step in (4, 0, 2):
        used.at(step)
    one, two = used.at(4), _sampler(turned, warped).at(4)
    assert torch.equal(one.targets, two.targets)
    assert torch.equal(one.memory, two.memory)
    assert torch.equal(one.target_index, plain.at(4).target_index)
    assert torch.equal(one.memory_index, plain.at(4).memory_index)
    assert not torch.equal(one.memory, plain.at(4).memory)
    # The drawings themselves stay as they were.
    assert torch.equal(used.characters.images, synthetic.characters([9] * 6).images)


def test_every_step_and_seed_has_its_own_change() -> None:
    image = _strokes(1)
    changes = [
        Augmentation(0.0, 1.0, (26, 26)).draw(2, torch.Generator().manual_seed(seed))(image.repeat(2, 1, 1, 1), label)
        for seed in range(3)
        for label in [torch.tensor([0, 1])]
    ]
    pictures = {tuple(picture.flatten().tolist()) for change in changes for picture in change}
    assert len(pictures) == 6


def test_a_class_is_warped_as_one() -> None:
    same = Characters(  # all drawings of all classes are one
        (_strokes(1)[0].expand(28, 26, 26)).to(torch.uint8), torch.arange(28) // 7, ("a", "b", "c", "d")
    )
    episode = _sampler(0.5, 1.0, same, n_way=4).at(1)
    _, came, label = _drawn(episode, same)
    for own in range(4):
        assert torch.equal(came[label == own], came[label == own][:1].expand(7, 26, 26))
    assert len({tuple(picture.flatten().tolist()) for picture in came}) == 4
    assert set(came.unique().tolist()) == {0.0, 1.0}


def test_an_affine_map_moves_ink_to_where_it_says() -> None:
    unit = torch.zeros(4, 6)
    unit[0, 0], unit[1, 2], unit[2, 4], unit[3, 1] = 1.0, 1.0, 1.0, 1.0
    theta = affine(unit, 1.0, (26, 26))
    across = torch.zeros(1, 1, 26, 26)
    across[..., 12:14, 21:23] = 1.0  # around the centre's height, 9 pixels right of it
    down = across.mT
    spot = warp(torch.cat([across, across, across, down]), theta)[:, 0]
    axis = torch.arange(26.0) - 12.5
    x = (spot * axis).sum((1, 2)) / spot.sum((1, 2))
    y = (spot * axis[:, None]).sum((1, 2)) / spot.sum((1, 2))
    angle = math.radians(15)
    expected = [(9 * math.cos(angle), 9 * math.sin(angle)), (9 * 1.15, 0.0), (9 + 1.5, 0.0), (9 * 0.25, 9.0)]
    for row, (to_x, to_y) in enumerate(expected):
        assert float(x[row]) == pytest.approx(to_x, abs=0.1)
        assert float(y[row]) == pytest.approx(to_y, abs=0.1)


def test_pictures_that_are_not_square_are_warped_in_pixels() -> None:
    unit = torch.zeros(1, 6)
    unit[0, 0] = 1.0
    wide = torch.zeros(1, 1, 20, 40)
    wide[..., 9:11, 31:33] = 1.0  # 12 pixels right of the centre
    turned = warp(wide, affine(unit, 1.0, (20, 40)))[0, 0]
    y = float((turned * (torch.arange(20.0) - 9.5)[:, None]).sum() / turned.sum())
    assert y == pytest.approx(12 * math.sin(math.radians(15)), abs=0.1)


def test_no_strength_is_no_change() -> None:
    images = _strokes(10)
    unit = 2 * torch.rand(10, 6, generator=torch.Generator().manual_seed(0)) - 1
    assert torch.allclose(warp(images, affine(unit, 0.0, (26, 26))), images, atol=1e-5)


def test_strokes_keep_their_ink_and_stay_whole() -> None:
    images = _strokes(1_000)
    change = Augmentation(0.0, 1.0, (26, 26)).draw(1_000, torch.Generator().manual_seed(0))
    warped = change(images, torch.arange(1_000))
    assert float(warped.mean() / images.mean()) == pytest.approx(1, abs=0.03)
    assert int(_pieces(images).max()) == 1
    assert int((_pieces(warped) > 1).sum()) <= 15


def test_intensities_are_changed_before_pixels_are_drawn() -> None:
    images = torch.zeros(28, 26, 26, dtype=torch.uint8)
    images[:, 8:18, 8:18] = 4
    grey = Characters(images, torch.arange(28) // 7, ("a", "b", "c", "d"), levels=16)
    sampler = _sampler(0.5, 1.0, grey, n_way=4)
    episodes = [sampler.at(step) for step in range(100)]
    pixels = torch.cat([torch.cat([episode.memory, episode.targets]) for episode in episodes])
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    assert float(pixels[..., 11:15, 11:15].mean()) == pytest.approx(0.25, abs=0.01)  # no threshold, which would be 0
    again = sampler.at(99)
    assert torch.equal(again.memory, episodes[-1].memory)


def test_without_targets() -> None:
    changes = Augmentation(0.5, 0.5, CHARACTERS.size)
    episode = EpisodeSampler(CHARACTERS, n_way=5, n_shot=3, n_target=0, seed=0, augmentation=changes).at(0)
    assert episode.targets.shape == (0, 1, 8, 8)


def test_only_squares_can_be_turned() -> None:
    with pytest.raises(VmaError, match=r"drawings of 8×9 cannot be turned: set episode\.turned to 0"):
        Augmentation(0.1, 0.0, (8, 9))
    Augmentation(0.0, 1.0, (8, 9))


def test_ink_of_omniglot(real_omniglot: Path) -> None:
    train = load_dataset("omniglot", data_dir=real_omniglot).train
    images = train.images[::5].float()[:, None]
    change = Augmentation(0.0, 1.0, train.size).draw(len(images), torch.Generator().manual_seed(0))
    assert float(change(images, torch.arange(len(images))).mean() / images.mean()) == pytest.approx(1, abs=0.03)


def test_one_map_after_another() -> None:
    """Of pictures: `after` maps a changed picture's pixels back through both, the second first."""
    unit = 2 * torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(0)).double() - 1
    first, second = (affine(part, 1.0, (26, 26)).double() for part in unit)
    points = torch.cat([torch.rand(3, 2, 7).double(), torch.ones(3, 1, 7).double()], 1)
    once = torch.cat([first @ points, torch.ones(3, 1, 7).double()], 1)
    torch.testing.assert_close(after(first, second) @ points, second @ once)


def test_every_drawing_is_jittered_by_itself() -> None:
    image = _strokes(1).expand(12, 1, 26, 26)
    labels = torch.arange(12) % 2
    changes = Augmentation(0.0, 0.0, (26, 26), jittered=1.0)

    def changed(seed: int) -> Tensor:
        return changes.draw(2, torch.Generator().manual_seed(seed))(image, labels)

    once = changed(0)
    assert torch.equal(once, changed(0))
    assert len(once.flatten(1).unique(dim=0)) == 12  # of a class too
    assert set(once.unique().tolist()) == {0.0, 1.0}
    assert 0.6 < float(once.mean() / image.mean()) < 1.5
    moved = (once != image).flatten(1).float().mean(1)
    assert float(moved.max()) < 0.3


def test_a_bent_drawing_is_seen_where_its_points_moved() -> None:
    # All points move alike: a shift, of as many pixels of x in either view.
    points = torch.zeros(1, 2, 5, 5)
    points[:, 0], points[:, 1] = 2.0, -1.0
    for zoom in (1, 2):
        images = torch.rand(1, 1, 6 * zoom, 8 * zoom, generator=torch.Generator().manual_seed(0))
        moved = bend(points, 1 / BEND, (6, 8))
        seen = warp(images, torch.eye(2, 3)[None], moved)
        inner = images[:, :, : 5 * zoom, 2 * zoom :]
        assert torch.allclose(seen[:, :, zoom:, : 6 * zoom], inner, atol=1e-5)


def test_each_drawing_is_bent_in_a_way_of_its_own() -> None:
    image = torch.zeros(1, 1, 26, 26)
    image[:, :, 4:22, 12:14] = 1
    change = Augmentation(0, 0, (26, 26), bent=1.0).draw(1, torch.Generator().manual_seed(0))
    first, second = change(image.expand(2, -1, -1, -1), torch.zeros(2, dtype=torch.int64))
    assert not torch.equal(first, image[0])
    assert not torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert 0.6 < float(first.mean() / image.mean()) < 1.5


def test_strokes_are_thickened_and_outlined() -> None:
    image = torch.zeros(1, 1, 20, 20)
    image[:, :, 10, 6:14] = 1  # a stroke of one pixel by eight
    rng = torch.Generator().manual_seed(0)
    changed = restroked(image.expand(600, -1, -1, -1), stroke_kinds(600, 0.5, rng))
    inks = changed.flatten(1).sum(1)
    # As it is; thickened to 3 × 10, 5 × 12 and 7 × 14; outlines 5 × 12 − 1 × 8 and 7 × 14 − 3 × 10.
    counts = {ink: int((inks == ink).sum()) for ink in (8, 30, 60, 98, 52, 68)}
    assert sum(counts.values()) == 600
    assert counts[8] == pytest.approx(300, abs=50)
    assert [counts[ink] for ink in (30, 60, 98, 52, 68)] == [
        pytest.approx(300 * often / sum(STROKES), abs=35) for often in STROKES
    ]
    assert torch.equal(restroked(image, stroke_kinds(1, 0.0, rng)), image)


def test_strokes_of_a_class_change_alike() -> None:
    image = torch.zeros(1, 1, 20, 20)
    image[:, :, 10, 6:14] = 1
    change = Augmentation(0.0, 0.0, (10, 10), strokes=0.5, binary=False).draw(40, torch.Generator().manual_seed(0))
    labels = torch.arange(40).repeat(3)
    inks = change(image.expand(120, -1, -1, -1), labels).flatten(1).sum(1).view(3, 40)
    assert torch.equal(inks[0], inks[1])  # memory and targets of a class
    assert torch.equal(inks[0], inks[2])
    assert {8, 30} < set(inks[0].int().tolist())


def test_strokes_of_an_episode_are_of_the_finer_view() -> None:
    settings = {"classes": 4, "targets": 2, "strokes": 1.0}
    finer = training_sampler(synthetic.config(episode=settings), glyphs.make_alphabets(1, finer=True), "cpu").at(0)
    plain = training_sampler(
        synthetic.config(episode={**settings, "strokes": 0.0}), glyphs.make_alphabets(1, finer=True), "cpu"
    ).at(0)
    assert torch.equal(finer.target_index, plain.target_index)
    assert finer.targets.mean() > 1.2 * plain.targets.mean()
    assert finer.memory.mean() > 1.2 * plain.memory.mean()
    with pytest.raises(VmaError, match=r"set model.view to finer, or episode.strokes to 0"):
        training_sampler(synthetic.config(episode=settings), CHARACTERS, "cpu")
