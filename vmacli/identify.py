"""`vma identify`: which class of a memory each picture is of."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from vmacli import options
from vmacli.memories import WEIGHTS, no_picture, open_memory
from vmacli.output import reporting, table
from vmacli.session import Session, uses
from vmacore.evaluation.tasks import REJECT

if TYPE_CHECKING:
    from rich.table import Table

    from vmacore.evaluation.identify import Answer


@uses("data_dir", "runs_dir", "device")
def identify(
    session: Session,
    memory: Annotated[Path, typer.Argument(metavar="MEMORY", help="What vma memory wrote.", show_default=False)],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE…|DIR", help="Pictures, or folders of them.", show_default=False)
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="Nearest slots told of each picture.")] = 3,
    reject: Annotated[float, options.REJECT_OPTION] = REJECT,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a line for each picture.", show_default=False)
    ] = None,
    report: options.Report = None,
    weights: Annotated[str | None, WEIGHTS] = None,
) -> None:
    """Tell the class of pictures by a memory, or that they are none of these. Exit code 1 if one can't be read."""
    with reporting(session) as output:
        from vmacore.data.folders import files_of
        from vmacore.errors import VmaError
        from vmacore.evaluation.csv_file import check_csv
        from vmacore.evaluation.identify import Identifier, Unreadable, write_csv

        options.check_report(report)
        if csv is not None:
            check_csv(csv)
        opened, reader = open_memory(output, session, memory, weights)
        identifier = Identifier(reader.model, opened, reject, top)
        if math.isinf(identifier.threshold) and reject > 0:
            output.note("nothing is refused: no class in memory has two pictures to tell what is usual")
        paths = files_of(images)
        if not paths:
            raise VmaError(no_picture(images))
        options.check_apart([memory, *paths], csv=csv, report=report)
        answers: list[Answer | Unreadable] = []
        with output.progress("pictures", len(paths)) as progress:
            for answer in identifier.files(paths):
                answers.append(answer)
                progress.update(len(answers))
        document = {
            "command": "identify",
            "memory": str(memory),
            "weights": opened.run,
            "reject": reject,
            "threshold": identifier.threshold,
            "temperature": identifier.temperature,
            "results": [answer.numbers() for answer in answers],
        }
        read = [answer for answer in answers if not isinstance(answer, Unreadable)]
        if copies := [answer for answer in read if answer.duplicates]:
            first = copies[0]
            output.note(f"in memory too: {len(copies)} of the pictures, such as {first.file} as {first.duplicates[0]}")
        if csv is not None:
            write_csv(csv, answers)
            output.note(f"{len(answers)} answers in {csv}")
        if report is not None:
            from vmacore.reports.identified import gather, identify_page, known_labels
            from vmacore.reports.page import save_page

            labels = known_labels(images, opened.classes)
            save_page(report, identify_page(gather(identifier, answers, memory=str(memory), labels=labels)))
            output.note(f"the report is {report}")
        bare = "\n".join(  # no class where a picture is refused, and what is wrong with a file in a third column
            _line(answer.file, "", answer.error)
            if isinstance(answer, Unreadable)
            else _line(answer.file, answer.label or "")
            for answer in answers
        )
        shown: list[RenderableType] = [_grid(read)] if read else []
        output.result(document, shown, bare)
        failed = [answer for answer in answers if isinstance(answer, Unreadable)]
        for answer in failed:
            output.error(answer.error)
    if failed:
        raise typer.Exit(1)


def _line(*columns: str) -> str:
    """Columns with a tab between, whatever names hold."""
    return "\t".join(re.sub(r"[\t\n\r]", "?", column) for column in columns)


def _grid(answers: list[Answer]) -> Table:
    """A row for each picture, and its nearest slots below."""
    made = table("picture", "class", "probability", "known", "cosine")
    for column in made.columns[:2]:
        column.justify, column.no_wrap, column.overflow = "left", False, "fold"
    for answer in answers:
        made.add_row(answer.file, answer.label or "none of these", f"{answer.probability:.3f}", f"{answer.known:+.4f}")
        for number, near in enumerate(answer.nearest, 1):
            made.add_row(
                f"  {near.file}", near.label, "", "", f"{near.cosine:.4f}", end_section=number == len(answer.nearest)
            )
    return made
