"""Configurations and names of weights that earlier versions wrote, in the words of this one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from vmacore.config.sections import KIND_SECTIONS
from vmacore.errors import VmaError

Value = TypeVar("Value")

# Settings that are gone, and the value under which a run is what it was; None: any value is.
GONE: dict[tuple[str, str], tuple[Any, ...] | None] = {
    ("data", "refit"): (False,),
    ("episode", "classes_between"): (),
    ("episode", "alike"): (0.0,),
    ("model", "normalised"): (False,),
    ("objective", "coarse_warmup"): None,  # of the first updates: a run in the midst of them goes on without
    ("objective", "coarse_after"): None,
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


def migrated_weights(stored: Mapping[str, Value]) -> dict[str, Value]:
    """What a file holds of a model's weights, by the names of this version, without what nothing reads any more."""
    found = {migrated_weight(name): value for name, value in stored.items()}
    stages = [int(level[1]) for name in found if (level := re.match(r"decoder\.stages\.(\d+)\.\d+\.level\.", name))]
    if not stages or "recognition.head.out.weight" in found:
        return found

    def beyond(name: str) -> bool:  # of stages after the coarsest that has a latent, which recognition had
        part = re.match(r"recognition\.trunk\.(stages|merges)\.(\d+)\.", name)
        return part is not None and int(part[2]) + (part[1] == "merges") > max(stages)

    return {name: value for name, value in found.items() if not beyond(name)}


def migrated_weight(name: str) -> str:
    """The name of a weight as this version has it."""
    name = re.sub(r"^template\.", "slot_encoder.", name).replace("_network.template.", "_network.pyramid.", 1)
    # A stage of a residual decoder is a list of latents with the blocks after each.
    name = re.sub(r"^decoder\.levels\.(\d+)\.", r"decoder.stages.\1.0.level.", name)
    name = re.sub(r"^decoder\.stages\.(\d+)\.(\d+)\.(first|second)\.", r"decoder.stages.\1.0.blocks.\2.\3.", name)
    if further := re.match(r"decoder\.deeper\.(\d+)\.(\d+)\.(level|block)\.", name):
        part = "level" if further[3] == "level" else "blocks.0"
        name = f"decoder.stages.{further[1]}.{int(further[2]) + 1}.{part}.{name[further.end() :]}"
    return name.replace(".level.meeting.", ".level.hidden_out.", 1)
