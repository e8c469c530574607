"""A map of the keys: e_a = h(m) of drawings on their two main axes, by alphabet or class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from vmacore.addressing import slot_side
from vmacore.data.characters import Characters
from vmacore.data.splits import alphabet_of
from vmacore.episodes.base import Pixels
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import check_size
from vmacore.finite import finite
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.reports.charts import STYLES

MOST = 1200  # drawings on the map
SIDE = 400  # units of the map
POINT = 3.0  # half a point's width


@dataclass(frozen=True)
class Group:
    """Drawings of an alphabet or class: the outlines of their points, in units of the map, and that of one at 0, 0."""

    name: str
    count: int
    path: str
    sign: str


@dataclass(frozen=True)
class KeyMap:
    """Groups of drawings on the two main axes of their keys.

    explained: the part of the variance that each axis holds. by: "alphabet" or "class". left_out: groups that are not
    on the map.
    """

    groups: Sequence[Group]
    explained: tuple[float, float]
    by: str
    left_out: int

    @property
    def drawings(self) -> int:
        """How many are on the map."""
        return sum(group.count for group in self.groups)


@torch.no_grad()
def key_map(model: GenerativeModel, characters: Characters, *, device: torch.device | str = "cpu") -> KeyMap:
    """The first STYLES alphabets, or classes where there is one alphabet, and at most MOST drawings, evenly taken.

    Raises:
        VmaError: a model without keys of images, images of another size, or fewer than three drawings.
    """
    if not isinstance(model, VariationalMemoryAddressing) or model.learned_memory is not None:
        raise VmaError("this model has no keys of images")
    if model.config.embedding < 2:
        raise VmaError("keys of one number lie on a line: no map")
    check_size(model, characters)
    alphabets = list(dict.fromkeys(map(alphabet_of, characters.classes)))
    by = "alphabet" if len(alphabets) > 1 else "class"
    names = [alphabet_of(name) or "(none)" if by == "alphabet" else name for name in characters.classes]
    every = list(dict.fromkeys(names))
    shown = every[:STYLES]
    of_class = torch.tensor([shown.index(name) if name in shown else -1 for name in names])
    group = of_class[characters.labels]
    there = (group >= 0).nonzero()[:, 0]
    if len(there) < 3:
        raise VmaError("a map needs three drawings: add drawings")
    chosen = there[torch.linspace(0, len(there) - 1, min(MOST, len(there))).long()]
    images = Pixels(characters, 0, device).at(0)(chosen)
    keys = finite(slot_side(model.keys(images), model.config.similarity).float().cpu(), "its keys")
    axes = PCA(n_components=2, svd_solver="full")  # exact, and so the same everywhere but for signs
    places = _upright(torch.from_numpy(axes.fit_transform(keys.numpy())))
    places = (places - places.amin(0)) / (places.amax(0) - places.amin(0)).clamp_min(1e-9).amax()
    places = 12 + (SIDE - 24) * (places + (1 - places.amax(0)) / 2)
    members = [places[group[chosen] == number] for number in range(len(shown))]
    groups = [
        Group(name, len(points), _path(points, number), _path(torch.zeros(1, 2), number))
        for number, (name, points) in enumerate(zip(shown, members, strict=True))
    ]
    first, second = axes.explained_variance_ratio_.tolist()
    return KeyMap(groups, (first, second), by, len(every) - len(shown))


def _upright(places: Tensor) -> Tensor:
    """The sign of each axis such that its farthest point is on the positive side."""
    far = places.gather(0, places.abs().argmax(0, keepdim=True))
    return places * far.sign()


def _path(points: Tensor, shape: int) -> str:
    """Points [N, 2] as circles, squares, triangles or diamonds, in turn, so that colour is not all that tells."""
    r, d = POINT, 2 * POINT
    outlines = (
        f"m-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0",
        f"m-{r}-{r}h{d}v{d}h-{d}z",
        f"m0-{r}l{r} {d}h-{d}z",
        f"m0-{r + 1}l{r + 1} {r + 1}-{r + 1} {r + 1}-{r + 1}-{r + 1}z",
    )
    return "".join(f"M{x:.1f} {y:.1f}{outlines[shape % len(outlines)]}" for x, y in points.tolist())
