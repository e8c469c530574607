"""Accuracies and bounds of a run, beside the paper's where it has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from vmacore.config import Config
from vmacore.data.characters import Characters, Dataset
from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import Z95
from vmacore.evaluation.classification import Classifier
from vmacore.experiments import baselines, classification, fig4b
from vmacore.experiments.lab.accuracy import name
from vmacore.experiments.lab.result import Row
from vmacore.models.base import GenerativeModel
from vmacore.reports.growth import SAMPLES, USUAL_CLASSES, Growth

EPISODES = 200
OF_PAPER = ("omniglot", "45-5")  # the data set and protocol of the paper's numbers here
RANGE = "75.1 to 69.1"  # with 1 to 16 drawings of each of 8 classes


def is_of_paper(dataset: Dataset | None, split: str) -> bool:
    """Whether the paper has numbers on these data."""
    return dataset is not None and (dataset.name, dataset.protocol) == OF_PAPER and split == "test"


def accuracies(
    model: GenerativeModel,
    characters: Characters,
    *,
    of_paper: bool = False,
    episodes: int = EPISODES,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Few-shot accuracy by q(a|x), in per cent with its standard error over episodes; the note has that over classes.

    of_paper: whether the paper's numbers are on these data. A task that the split is too small for is left out.
    progress(done, total) counts tasks.

    Raises:
        VmaError: a model without addresses or with a learned memory, or a split too small for every task.
    """
    classifier = Classifier(model, characters, seed=seed, device=device)
    rows, refused = [], []
    for number, (task, paper) in enumerate(classification.PAPER.items(), 1):
        try:
            (found,) = classifier.measure(way=task[0], shot=task[1], episodes=episodes)
        except VmaError as error:
            refused.append(error)
        else:
            rows.append(
                Row(
                    name(task),
                    100 * found.accuracy,
                    100 * found.ci95 / Z95,
                    paper if of_paper else None,
                    unit="%",
                    group=f"Accuracy by q(a|x), {episodes} tasks of each kind",
                    note=f"± {100 * found.ci95_classes / Z95:.1f} over classes; nearest pixels "
                    f"{100 * found.pixel_accuracy:.1f} %",
                )
            )
        if progress:
            progress(number, len(classification.PAPER))
    if not rows:
        raise refused[0]
    return rows


def bounds(found: Growth, system: str, *, of_paper: bool = False) -> list[Row]:
    """The NLL of a system with each number of drawings in memory; errors are over the classes of the targets.

    of_paper: whether the paper's numbers are on these data. One row is enough where the memory makes no difference, as
    to a model that does not read it.
    """
    usual = found.by_shots[0].classes
    alike = len({size.score.nll for size in found.by_shots}) == 1
    rows = []
    for size in found.by_shots[:1] if alike else found.by_shots:
        paper = _paper(system, size.shots) if of_paper and usual == USUAL_CLASSES else {}
        note = f"KL_a {size.score.kl_address:.2f}, KL_z {size.score.kl_latent:.2f}"
        if "kl_address" in paper:
            note += f" (paper {paper['kl_address']}, {paper['kl_latent']})"
        rows.append(
            Row(
                "whatever is in memory" if alike else f"{usual} classes × {size.shots} in memory",
                size.score.nll,
                size.se,
                paper.get("nll"),
                group=f"NLL, K = {SAMPLES}, {found.targets} targets",
                note=note,
            )
        )
    return rows


def _paper(system: str, shots: int) -> dict[str, float | str]:
    """The paper's numbers with so many drawings of each of 8 classes in memory."""
    if system == "vma":
        return fig4b.PAPER.get(shots, {"nll": RANGE})
    known: dict[str, float | str] = {"vae": baselines.PAPER["vae"], "soft-attention": f"{baselines.PAPER_SOFT} at best"}
    return {"nll": known[system]} if system in known else {}


def notes(config: Config, rows: Sequence[Row]) -> list[str]:
    """What decides how the rows compare with the paper's."""
    if not any(row.paper is not None for row in rows):
        return []
    recipe = f"This run is of the recipe {config.recipe}. " if config.recipe else ""
    return [f"{recipe}The paper trains a model for each size of memory, with the better of two learning rates."]
