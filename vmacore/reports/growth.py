"""The NLL with smaller and larger memories, all asked for the same targets (as figures 4B and 5A of the paper)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.evaluation.errors import target_classes
from vmacore.evaluation.likelihood import Score, check_size, score_episodes
from vmacore.experiments.lab.nested import NestedSampler
from vmacore.experiments.lab.paired import class_se
from vmacore.models.base import GenerativeModel
from vmacore.reports.charts import Chart, Line

SAMPLES = 4  # K
CLASSES = (1, 2, 4, 8, 16, 48)  # each divides the next, so that a target's memories are nested
SHOTS = (1, 2, 4, 8, 16)
USUAL_CLASSES, USUAL_SHOTS = 8, 4
TARGETS = 144


@dataclass(frozen=True)
class Size:
    """A size of memory and what was measured with it; se: of the NLL, over the classes of the targets."""

    classes: int
    shots: int
    score: Score
    se: float

    @property
    def slots(self) -> int:
        return self.classes * self.shots


@dataclass(frozen=True)
class Growth:
    """Sizes of memory, by classes and then by drawings of each; targets: how many each was asked for."""

    by_classes: Sequence[Size]
    by_shots: Sequence[Size]
    targets: int

    @property
    def sizes(self) -> list[Size]:
        """Each once, the fewest slots first."""
        every = {(size.classes, size.shots): size for size in (*self.by_classes, *self.by_shots)}
        return sorted(every.values(), key=lambda size: (size.slots, size.classes))

    def size(self, classes: int, shots: int) -> Size | None:
        """That size, where it was measured."""
        return next((size for size in self.sizes if (size.classes, size.shots) == (classes, shots)), None)


def growth(
    model: GenerativeModel,
    characters: Characters,
    *,
    targets: int = TARGETS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Growth:
    """The bound at K = SAMPLES with every size of memory, for about so many targets, the same for all.

    Classes with too few drawings for USUAL_SHOTS and a target stand aside. progress(done, total) counts sizes.

    Raises:
        VmaError: the memory is learned, images are of another size, or fewer than two classes have enough drawings.
    """
    if model.learned_memory is not None:
        raise VmaError("this model's memory is learned: its size is fixed")
    check_size(model, characters)
    enough = characters.with_at_least(USUAL_SHOTS + 1)
    if enough.n_classes < 2:
        raise VmaError(f"fewer than two classes of this split have {USUAL_SHOTS + 1} drawings: add drawings")
    total = max(classes for classes in CLASSES if classes <= enough.n_classes)
    fewest = int(enough.counts.min())
    usual = min(USUAL_CLASSES, total)
    across = [(classes, USUAL_SHOTS) for classes in CLASSES if classes <= total]
    deep = [(usual, shots) for shots in SHOTS if shots < fewest]
    rounds = max(2, round(targets / total))  # one has no spread
    sizes: dict[tuple[int, int], Size] = {}
    wanted = list(dict.fromkeys([*across, *deep]))
    for classes, shots in wanted:
        sampler = NestedSampler(enough, classes=classes, shots=shots, targets=1, seed=seed, total=total, device=device)
        episodes = rounds * sampler.blocks
        score = score_episodes(model, sampler, samples=SAMPLES, episodes=episodes, seed=seed, device=device)
        se = class_se(score, target_classes(sampler, enough, episodes))
        sizes[classes, shots] = Size(classes, shots, score, se)
        if progress:
            progress(len(sizes), len(wanted))
    return Growth([sizes[size] for size in across], [sizes[size] for size in deep], rounds * total)


def charts(found: Growth) -> list[Chart]:
    """NLL against classes, beside what a perfect reader pays, and against drawings; then what slot and latent cost."""
    first = found.by_classes[0]
    nll = [(float(size.classes), size.score.nll) for size in found.by_classes]
    optimum = [(x, first.score.nll + math.log(x / first.classes)) for x, _ in nll]
    deep = [(float(size.shots), size.score) for size in found.by_shots]
    label, depth = "NLL ± s.e. over classes", "drawings of each class in memory"
    of_classes = [
        Line(label, nll, 0, [size.se for size in found.by_classes], dots=True),
        Line("optimum: NLL of one class + log C", optimum, 4, dashed=True),
    ]
    of_shots = [Line(label, [(x, score.nll) for x, score in deep], 0, [size.se for size in found.by_shots], dots=True)]
    costs = [
        Line("KL_z, the latent", [(x, score.kl_latent) for x, score in deep], 3, dots=True),
        Line("KL_a, the address", [(x, score.kl_address) for x, score in deep], 2, dots=True),
    ]
    more = f"{found.by_shots[0].classes} classes × more drawings"
    return [
        Chart(f"More classes × {USUAL_SHOTS} drawings", "classes in memory", "nats", of_classes, doubling=True),
        Chart(more, depth, "nats", of_shots, doubling=True),
        Chart("What slot and latent cost", depth, "nats", costs, doubling=True),
    ]
