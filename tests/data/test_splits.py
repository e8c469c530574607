from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.data.sets import omniglot
from vmacore.data.splits import (
    TEST_ALPHABETS,
    alphabet_of,
    by_alphabet,
    sizes_in_words,
    split_by_alphabet,
    validation_classes,
    vinyals_split,
    with_turned,
)

CLASSES = omniglot.class_names(omniglot.ALPHABETS)


def alphabets_of(classes: tuple[int, ...]) -> set[str]:
    return {alphabet_of(CLASSES[c]) for c in classes}


@pytest.mark.parametrize(("protocol", "sizes"), [("45-5", (1331, 148, 144)), ("30-20", (868, 96, 659))])
def test_protocols(protocol: str, sizes: tuple[int, ...]) -> None:
    split = split_by_alphabet(CLASSES, TEST_ALPHABETS[protocol])
    assert (len(split.train), len(split.validation), len(split.test)) == sizes
    assert sorted(split.train + split.validation + split.test) == list(range(len(CLASSES)))
    assert alphabets_of(split.test) == set(TEST_ALPHABETS[protocol])
    assert not alphabets_of(split.validation) & alphabets_of(split.train)


def test_all_alphabets_but_those_that_validate_train() -> None:
    split = split_by_alphabet(CLASSES, TEST_ALPHABETS["all"])
    assert (len(split.train), len(split.validation), len(split.test)) == (1461, 162, 0)


def test_the_split_of_vinyals() -> None:
    split = vinyals_split(CLASSES)
    assert (len(split.train), len(split.validation), len(split.test)) == (1028, 172, 423)
    assert sorted(split.train + split.validation + split.test) == list(range(len(CLASSES)))


@pytest.mark.parametrize(("part", "file"), [("train", "train"), ("validation", "val"), ("test", "test")])
def test_the_split_of_vinyals_is_the_published_one(part: str, file: str, real_data: Path) -> None:
    listed = {line.rsplit("/", 1)[0] for line in (real_data / "omniglot-vinyals" / f"{file}.txt").read_text().split()}
    assert {CLASSES[c] for c in getattr(vinyals_split(CLASSES), part)} == listed


def test_alphabets_apart() -> None:
    labels = torch.tensor([0, 0, 1, 2])
    characters = Characters(torch.arange(4, dtype=torch.uint8).view(4, 1, 1), labels, ("a/1", "b/1", "a/2"), levels=3)
    parts = by_alphabet(characters)
    assert {name: part.classes for name, part in parts.items()} == {"a": ("a/1", "a/2"), "b": ("b/1",)}
    assert parts["a"].images.flatten().tolist() == [0, 1, 3]


def test_turned_characters_are_classes_of_their_own() -> None:
    images = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    turned = with_turned(Characters(images, torch.tensor([0, 0, 1]), ("a/x", "b/y"), levels=11))
    assert turned.classes == tuple(
        f"{name}-rot{turn}" for name in ("a/x", "b/y") for turn in ("000", "090", "180", "270")
    )
    assert turned.counts.tolist() == [2] * 4 + [1] * 4
    assert torch.equal(turned.images[:2], images[:2])
    assert turned.images[2].tolist() == [[1, 3], [0, 2]]  # anticlockwise
    assert turned.images[10].tolist() == [[11, 10], [9, 8]]
    assert turned.levels == 11


def test_validation_alphabets_stay_what_they_are() -> None:
    # Written out, since runs made with other ones could not be compared.
    expected = {
        "45-5": {
            "Alphabet_of_the_Magi",
            "Atemayar_Qelisayer",
            "Hebrew",
            "Korean",
            "Syriac_(Estrangelo)",
            "Tagalog",
        },
        "30-20": {
            "Inuktitut_(Canadian_Aboriginal_Syllabics)",
            "Korean",
            "Syriac_(Estrangelo)",
            "Tagalog",
        },
    }
    for protocol, alphabets in expected.items():
        assert alphabets_of(split_by_alphabet(CLASSES, TEST_ALPHABETS[protocol]).validation) == alphabets


def classes_of(sizes: dict[str, int]) -> list[str]:
    return [f"{name}/character{n:02}" for name in sorted(sizes) for n in range(1, sizes[name] + 1)]


def test_whole_alphabets_validate_where_they_add_up() -> None:
    classes = classes_of({"a": 30, "b": 31, "c": 4, "d": 33, "e": 3, "f": 6, "g": 23})  # 13 of 130 = c + e + f
    assert {classes[c][0] for c in validation_classes(classes)} == {"c", "e", "f"}


def test_names_of_alphabets_need_not_be_utf8() -> None:
    classes = classes_of({"na\udcffme": 18, "other": 2})
    assert [classes[c] for c in validation_classes(classes)] == classes_of({"other": 2})


def test_an_alphabet_is_divided_where_they_do_not_add_up() -> None:
    sizes = {"a": 20, "b": 20, "c": 7, "d": 23, "e": 30}  # 10 of 100: c whole, and 3 of another
    classes = classes_of(sizes)
    chosen = [classes[c] for c in validation_classes(classes)]
    queue = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    other = next(name for name in queue if name != "c")
    assert chosen == sorted([*classes_of({"c": 7}), *classes_of({other: 3})])


def test_few_classes_need_no_validation() -> None:
    assert validation_classes(classes_of({"a": 2, "b": 2})) == []
    assert validation_classes([]) == []


def test_sizes_in_words() -> None:
    made = replace(synthetic.dataset(), train=synthetic.characters([600, 700]))
    assert sizes_in_words(made, "drawings") == "1,420 drawings, 8×8: 1,300 train, 60 validation, 60 test"
