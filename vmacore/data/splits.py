"""Which classes train, which validate, which test.

Two of Omniglot's protocols are named by how many of its 50 alphabets stand on either side: 45-5, the paper's, and
30-20, the one that the data came with. `vinyals` is the split of most published accuracies (Vinyals et al. 2016, as
Snell et al. 2017 list it), with turned characters as classes of their own; `all` keeps no alphabet for tests. Only
names and counts decide here, no drawing and no result.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import torch

from vmacore.data.characters import SPLITS, Characters, Dataset

PAPER_TEST = ("Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG")

EVALUATION = (
    "Angelic", "Atemayar_Qelisayer", "Atlantean", "Aurek-Besh", "Avesta", "Ge_ez", "Glagolitic", "Gurmukhi",
    "Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya",
    "Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG",
)  # fmt: skip

TEST_ALPHABETS: dict[str, tuple[str, ...]] = {"45-5": PAPER_TEST, "30-20": EVALUATION, "all": ()}
VINYALS_VALIDATION = ("Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)")
VINYALS_TEST = (
    "Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya", "Sylheti",
    "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG",
)  # fmt: skip
VINYALS_TEST_CHARACTERS = tuple(f"Gurmukhi/character{n}" for n in (42, 43, 44, 45))  # the 1200 end amid an alphabet
VALIDATION_SHARE = 10  # one class in so many


@dataclass(frozen=True)
class ClassSplit:
    """Indices of classes, ascending, each in exactly one of the three."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def alphabet_of(name: str) -> str:
    """The alphabet in a class name such as "Tengwar/character03"."""
    return name.rpartition("/")[0]


def split_by_alphabet(classes: Sequence[str], test_alphabets: Sequence[str]) -> ClassSplit:
    """Classes of the test alphabets test; of the others, a tenth validates and the rest train.

    classes: names sorted by alphabet, such as "Tengwar/character03".
    """
    test = {c for c, name in enumerate(classes) if alphabet_of(name) in test_alphabets}
    seen = [c for c in range(len(classes)) if c not in test]
    chosen = {seen[i] for i in validation_classes([classes[c] for c in seen])}
    return ClassSplit(
        train=tuple(c for c in seen if c not in chosen),
        validation=tuple(sorted(chosen)),
        test=tuple(sorted(test)),
    )


def vinyals_split(classes: Sequence[str]) -> ClassSplit:
    """1028 characters train, 172 validate, 423 test, for names sorted by alphabet."""
    of: dict[str, list[int]] = {name: [] for name in SPLITS}
    for c, name in enumerate(classes):
        alphabet = alphabet_of(name)
        if alphabet in VINYALS_TEST or name in VINYALS_TEST_CHARACTERS:
            of["test"].append(c)
        else:
            of["validation" if alphabet in VINYALS_VALIDATION else "train"].append(c)
    return ClassSplit(*(tuple(of[name]) for name in SPLITS))


def by_alphabet(characters: Characters) -> dict[str, Characters]:
    """The classes of each alphabet, by its name; classes whose names have no alphabet are of ""."""
    members: dict[str, list[int]] = {}
    for c, name in enumerate(characters.classes):
        members.setdefault(alphabet_of(name), []).append(c)
    return {alphabet: characters.select(classes) for alphabet, classes in members.items()}


def with_turned(characters: Characters) -> Characters:
    """Each class four times: as it is, and turned by 90°, 180° and 270° as classes of their own."""
    turns = torch.stack([characters.images.rot90(k, (1, 2)) for k in range(4)])  # [4, N, H, W]
    rows = [
        torch.arange(first, end) + k * len(characters.images)
        for first, end in pairwise(characters.offsets.tolist())
        for k in range(4)
    ]
    return replace(
        characters,
        images=turns.flatten(0, 1)[torch.cat(rows)],
        labels=torch.arange(4 * characters.n_classes).repeat_interleave(characters.counts.repeat_interleave(4)),
        classes=tuple(f"{name}-rot{90 * k:03}" for name in characters.classes for k in range(4)),
    )


def validation_classes(classes: Sequence[str]) -> list[int]:
    """A tenth of the classes, rounded, as whole alphabets wherever those add up.

    Alphabets queue by the SHA-256 of their names: an order that no one chose and that mixes scripts of all
    kinds. One after another is taken if those behind it can still make up the exact number (148 of 1479 in
    45-5, 96 of 964 in 30-20). Where no set of whole alphabets gives it, the nearest smaller number is made up
    of whole ones, and the first characters of the next in the queue fill the rest.
    """
    wanted = round(len(classes) / VALIDATION_SHARE)
    members = {
        alphabet: list(rows) for alphabet, rows in groupby(range(len(classes)), key=lambda c: alphabet_of(classes[c]))
    }
    queue = sorted(members, key=lambda alphabet: hashlib.sha256(os.fsencode(alphabet)).hexdigest())

    reachable = [{0}]  # reachable[i]: totals that whole alphabets from the last i of the queue can have
    for alphabet in reversed(queue):
        reachable.append(reachable[-1] | {total + len(members[alphabet]) for total in reachable[-1]})
    left = max(total for total in reachable[-1] if total <= wanted)
    short = wanted - left

    chosen: list[int] = []
    for place, alphabet in enumerate(queue):
        behind = reachable[len(queue) - place - 1]
        size = len(members[alphabet])
        if size <= left and left - size in behind:
            chosen += members[alphabet]
            left -= size
        else:
            chosen += members[alphabet][:short]
            short -= min(short, size)
    return sorted(chosen)


def sizes_in_words(dataset: Dataset, what: str) -> str:
    """Such as "70,000 digits, 28×28: 55,000 train, 5,000 validation, 10,000 test"."""
    counts = {name: len(dataset.split(name).images) for name in SPLITS}
    height, width = dataset.train.size
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{sum(counts.values()):,} {what}, {height}×{width}: {parts}"
