"""Two runs side by side: what differs in their settings, and how they fared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vmacore.runs import metrics
from vmacore.runs.directory import read_state
from vmacore.runs.finding import Location
from vmacore.runs.weights import skeleton


@dataclass(frozen=True)
class Pair:
    """A setting or result of two runs; None: one has none, or none is known."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Comparison:
    """settings: those that differ, such as "model.latent", in the order of a config.toml. results: all of either."""

    settings: list[Pair]
    results: list[Pair]


def compare_runs(a: Location, b: Location) -> Comparison:
    """What differs in the settings of two runs, and their results beside each other.

    Raises:
        VmaError: a state or the metrics of one cannot be read.
    """
    settings = _pairs(dict(_flat(a.config.model_dump(mode="json"))), dict(_flat(b.config.model_dump(mode="json"))))
    return Comparison([pair for pair in settings if pair.a != pair.b], _pairs(results(a), results(b)))


def results(location: Location) -> dict[str, Any]:
    """How a run fared, as far as it is recorded; shipped weights and exported ones know their best step alone.

    parameters: of the model. step: of the weights that commands read. best_*: on validation, at the best step, nats
    per image (of the class, where addresses alone are trained) and 5-way 1-shot accuracy. last_*: on training
    episodes, means up to the last report. steps_per_second: since the training was last started or resumed.

    Raises:
        VmaError: the state or the metrics cannot be read.
    """
    parameters = sum(parameter.numel() for parameter in skeleton(location.config).parameters())
    best = read_state(location.path)["best"]
    found = {"parameters": parameters, "step": location.step, "best_step": best.get("step")}
    found |= {"best_nll": best.get("nll"), "best_accuracy": best.get("accuracy")}
    rows = [] if location.folder is None else metrics.rows(location.folder)
    validated = [row for row in rows if row["kind"] == "validation" and row["step"] == best.get("step")]
    trained = [row for row in rows if row["kind"] == "train"]
    for row in validated[-1:]:
        found |= {f"best_{key}": row.get(key) for key in ("kl_address", "kl_latent")}
    for row in trained[-1:]:
        found |= {f"last_{key}": row.get(key) for key in ("step", "nll", "kl_address", "kl_latent")}
        found["steps_per_second"] = row.get("steps_per_second")
    if location.config.objective.trains == "addresses":  # no latent is drawn
        found = {key: value for key, value in found.items() if not key.endswith("kl_latent")}
    return {key: value for key, value in found.items() if value is not None}


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Pair]:
    """All keys of either, those of one beside their neighbours there."""
    keys = list(a)
    for place, key in enumerate(b):
        if key not in a:
            before = list(b)[place - 1] if place else None
            keys.insert(keys.index(before) + 1 if before is not None else 0, key)
    return [Pair(key, a.get(key), b.get(key)) for key in keys]


def _flat(document: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value
