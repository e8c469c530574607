"""Reports of small made-up things, with names that would break a page that does not escape them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from tests import synthetic
from tests.data.pictures import drawing
from tests.memory.test_pictures import characters, make_memory, make_model
from vmacore.data.folders import files_below
from vmacore.evaluation.identify import Identifier
from vmacore.evaluation.measuring import Measurements, measure_tasks
from vmacore.evaluation.tasks import FewShotTasks
from vmacore.reports import classified, identified
from vmacore.reports.classified import About, ClassifyReport
from vmacore.reports.identified import IdentifyReport

SCRIPT = "<script>alert(1)</script>"
BREAKING = '"><img src=x onerror=alert(1)>&amp;'


def identifier(reject: float = 0.3) -> Identifier:
    """Of a memory of ten slots, all told; the first of its classes a … d is called as a script, the second to break."""
    model, drawings = make_model(), characters()
    names = (SCRIPT, BREAKING, *drawings.classes[2:])
    memory = make_memory(model, replace(drawings, classes=names))
    return Identifier(model, memory, reject, top=10)


def identify_report(folder: Path, **how: int) -> IdentifyReport:
    """Of pictures that are drawn in a folder: some of a known class, two that cannot be read."""
    asked = identifier()
    for name in ("c", "d", "new"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            drawing(number, number).save(folder / name / f"{number}.png")
    (folder / f"{SCRIPT[1:8]}&.png").write_bytes(b"<b>text</b>")
    Image.new("L", (30, 30), 255).save(folder / "new" / "blank.png")
    answers = list(asked.files(files_below(folder)))
    labels = identified.known_labels([folder], asked.memory.classes)
    return identified.gather(asked, answers, memory=f"{SCRIPT}.mem", labels=labels, **how)


def measurements(tasks: FewShotTasks) -> tuple[torch.nn.Module, Measurements]:
    """An untrained model on six classes, the first of which is called as a script."""
    torch.manual_seed(0)
    model = make_model()
    drawings = synthetic.characters([4] * 6)
    named = replace(drawings, classes=(SCRIPT, BREAKING, *drawings.classes[2:]))
    return model, measure_tasks(model, named, tasks, answers=True)


def classify_report(tasks: FewShotTasks | None = None) -> ClassifyReport:
    """Of a few tasks."""
    tasks = tasks or FewShotTasks(kinds=((3, 1), (2, 2)), episodes=3)
    model, measured = measurements(tasks)
    about = About(f"/data/{SCRIPT}", "run <b>", "words & more", (f"{SCRIPT}.png can't be used: it is blank",))
    return classified.gather(model, measured, tasks, about)  # type: ignore[arg-type]
