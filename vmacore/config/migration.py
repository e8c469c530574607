"""Configurations that earlier versions wrote, in the words of this one."""

from __future__ import annotations

from typing import Any

from vmacore.errors import VmaError

# Settings that are gone, and the value under which a run is what it was; None: any value is.
GONE: dict[tuple[str, str], tuple[Any, ...] | None] = {
    ("data", "refit"): (False,),
    ("episode", "classes_between"): (),
    ("episode", "alike"): (0.0,),
    ("optimiser", "name"): ("adam",),
    ("optimiser", "matrix_rate"): None,
    ("optimiser", "matrix_decay"): (0.0,),
}


def migrated(document: dict[str, Any]) -> dict[str, Any]:
    """A configuration of any earlier version as this version has it; the document given is left alone.

    Raises:
        VmaError: the run used what this version no longer has.
    """
    document = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for (section, key), harmless in GONE.items():
        values = document.get(section)
        if not isinstance(values, dict) or key not in values:
            continue
        value = values.pop(key)
        if harmless is not None and value not in harmless:
            raise VmaError(f"{section}.{key} = {value!r} is of an earlier version: use the version that wrote this run")
    return document
