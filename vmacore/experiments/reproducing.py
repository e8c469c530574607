"""An experiment from training to files: its numbers in result.json, and its page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vmacore.errors import VmaError
from vmacore.experiments import about, run
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.page import read, write_page
from vmacore.experiments.lab.result import Result, write
from vmacore.files import folder_for


@dataclass(frozen=True, eq=False)
class Reproduced:
    """What an experiment found. document: as result.json holds it."""

    result: Result
    document: Mapping[str, Any]


def reproduce(experiment: str, lab: Lab, invocation: str = "") -> Reproduced:
    """Train what is missing, measure, and write result.json, figures and the page into `lab.out`.

    invocation: the command that leads there, for the page.

    Raises:
        VmaError: no such experiment or none with several seeds, missing data, a run that cannot be used, or a folder
            that cannot be written.
        Stopped: the user asked to stop; what was trained is saved.
    """
    known = about(experiment)
    if lab.seeds > 1 and not known.several_seeds:
        raise VmaError(f"{known.id} looks at one training: leave --seeds out")
    began = time.monotonic()
    with folder_for(lab.out):
        result = run(known.id, lab)
    head = {
        "command": "reproduce",
        "id": known.id,
        "title": known.title,
        "paper": known.paper,
        "budget_s": lab.budget,
        "seconds": round(time.monotonic() - began, 1),
        "date": time.strftime("%Y-%m-%d"),
        "seeds": lab.seeds,
        "steps_asked": lab.steps,
        "device": str(lab.device),
        "threads": torch.get_num_threads(),
        "versions": {"vma": version("vma"), "torch": torch.__version__},
    }
    document = write(lab.out, result, head, invocation)
    write_page(document, lab.out, lab.out)
    return Reproduced(result, document)


def rewrite_page(experiment: str, results: Path, docs: Path) -> Path:
    """Write the page of an earlier result, with its figures, into another folder; returns the page.

    results: the folder that holds the experiment's own.

    Raises:
        VmaError: no such experiment, no result of it, or a folder that cannot be written.
    """
    folder = results / about(experiment).id
    return write_page(read(folder / "result.json"), folder, docs)
