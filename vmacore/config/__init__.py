"""Configuration of a run: what a recipe holds, `config.toml` stores and the Python API takes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Any, get_args

import tomli_w
from pydantic import AfterValidator, ValidationError, model_validator

from vmacore.config.migration import migrated
from vmacore.config.sections import (
    KINDS,
    TRAINING_ALONE,
    DataConfig,
    EpisodeConfig,
    LabelsConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    Section,
    TrainingConfig,
)
from vmacore.errors import VmaError
from vmacore.shelf import ESTIMATORS

__all__ = [
    "KINDS", "Config", "DataConfig", "EpisodeConfig", "LabelsConfig", "ModelConfig", "ObjectiveConfig",
    "OptimiserConfig", "TrainingConfig", "load_recipe", "recipe_names",
]  # fmt: skip


class Config(Section):
    """A run, whole."""

    recipe: str | None = None
    # The weights that the run started from, and those of its h and h_q if from elsewhere: RUN, step N.
    init: str | None = None
    addresses_from: str | None = None
    revived: bool = False  # whether parts of them that were out of use were drawn anew
    data: DataConfig
    episode: EpisodeConfig = EpisodeConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    labels: LabelsConfig = LabelsConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> Config:
        objective = self.objective
        if self.model.system != "vma":
            if objective.estimator != ObjectiveConfig().estimator:
                raise ValueError(f"a {self.model.system} model draws no address: leave objective.estimator out")
        elif objective.samples < 2 and (why := getattr(ESTIMATORS[objective.estimator], "NEEDS_TWO", "")):
            raise ValueError(f"objective.samples must be at least 2: {why}")
        if objective.labels and (self.model.system != "vma" or self.episode.memory != "few-shot"):
            raise ValueError("objective.labels is for addresses of a few-shot memory: leave it out")
        if objective.slot_class_weight and not (objective.labels and self.model.tied):
            raise ValueError("slot_class_weight takes slots for targets: set objective.labels and model.tied too")
        if objective.coarse_warmup and not any(self.model.latent_maps):
            raise ValueError("objective.coarse_warmup is for residual networks with latent_maps: leave it out")
        if objective.trains == "addresses" and not (objective.labels or self.labels.weight):
            raise ValueError("addresses alone learn from the classes: set labels.weight, or objective.trains to all")
        if self.labels.weight and (self.model.system != "vma" or not self.model.tied or self.model.learned_slots):
            raise ValueError("labels teach h where it is h_q too: set model.tied, or leave labels.weight out")
        if self.labels.weight and objective.labels:
            raise ValueError("labels teach h in batches of their own or in episodes: leave objective.labels out")
        if objective.trains == "images" and (self.model.system != "vma" or self.model.learned_slots):
            raise ValueError("only a vma model of images in memory has h to leave alone: leave objective.trains out")
        if objective.labels and self.model.learned_slots:
            raise ValueError("learned slots have no classes: leave objective.labels out")
        if self.model.learned_slots and self.episode.plain != self.episode:
            raise ValueError(f"a learned memory has no episodes by class: leave {', '.join(TRAINING_ALONE)} out")
        if self.episode.classes % self.episode.memories:
            raise ValueError("episode.classes must be a multiple of episode.memories, which share them out")
        return self

    def with_overrides(self, settings: Iterable[str]) -> Config:
        """A copy with fields replaced, each given as "section.field=value" with the value in TOML, or a bare word.

        Raises:
            VmaError: a field that does not exist, or a value that it does not take.
        """
        document = self.model_dump()
        for setting in settings:
            key, equals, text = setting.partition("=")
            *sections, field = key.strip().split(".")
            place: Any = document
            for section in sections:
                place = place.get(section) if isinstance(place, dict) else None
            if not equals or not isinstance(place, dict) or field not in place or isinstance(place[field], dict):
                raise VmaError(f"cannot set {setting!r}: write section.field=value, such as model.latent=32")
            holder = getattr(self, sections[0]) if sections else self
            info = type(holder).model_fields[field]
            shelved = any(isinstance(entry, AfterValidator) for entry in info.metadata)
            words = ("none",) if shelved else get_args(info.annotation)  # "none" may be one of them
            place[field] = text.strip() if text.strip() in words else _value(text.strip())
        return _validated(document)

    def to_toml(self) -> str:
        """The configuration as TOML, without what is unset, since TOML has no null.

        Left out too is what only other kinds read (`SETTINGS` of a network, a model, …), where it has its default.
        """
        document = self.model_dump(mode="json", exclude_none=True)
        if not self.labels.weight:
            del document["labels"]
        for section, kinds in KINDS.items():
            values, own, read = document[section], set(), set()
            for key, shelf in kinds.items():
                settings = {name: set(getattr(shelf[name], "SETTINGS", ())) for name in shelf}
                own |= settings[values[key]]
                read |= set().union(*settings.values())
            fields, holder = type(getattr(self, section)).model_fields, getattr(self, section)
            for key in read - own:
                if getattr(holder, key) == fields[key].default:
                    values.pop(key, None)
        return tomli_w.dumps(document)

    @staticmethod
    def from_toml(text: str) -> Config:
        """The inverse of `to_toml`.

        Raises:
            VmaError: not TOML, or not a configuration.
        """
        try:
            return _validated(migrated(tomllib.loads(text)))
        except tomllib.TOMLDecodeError as error:
            raise VmaError(f"not a configuration: {error}") from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text == "none" else text


def _validated(document: dict[str, Any]) -> Config:
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise VmaError(f"configuration: {field}: {first['msg']} (got {first['input']!r})") from error


def recipe_names() -> list[str]:
    """Names that `load_recipe` knows."""
    files = resources.files("vmacore").joinpath("recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_recipe(name: str) -> Config:
    """A recipe that comes with the package.

    Raises:
        VmaError: there is no such recipe.
    """
    if name not in recipe_names():
        raise VmaError(f"there is no recipe {name!r}; choose one of {', '.join(recipe_names())}")
    text = resources.files("vmacore").joinpath("recipes", f"{name}.toml").read_text("utf-8")
    return _validated({"recipe": name, **tomllib.loads(text)})
