"""Made-up alphabets: reproducible, whole, and as varied as they are meant to be."""

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from vmacore.data.characters import SPLITS, Characters, Dataset
from vmacore.data.sets import glyphs
from vmacore.errors import VmaError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return glyphs.load()


def digest(images: Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


def alphabets(characters: Characters) -> set[str]:
    return {name.split("/")[0] for name in characters.classes}


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Pixels that differ between binary images a [N, H, W] and b [M, H, W]: [N, M]."""
    a, b = a.flatten(1).float(), b.flatten(1).float()
    return a.sum(1)[:, None] + b.sum(1) - 2 * a @ b.T


def nearest_neighbour_accuracy(characters: Characters, way: int, episodes: int) -> float:
    """One shot; every drawing left over is a query; ties go to the class drawn first, which is random."""
    generator = torch.Generator().manual_seed(0)
    accuracies = []
    for _ in range(episodes):
        classes = torch.randperm(characters.n_classes, generator=generator)[:way]
        shuffled = torch.rand(way, 20, generator=generator).argsort(1)
        images = characters.images[characters.offsets[classes][:, None] + shuffled]
        guess = distances(images[:, 1:].flatten(0, 1), images[:, 0]).argmin(1)
        accuracies.append((guess == torch.arange(way).repeat_interleave(19)).float().mean())
    return float(torch.stack(accuracies).mean())


def test_same_seed_same_bytes_whatever_was_drawn_before() -> None:
    once = glyphs.make_alphabets(2, seed=5)
    np.random.seed(1)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        twice = glyphs.make_alphabets(2, seed=5)
    finally:
        torch.set_num_threads(threads)

    assert digest(once.images) == digest(twice.images)
    assert digest(once.images) != digest(glyphs.make_alphabets(2, seed=6).images)


def test_global_random_state_is_left_alone() -> None:
    torch_before = torch.get_rng_state()
    numpy_before = repr(np.random.get_state())
    glyphs.make_alphabets(1)

    assert torch.equal(torch.get_rng_state(), torch_before)
    assert repr(np.random.get_state()) == numpy_before


def test_alphabet_does_not_depend_on_how_many_are_made(dataset: Dataset) -> None:
    # The splits are cuts of one collection: the 39th alphabet made alone is the first one of the test split.
    alone = glyphs.make_alphabets(1, first=39)

    assert alone.classes == dataset.test.classes[:24]
    assert torch.equal(alone.images, dataset.test.images[: 24 * 20])


@pytest.mark.parametrize(("name", "n_classes"), [("train", 816), ("validation", 96), ("test", 144)])
def test_split_is_complete(dataset: Dataset, name: str, n_classes: int) -> None:
    characters = dataset.split(name)

    assert characters.n_classes == n_classes == len(set(characters.classes))
    assert characters.classes == tuple(sorted(characters.classes))
    assert characters.counts.tolist() == [20] * n_classes
    assert characters.images.shape == (n_classes * 20, 26, 26)
    assert characters.images.dtype == torch.uint8
    assert characters.levels == 1
    assert characters.images.flatten().bincount().nonzero().flatten().tolist() == [0, 1]


def test_splits_share_no_alphabet(dataset: Dataset) -> None:
    train, validation, test = (alphabets(dataset.split(name)) for name in SPLITS)

    assert (len(train), len(validation), len(test)) == (34, 4, 6)
    assert len(train | validation | test) == 44
    assert "Glyphs01/character05" in dataset.train.classes


@pytest.mark.parametrize("name", SPLITS)
def test_ink_is_like_that_of_handwriting(dataset: Dataset, name: str) -> None:
    ink = dataset.split(name).images.float().mean((1, 2))

    assert 0.12 < float(ink.mean()) < 0.16  # Omniglot: 0.14
    assert float(ink.min()) > 0.015  # 10 pixels: no drawing is blank or a speck
    assert float(ink.max()) < 0.5


@pytest.mark.parametrize("name", SPLITS)
def test_no_drawing_of_a_class_is_another_one_again(dataset: Dataset, name: str) -> None:
    for own in dataset.split(name).images.view(-1, 20, 26, 26):
        apart = distances(own, own)
        apart.fill_diagonal_(torch.inf)
        assert float(apart.min()) >= 1


def test_classes_differ_more_than_drawings_of_one(dataset: Dataset) -> None:
    apart = distances(dataset.test.images, dataset.test.images)
    same = dataset.test.labels[:, None] == dataset.test.labels
    other_drawing = same & ~torch.eye(len(same), dtype=torch.bool)

    assert float(apart[other_drawing].mean()) < 0.9 * float(apart[~same].mean())


def test_letters_of_an_alphabet_are_distinct(dataset: Dataset) -> None:
    # The mean of half of a letter's drawings is nearest to that of its other half; twin letters would mix.
    for letters in dataset.test.images.float().view(-1, 24, 20, 26, 26):
        halves = letters[:, 0::2].mean(1).flatten(1), letters[:, 1::2].mean(1).flatten(1)
        apart = torch.cdist(*halves)
        assert bool((apart.argmin(1) == torch.arange(24)).float().mean() > 0.9)


def test_pixels_alone_name_about_half_of_new_letters(dataset: Dataset) -> None:
    assert 0.40 < nearest_neighbour_accuracy(dataset.test, way=5, episodes=300) < 0.65


def test_says_how_it_was_made(dataset: Dataset) -> None:
    assert (dataset.name, dataset.protocol, dataset.binarisation) == ("glyphs", "standard", "exact")
    assert dataset.preparation == "strokes 26x26, seed 0"
    assert glyphs.load(3, train=1, validation=1, test=1).preparation == "strokes 26x26, seed 3"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"n_alphabets": 0}, "number of alphabets"),
        ({"n_alphabets": 1, "n_characters": -2}, "number of characters"),
        ({"n_alphabets": 1, "n_drawings": 0}, "number of drawings"),
        ({"n_alphabets": 1, "first": 0}, "first alphabet"),
        ({"n_alphabets": 1, "seed": -1}, "seed"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, int], complaint: str) -> None:
    with pytest.raises(VmaError, match=complaint):
        glyphs.make_alphabets(**arguments)
