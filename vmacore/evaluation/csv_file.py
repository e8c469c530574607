"""Tables in CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmacore.errors import writing
from vmacore.files import check_writable, replace


def check_csv(path: Path) -> None:
    """Find out, before anything is asked, whether a table can be written there.

    Raises:
        VmaError: it cannot.
    """
    with writing(path, "choose another --csv"):
        check_writable(path)


def save_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A line for each row, with the header above, in UTF-8; what names in another coding have besides is "?".

    Raises:
        VmaError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    with writing(path, "choose another --csv"):
        replace(path, text.getvalue().encode(errors="replace"))
