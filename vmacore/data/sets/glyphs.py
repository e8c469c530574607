"""Made-up alphabets of random strokes: handwriting to train on where nothing has been downloaded.

An alphabet has a style: which kinds of stroke, how many, how large, from where and in which directions. A
character is one to four strokes composed in that style; a drawing is a character bent, slanted, stretched,
moved and inked by a pen of its own. All follows from the seed; alphabet i is the same however many are made.

The variation is set so that nearest neighbour on pixels tells a new letter from four others, each seen once,
little more than half the time, while a small convolutional network trained on other alphabets seldom fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from vmacore.data.characters import Characters, Dataset
from vmacore.data.views import ZOOM, quarters
from vmacore.errors import VmaError

PROTOCOLS: tuple[str, ...] = ("standard",)  # the first is the default
SIZE = 26  # pixels a side
POINTS = 64  # points on a stroke, evenly spaced: no wider apart than about half a pixel
HALF_PAPER = SIZE / 2 - 0.75  # pixels from the middle that a pen's centre may go: no pen reaches the edge
CANDIDATES = 1.6  # characters invented for each one kept

Floats = NDArray[np.float64]

# A pen's disk: its centre and eight points of the rim.
PEN: Floats = np.array([[0.0, 0.0], *([np.cos(a), np.sin(a)] for a in np.arange(8) * np.pi / 4)])
TIME: Floats = (np.arange(POINTS) + 0.5) / POINTS
# Smooth bending of a stroke: displacement at s = Σ_k c_k cos(k π s), c_k normal with deviation BEND[k].
MODES: Floats = np.cos(np.pi * np.arange(4)[:, None] * TIME)  # [4, P]
BEND: Floats = np.array([0.025, 0.03, 0.022, 0.01])  # half-heights of the letter


def _pick(weights: Floats, rng: Generator) -> int:
    """An index drawn in proportion to the weights; faster than Generator.choice, which checks them."""
    cumulative = weights.cumsum()
    return int(cumulative[:-1].searchsorted(rng.random() * cumulative[-1], side="right"))


def _ramp(start: float, stop: float) -> Floats:
    """0 before `start`, 1 after `stop`, straight between: [P]."""
    return np.clip((TIME - start) / (stop - start), 0.0, 1.0)


def _heading(kind: str, rng: Generator) -> Floats:
    """The direction in which a pen moves along a stroke of this kind, in radians: [P]."""
    profile: Floats  # share of the whole turn that is made by each point
    match kind:
        case "line":
            degrees, profile = rng.uniform(0, 20), TIME
        case "arc":
            degrees, profile = rng.uniform(80, 190), TIME
        case "bowl":
            degrees, profile = rng.uniform(200, 300), TIME
        case "ring":
            degrees, profile = 360.0, TIME
        case "wave":
            degrees, profile = rng.uniform(50, 80), np.cos(2 * np.pi * TIME)
        case "hook":
            degrees, profile = rng.uniform(130, 210), _ramp(rng.uniform(0.45, 0.65), 1.0)
        case "corner":
            degrees, at = rng.uniform(70, 130), rng.uniform(0.35, 0.65)
            profile = _ramp(at - 0.01, at + 0.01)
        case "bracket":
            degrees, profile = rng.uniform(75, 95), _ramp(0.29, 0.31) + _ramp(0.69, 0.71)
        case "zigzag":
            degrees, profile = rng.uniform(80, 130), _ramp(0.32, 0.34) - _ramp(0.66, 0.68)
        case "loop":
            degrees, profile = rng.uniform(330, 400), _ramp(0.3, 0.75)
        case _:
            raise AssertionError(kind)
    heading: Floats = np.radians(degrees) * profile
    return heading


# Each kind of stroke: how usual it is in all alphabets, and how apt to be a letter by itself.
KINDS = {
    "line": (4.0, 0.05),
    "arc": (2.0, 0.2),
    "bowl": (1.5, 1.0),
    "ring": (1.0, 1.0),
    "wave": (0.8, 1.0),
    "hook": (1.5, 1.0),
    "corner": (1.5, 1.0),
    "bracket": (0.8, 1.0),
    "zigzag": (0.6, 1.0),
    "loop": (0.7, 1.0),
}
USUAL: Floats = np.array([usual for usual, _ in KINDS.values()])
ALONE: Floats = np.array([alone for _, alone in KINDS.values()])
ROUND = ("ring", "loop", "bowl")  # as wide as they are long: drawn shorter
WAYS: Floats = np.array([[0.0, 1.0], [1.0, 0.0], [0.7, 0.7], [0.7, -0.7]])  # down, across and the diagonals
JOINTS = (0, POINTS // 3, POINTS // 2, 2 * POINTS // 3, POINTS - 1)  # where on a stroke another may begin
LENGTHS = (0.9, 1.4, 2.0)  # of a stroke; a letter is 2 high
# What a motif may be, from x, y to x, y: left, middle and right stem, head line and base line.
MOTIFS: Floats = np.array([[-1.0, -1, -1, 1], [0.0, -1, 0, 1], [1.0, -1, 1, 1], [-1.0, -1, 1, -1], [-1.0, 1, 1, 1]])


def _stroke(kind: str, start: Floats, end: Floats, flip: bool, rng: Generator) -> Floats:
    """A stroke [P, 2] from `start` to `end`, each [2]; a nearly closed one has `end` on its far side."""
    heading = _heading(kind, rng) * (-1.0 if flip else 1.0)
    path = np.cumsum(np.exp(1j * heading))
    path -= path[0]
    extent = np.abs(path - path.mean()).max()
    reach = path[-1] if abs(path[-1]) > extent else 2 * path.mean()
    path *= complex(*(end - start)) / reach
    return np.stack([path.real, path.imag], 1) + start


@dataclass(frozen=True)
class _Style:
    """What the characters of an alphabet have in common. A letter's box is -1 … 1 each way, y downwards."""

    kinds: Floats  # probability of each kind of stroke
    strokes: Floats  # probability of 1, 2, 3, 4 strokes
    anchors: Floats  # [A, 2]: points of the box where strokes begin
    ways: Floats  # probability of each of WAYS
    joined: float  # probability that a stroke begins on an earlier one
    mirrored: float  # probability that a stroke is the mirror image of the last
    motif: Floats | None  # a stroke that many characters share: a stem, a head line
    aspect: float  # width : height
    height: float  # pixels from a letter's middle to its top

    @classmethod
    def draw(cls, rng: Generator) -> _Style:
        lattice = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, -0.3, 0.3, 1.0]), -1).reshape(-1, 2)
        motif = None
        if rng.random() < 0.4:
            ends = MOTIFS[rng.integers(len(MOTIFS))]
            motif = _stroke("line", ends[:2], ends[2:], False, rng)
        return cls(
            kinds=rng.dirichlet(USUAL),
            strokes=rng.dirichlet([0.7, 3.5, 4.5, 1.8]),
            anchors=lattice[rng.permutation(len(lattice))[:7]],
            ways=rng.dirichlet([4.0, 3.0, 1.0, 1.0]),
            joined=rng.uniform(0.85, 1.0),
            mirrored=float(rng.choice([0.0, 0.1, 0.4])),
            motif=motif,
            aspect=float(np.exp(rng.normal(0.0, 0.15))),
            height=rng.uniform(7.4, 9.2),
        )

    def character(self, rng: Generator) -> list[Floats]:
        """The strokes of a new character, each [P, 2], centred in the box."""
        n_strokes = 1 + _pick(self.strokes, rng)
        strokes = [self.motif] if self.motif is not None and n_strokes > 1 and rng.random() < 0.5 else []
        while len(strokes) < n_strokes:
            for _ in range(12):
                stroke = self._next(strokes, n_strokes, rng)
                if _clear(stroke, strokes):
                    break
            strokes.append(stroke)
        points = np.concatenate(strokes)
        low, high = points.min(0), points.max(0)
        scale = min(2.0, 2.0 / (high - low).max())
        return [(stroke - (low + high) / 2) * scale * [self.aspect, 1.0] for stroke in strokes]

    def _next(self, earlier: list[Floats], n_strokes: int, rng: Generator) -> Floats:
        if earlier and rng.random() < self.mirrored:
            return self._mirror(earlier[-1], rng)
        kind = tuple(KINDS)[_pick(self.kinds * ALONE if n_strokes == 1 else self.kinds, rng)]
        start = self.anchors[rng.integers(len(self.anchors))]
        if earlier and rng.random() < self.joined:
            stroke = earlier[rng.integers(len(earlier))]
            start = stroke[JOINTS[rng.integers(len(JOINTS))]]
        way = WAYS[_pick(self.ways, rng)] * (1.0 if rng.random() < 0.5 else -1.0)
        length = LENGTHS[rng.integers(len(LENGTHS))]
        if kind in ROUND:
            length = min(length, 1.2)
        return _stroke(kind, start, start + length * way, bool(rng.random() < 0.5), rng)

    @staticmethod
    def _mirror(stroke: Floats, rng: Generator) -> Floats:
        """The mirror image, left to right or top to bottom, in the axis through one of the stroke's ends."""
        axis = int(rng.random() < 0.3)
        image = stroke.copy()
        image[:, axis] = 2 * stroke[-rng.integers(2), axis] - stroke[:, axis]
        return image


