"""The only place that prints: data on stdout; progress, notes and errors on stderr.

Three modes: tables and pictures for people, one JSON document (`--json`), the bare values (`--quiet`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, Any, cast

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from vmacli.console import HarmlessConsole, harmless
from vmacli.interrupts import INTERRUPTED
from vmacli.session import Session
from vmacli.stderr import Stderr
from vmacore.errors import VmaError, cut, reason, short_of_memory
from vmacore.files import as_json

LONGEST_ERROR = 2000  # letters
NARROWEST = 80  # columns of a table: in a narrower terminal its lines run over, which loses nothing


class Output:
    """What a command says, in the mode that was asked for."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._out = HarmlessConsole(highlight=False, markup=False, emoji=False)
        self._width = self._out.width
        self._out.width = max(NARROWEST, self._width)
        self._err = HarmlessConsole(file=cast(IO[str], Stderr()), highlight=False, markup=False, emoji=False)

    def note(self, line: str) -> None:
        """A line beside the result: which run is used, what was saved."""
        if not self.quiet:
            self._err.print(line.replace("\n", "?"), soft_wrap=True)  # in names that others gave

    def error(self, line: str) -> None:
        """One line, also in quiet mode."""
        self._err.print(Text.assemble(("error: ", "bold red"), cut(line, LONGEST_ERROR)), soft_wrap=True)

    def result(self, document: Mapping[str, Any], shown: Sequence[RenderableType], bare: str) -> None:
        """The result, once: a JSON document, what people read, or the bare values, by mode.

        Raises:
            VmaError: standard output cannot be written.
        """
        try:
            if self.as_json:
                typer.echo(as_json(document))
            elif self.quiet:
                typer.echo(harmless(bare) if self._out.is_terminal else bare)  # rich would turn tabs into spaces
            else:
                for part in shown:
                    self._out.print(part, soft_wrap=isinstance(part, str))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise VmaError(f"cannot write to standard output: {reason(error)}; what was saved stays") from error

    @property
    def width(self) -> int:
        """Columns that a picture may take."""
        return self._width

    def progress(self, unit: str, total: float | None = None) -> AbstractContextManager[Progress]:
        """A bar with rate and time left; plain lines when stderr is no terminal; nothing in quiet mode."""
        if self.quiet:
            return nullcontext(Progress(unit, total))
        if self._err.is_terminal:
            return _bar(self._err, unit, total)
        return nullcontext(PlainProgress(self, unit, total))


class Progress:
    """Rate and time left of something counted; this one shows nothing.

    total: None where it is not known, or not yet: `update` may tell.
    """

    def __init__(self, unit: str, total: float | None) -> None:
        self.unit = unit
        self.total = total
        self.done: float = 0
        self._counted_from: tuple[float, float] | None = None  # what was done, and when

    def update(self, done: float, total: float | None = None, detail: str = "") -> None:
        """So many are done; `detail` stands at the end of the line. Fewer than before: it began anew."""
        if self._counted_from is None or done < self.done:
            self._counted_from = done, time.monotonic()
        self.done = done
        self.total = total or self.total
        self._show(detail)

    def _show(self, detail: str) -> None:
        pass

    def line(self, detail: str) -> str:
        """Such as `120/1000  5.2 steps/s  0:02:49 left  NLL 95.1`."""
        parts = [f"{_count(self.done)}/{_count(self.total)}" if self.total else _count(self.done)]
        first, since = self._counted_from or (0, time.monotonic())
        if self.done > first:
            rate = (self.done - first) / max(time.monotonic() - since, 1e-9)
            parts.append(f"{figures(rate, 2)} {self.unit}/s")
            if self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        else:
            parts[0] += f" {self.unit}"
        return "  ".join([*parts, detail]).rstrip()


class PlainProgress(Progress):
    """A line at most every ten seconds: after 5 % more, or a minute."""

    def __init__(self, output: Output, unit: str, total: float | None) -> None:
        super().__init__(unit, total)
        self.output = output
        self._shown = 0.0, time.monotonic()

    def _show(self, detail: str) -> None:
        done, since = self._shown
        waited = time.monotonic() - since
        little = self.total is not None and 0 <= self.done - done < 0.05 * self.total
        if waited >= 60 or (waited >= 10 and not little):
            self._shown = self.done, time.monotonic()
            self.output.note(self.line(detail))


class BarProgress(Progress):
    """A live bar on a terminal."""

    def __init__(self, bar: RichProgress, unit: str, total: float | None) -> None:
        super().__init__(unit, total)
        self.bar = bar
        self.task: TaskID = bar.add_task("", total=total, line=self.line(""))

    def _show(self, detail: str) -> None:
        self.bar.update(self.task, total=self.total, completed=self.done, line=self.line(detail))


@contextmanager
def _bar(console: Console, unit: str, total: float | None) -> Iterator[BarProgress]:
    line = TextColumn("{task.fields[line]}", markup=False)
    with RichProgress(BarColumn(bar_width=6), line, console=console, transient=True) as bar:
        yield BarProgress(bar, unit, total)


def _count(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.1f}"


@contextmanager
def reporting(session: Session) -> Iterator[Output]:
    """Runs a command: a foreseen failure becomes one line and exit code 1, an interrupt exit code 130."""
    output = Output(as_json=session.as_json, quiet=session.quiet)
    try:
        yield output
    except KeyboardInterrupt:
        output.error("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise  # whoever read the output has left; nobody is there to be told
    except (VmaError, OSError) as error:
        if session.debug:
            raise
        output.error(str(error) if isinstance(error, VmaError) else _explain(error))
        raise typer.Exit(1) from None
    except Exception as error:
        if session.debug or not short_of_memory(error):
            raise
        output.error("not enough memory for this: lower the sizes, samples, classes or shots asked for")
        raise typer.Exit(1) from None


def _explain(error: OSError) -> str:
    what = f"use {error.filename}" if error.filename else "read or write a file"
    return f"cannot {what}: {error.strerror or error}; choose another path, or make room there"


def table(*columns: str, title: str | None = None) -> Table:
    """A table whose first column is text and whose other columns are numbers."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for position, name in enumerate(columns):
        made.add_column(name, justify="right" if position else "left", no_wrap=True)
    return made


def figures(number: float, digits: int = 3) -> str:
    """So many significant figures, never an exponent: 0.0123, 1.23, 123, 1234."""
    if not math.isfinite(number):
        return "–"
    if number == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number:.{decimals}f}"


def nats(number: float, decimals: int = 2) -> str:
    """A number of nats; a dash where nothing was measured. Never −0.00."""
    return f"{number:z.{decimals}f}" if math.isfinite(number) else "–"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
