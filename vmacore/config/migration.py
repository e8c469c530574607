"""Configurations and names of weights that earlier versions wrote, in the words of this one."""

from __future__ import annotations

from typing import Any

from vmacore.config.sections import KIND_SECTIONS
from vmacore.errors import VmaError

# Settings that are gone, and the value under which a run is what it was; None: any value is.
GONE: dict[tuple[str, str], tuple[Any, ...] | None] = {
    ("data", "refit"): (False,),
    ("episode", "classes_between"): (),
    ("episode", "alike"): (0.0,),
    ("objective", "labels"): (0.0,),
    ("objective", "label_slots"): (False,),
    ("objective", "slot_class_weight"): (0.0,),
    ("optimiser", "name"): ("adam",),
    ("optimiser", "matrix_rate"): None,
    ("optimiser", "matrix_decay"): (0.0,),
}


PROVENANCE = ("addresses_from", "revived")  # of weights that were put together from several
RENAMED: dict[tuple[str, str], str] = {
    ("model", "finer_latents"): "latent_maps",
    ("model", "meeting"): "posterior_hidden",
    ("objective", "part"): "trains",
}


def migrated(document: dict[str, Any]) -> dict[str, Any]:
    """A configuration of any earlier version as this version has it; the document given is left alone.

    Raises:
        VmaError: the run used what this version no longer has.
    """
    document = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for key in PROVENANCE:
        document.pop(key, None)
    for (section, key), harmless in GONE.items():
        values = document.get(section)
        if not isinstance(values, dict) or key not in values:
            continue
        value = values.pop(key)
        if harmless is not None and value not in harmless:
            raise VmaError(f"{section}.{key} = {value!r} is of an earlier version: use the version that wrote this run")
    for (section, key), name in RENAMED.items():
        values = document.get(section)
        if isinstance(values, dict) and key in values:
            value = values.pop(key)
            values.setdefault(name, value)
    for section, kinds in KIND_SECTIONS.items():
        values = document.get(section)
        if isinstance(values, dict):
            document[section] = kinds.kept(values)  # files of earlier versions hold the keys of all kinds
    return document


def migrated_weight(name: str) -> str:
    """The name of a weight as this version has it."""
    if name.startswith("template."):
        return name.replace("template.", "slot_encoder.", 1)
    return name.replace("_network.template.", "_network.pyramid.", 1)