def _clear(stroke: Floats, earlier: list[Floats]) -> bool:
    """Whether a stroke stays near the letter's box and, but for crossings and joints, off earlier ones."""
    if np.abs(stroke).max() > 1.3:
        return False
    if not earlier:
        return True
    gap = np.abs(stroke[::4, None] - np.concatenate(earlier)[::4]).max(2).min(1)
    return bool((gap < 0.35).mean() < 0.35)


def _ink(paths: Floats, pen: Floats, owner: NDArray[np.int64], n_images: int, zoom: int = 1) -> NDArray[np.uint8]:
    """Draws strokes with a round pen; a pixel is ink where the pen touched any part of it.

    paths [T, P, 2]: x and y in pixels; pen [T]: radius in pixels; owner [T]: the image drawn on.
    Returns uint8 [n_images, zoom · SIZE, zoom · SIZE], pixels zoom times as fine.
    """
    side = zoom * SIZE
    touched = (zoom * (paths[:, :, None] + pen[:, None, None, None] * PEN)).astype(np.int64)  # [T, P, 9, 2]
    images = np.zeros(n_images * side * side, dtype=np.uint8)
    images[(owner[:, None, None] * side + touched[..., 1]) * side + touched[..., 0]] = 1
    return images.reshape(n_images, side, side)


