"""What to type after a training: the commands that its run and its data allow, each as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from vmacore.files import data_folder

if TYPE_CHECKING:
    from vmacli.session import Session
    from vmacore.config import Config
    from vmacore.data.characters import Characters, Dataset

CLASSES, DRAWINGS, TARGETS = 8, 8, 32  # in memory; of each, half of them targets; in an episode, as vma score has them


def next_commands(path: Path, config: Config, data: Dataset, session: Session) -> list[str]:
    """To score, classify, sample and report, as far as the run can: on the split that it has not seen."""
    from vmacore.models.vma import VariationalMemoryAddressing
    from vmacore.runs.weights import skeleton

    model = skeleton(config)
    split = _unseen(data)
    characters = data.split(split)
    learned = model.learned_memory is not None
    decodes = config.objective.trains != "addresses"
    of_split = [] if split == "test" else ["--split", split]
    commands = []
    if decodes and (sizes := [] if learned else _score_sizes(characters)) is not None:
        commands.append(["score", *of_split, *sizes])
    if isinstance(model, VariationalMemoryAddressing) and not learned and (tasks := _tasks(characters)):
        commands.append(["classify", *of_split, *tasks])
    if decodes:
        some = [] if characters.n_classes >= CLASSES else ["--classes", str(characters.n_classes)]
        commands.append(["sample", "--memory-from", *(["learned"] if learned else [split, *some])])
    commands.append(["report", *of_split])
    where = _data_dir(session)
    return [shlex.join(["vma", name, str(path), *options, *where]) for name, *options in commands]


def _unseen(data: Dataset) -> str:
    """The split to measure on: of a folder whose test classes are those that trained, the classes that validate."""
    seen = set(data.train.files) & set(data.test.files)
    return "test" if data.test.n_classes and not seen else "validation"


def _score_sizes(characters: Characters) -> list[str] | None:
    """Options for classes with enough drawings, where not all have as many as usual; None if none has two."""
    counts = characters.counts.tolist()
    wanted = min(CLASSES, sum(count > 1 for count in counts))
    if not wanted:
        return None
    drawings = min(DRAWINGS, sorted(counts, reverse=True)[wanted - 1])
    sizes = []
    if wanted < CLASSES:
        sizes += ["--classes", str(wanted)]
    if drawings < DRAWINGS:
        sizes += ["--shots", str(drawings // 2), "--targets", str(drawings - drawings // 2)]
    elif wanted == 1:  # drawings without labels
        sizes += ["--targets", str(max(1, min(TARGETS, max(counts) - DRAWINGS // 2)))]
    return sizes


def _tasks(characters: Characters) -> list[str]:
    """Kinds of task that the classes allow; none if there are none."""
    counts = characters.counts.tolist()
    if len(counts) < 2 or max(counts) < 2:
        return []
    if len(counts) >= 20 and min(counts) > 5:
        return ["--way", "5", "--way", "20", "--shot", "1", "--shot", "5"]
    return ["--way", str(min(5, len(counts))), "--shot", "1"]


def _data_dir(session: Session) -> list[str]:
    """The option that tells the next command where data are, unless it looks there anyway."""
    return [] if session.data_dir == data_folder() else ["--data-dir", str(session.data_dir)]