def _distinct(characters: list[list[Floats]], keep: int) -> list[list[Floats]]:
    """Drops the later of the two most alike until `keep` are left: no alphabet has a letter twice."""
    owner = np.repeat(np.arange(len(characters)), [len(strokes) for strokes in characters])
    paths = np.concatenate(characters)
    paths *= 10.0 / np.abs(paths).max()
    paths += SIZE / 2
    images = _ink(paths, np.full(len(paths), 1.5), owner, len(characters)).astype(np.float64)
    for axis in (1, 2):  # blurred, a stroke is still like itself a little aside
        for _ in range(3):
            images = (np.roll(images, 1, axis) + images + np.roll(images, -1, axis)) / 3
    flat = images.reshape(len(images), -1)
    flat /= np.sqrt((flat**2).sum(1, keepdims=True))
    distance = np.stack([((flat - one) ** 2).sum(1) for one in flat])
    distance[np.tril_indices(len(flat))] = np.inf
    kept = list(range(len(flat)))
    while len(kept) > keep:
        later = int(np.unravel_index(distance.argmin(), distance.shape)[1])
        kept.remove(later)
        distance[later, :] = distance[:, later] = np.inf
    return [characters[i] for i in kept]


def _drawings(
    characters: list[list[Floats]], style: _Style, n_drawings: int, rng: Generator, zoom: int
) -> NDArray[np.uint8]:
    """Every character drawn n_drawings times: uint8 [len(characters) · n_drawings, zoom · SIZE, zoom · SIZE]."""
    D, C = n_drawings, len(characters)
    owner = np.repeat(np.arange(C), [len(strokes) for strokes in characters])  # [T]
    strokes = np.concatenate(characters)  # [T, P, 2]
    T = len(owner)

    bend = rng.normal(size=(T, D, 2, 4)) * BEND
    paths = strokes[:, None] + np.einsum("tdck,kp->tdpc", bend, MODES)  # [T, D, P, 2]

    # One affine map a drawing: rotation · slant · stretch.
    size = style.height * np.exp(rng.normal(0, 0.07, (C, D)))
    stretch = np.exp(rng.normal(0, 0.05, (C, D)))
    slant = rng.normal(0, 0.12, (C, D))
    angle = np.radians(rng.normal(0, 4.0, (C, D)))
    sin, cos = np.sin(angle), np.cos(angle)
    a, d = size * stretch, size / stretch
    b = -slant * d
    affine = np.stack([cos * a, cos * b - sin * d, sin * a, sin * b + cos * d], -1).reshape(C, D, 2, 2)
    paths = np.einsum("tdij,tdpj->tdpi", affine[owner], paths)

    # The middle of a drawing goes to the middle of the paper and then astray; nothing goes over the edge.
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    low = np.minimum.reduceat(paths.min(2), first)  # [C, D, 2]
    high = np.maximum.reduceat(paths.max(2), first)
    middle, half = (low + high) / 2, (high - low) / 2
    shrink = np.minimum(1.0, HALF_PAPER / half.max(2, keepdims=True))
    room = HALF_PAPER - half * shrink
    astray = rng.normal(0, 1.4, (C, D, 2)).clip(-room, room)
    paths = (paths - middle[owner][:, :, None]) * shrink[owner][:, :, None]
    paths += (SIZE / 2 + astray)[owner][:, :, None]

    pen = rng.uniform(0.35, 0.7, (C, D))
    image = owner[:, None] * D + np.arange(D)
    return _ink(paths.reshape(T * D, POINTS, 2), pen[owner].reshape(-1), image.reshape(-1), C * D, zoom)


def make_alphabets(
    n_alphabets: int,
    n_characters: int = 24,
    n_drawings: int = 20,
    *,
    seed: int = 0,
    first: int = 1,
    finer: bool = False,
) -> Characters:
    """Alphabets `first`, `first` + 1, … of the endless collection that belongs to the seed.

    Returns:
        binary images [n_alphabets · n_characters · n_drawings, 26, 26], or the finer view of the same [N, 52, 52], for
        classes "Glyphs01/character01", ….

    Raises:
        VmaError: a number out of range.
    """
    for name, value in (
        ("alphabets", n_alphabets),
        ("characters", n_characters),
        ("drawings", n_drawings),
        ("first alphabet", first),
    ):
        if value < 1:
            raise VmaError(f"the number of {name} must be 1 or more, not {value}")
    if seed < 0:
        raise VmaError(f"the seed must be 0 or more, not {seed}")

    images: list[NDArray[np.uint8]] = []
    classes: list[str] = []
    for alphabet in range(first, first + n_alphabets):
        rng = np.random.default_rng([seed, alphabet])
        style = _Style.draw(rng)
        invented = [style.character(rng) for _ in range(round(CANDIDATES * n_characters))]
        kept = _distinct(invented, n_characters)
        ink = _drawings(kept, style, n_drawings, rng, 2 * ZOOM if finer else 1)
        images.append(quarters(ink) if finer else ink)
        classes += [f"Glyphs{alphabet:02d}/character{number:02d}" for number in range(1, n_characters + 1)]
    return Characters(
        images=torch.from_numpy(np.concatenate(images)),
        labels=torch.arange(len(classes)).repeat_interleave(n_drawings),
        classes=tuple(classes),
        levels=4 if finer else 1,
        finer=finer,
    )


def load(seed: int = 0, *, train: int = 34, validation: int = 4, test: int = 6, finer: bool = False) -> Dataset:
    """Glyphs cut by whole alphabets: 24 characters each, 20 drawings a character, 26 by 26 pixels, binary.

    train, validation, test: numbers of alphabets; 816, 96 and 144 classes unless told otherwise. finer: in the finer
    view, 52 by 52 pixels in quarters.

    Raises:
        VmaError: a number out of range.
    """
    return Dataset(
        name="glyphs",
        protocol="standard",
        preparation=f"strokes {SIZE}x{SIZE}, seed {seed}",
        binarisation="exact",
        train=make_alphabets(train, seed=seed, finer=finer),
        validation=make_alphabets(validation, seed=seed, first=1 + train, finer=finer),
        test=make_alphabets(test, seed=seed, first=1 + train + validation, finer=finer),
    )


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(seed)


def open_finer(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """The same in the finer view."""
    return load(seed, finer=True)
