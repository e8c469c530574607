"""Configuration of a run: what a recipe holds, `config.toml` stores and the Python API takes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, get_args

import tomli_w
from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from vmacore.config.kinds import Section, of_another_kind
from vmacore.config.migration import migrated
from vmacore.config.sections import (
    KIND_SECTIONS,
    DataConfig,
    EpisodeConfig,
    LabelsConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    TrainingConfig,
)
from vmacore.errors import VmaError, cut, reason
from vmacore.shelf import ESTIMATORS, MODELS
from vmacore.spelling import choose_one_of, did_you_mean, nearest

__all__ = [
    "Config", "DataConfig", "EpisodeConfig", "LabelsConfig", "ModelConfig", "ObjectiveConfig", "OptimiserConfig",
    "TrainingConfig", "load_recipe", "recipe_names",
]  # fmt: skip

PROVENANCE = ("recipe", "init")


class Config(Section):
    """A run, whole."""

    recipe: str | None = None
    init: str | None = None  # the weights that the run started from: RUN, step N
    data: DataConfig
    episode: SerializeAsAny[EpisodeConfig] = Field(default_factory=EpisodeConfig)
    model: SerializeAsAny[ModelConfig] = Field(default_factory=ModelConfig)
    objective: SerializeAsAny[ObjectiveConfig] = Field(default_factory=ObjectiveConfig)
    labels: LabelsConfig = LabelsConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check(self) -> Config:
        model, episode, objective = self.model, self.episode, self.objective
        kind = MODELS[model.system].MODEL
        addressed: bool = kind.addressed
        if episode.masked and not (kind.masked or model.learns_slots):
            raise ValueError(f"a {model.system} model reads one memory for all targets: choose episodes that have one")
        if episode.may_be_empty and not (kind.may_see_nothing or model.learns_slots):
            raise ValueError(f"a {model.system} model needs slots to read: choose episodes with a memory")
        if not addressed:
            if objective.estimator != ObjectiveConfig.model_fields["estimator"].default:
                raise ValueError(f"a {model.system} model draws no address: leave objective.estimator out")
        elif objective.samples < 2 and (why := getattr(ESTIMATORS[objective.estimator], "NEEDS_TWO", "")):
            raise ValueError(f"objective.samples must be at least 2: {why}")
        if objective.trains == "addresses" and not self.labels.weight:
            raise ValueError("addresses alone learn from the classes: set labels.weight, or objective.trains to all")
        if self.labels.weight and (model.learns_slots or not model.one_embedding):
            raise ValueError("labels teach h where it is h_q too: set model.tied, or leave labels.weight out")
        if model.view == "finer" and (model.learns_slots or not addressed):
            raise ValueError("only h of images has another view than the pixels: leave model.view out")
        if model.learns_slots and episode.plain != episode:
            for_training = ", ".join(key for key, value in episode if getattr(episode.plain, key) != value)
            raise ValueError(f"a learned memory has no episodes by class: leave {for_training} out")
        return self

    def with_overrides(self, settings: Iterable[str]) -> Config:
        """A copy with fields replaced, each given as "section.field=value" with the value in TOML, or a bare word.

        Where one chooses another kind, what only the old one read is left out, and what the new one reads can be set.

        Raises:
            VmaError: a field that does not exist, or a value that it does not take.
        """
        document = self.model_dump()
        rest = []
        for setting in settings:
            key, equals, text = setting.partition("=")
            section, _, field = key.strip().rpartition(".")
            place = document.get(section) if section else document
            if not equals or not isinstance(place, dict):
                raise VmaError(_cannot_set(setting, near=_nearest_keys(key.strip(), document) if equals else ()))
            if not section and field in PROVENANCE:
                raise VmaError(
                    _cannot_set(setting, "it tells where a run comes from, and is set by what it comes from")
                )
            if section in KIND_SECTIONS and field in KIND_SECTIONS[section].KINDS:
                place[field] = _value(text.strip(), ("none",))  # a kind of episode has that name
            else:
                rest.append((setting, section, field, text.strip()))
        for name, kinds in KIND_SECTIONS.items():
            document[name] = kinds.kept(document[name])
        for setting, section, field, text in rest:
            place = document[section] if section else document
            holder = type(getattr(self, section)) if section else Config
            if section in KIND_SECTIONS:
                holder = KIND_SECTIONS[section].chosen(place)
            if field not in holder.model_fields or isinstance(place.get(field), dict):
                readers = KIND_SECTIONS[section].readers(field) if section in KIND_SECTIONS else ""
                why, near = (of_another_kind(field, readers), []) if readers else ("", _nearest_keys(key, document))
                raise VmaError(_cannot_set(setting, why, near))
            place[field] = _value(text, get_args(holder.model_fields[field].annotation))
        return _validated(document)

    def to_toml(self) -> str:
        """The configuration as TOML, without what is unset, since TOML has no null, and without labels as they are.

        Raises:
            VmaError: a path in it is not UTF-8, as TOML has to be.
        """
        unused = {"labels"} if self.labels == LabelsConfig() else None
        text = tomli_w.dumps(self.model_dump(mode="json", exclude_none=True, exclude=unused))
        for line in text.splitlines():
            if any("\ud800" <= letter <= "\udfff" for letter in line):
                raise VmaError(f"{cut(line)} is not UTF-8, as config.toml has to be: rename that folder")
        return text

    @staticmethod
    def from_toml(text: str) -> Config:
        """The inverse of `to_toml`.

        Raises:
            VmaError: not TOML, or not a configuration.
        """
        try:
            return _validated(migrated(tomllib.loads(text)))
        except VmaError:
            raise
        except Exception as error:  # deep nesting and long numbers end in whatever the parser or a validator meets
            raise VmaError(f"not a configuration: {reason(error)}") from error


def _cannot_set(setting: str, why: str = "", near: Sequence[str] = ()) -> str:
    why = why or f"{did_you_mean(near)}write section.field=value, such as model.latent=32"
    return f"cannot set {cut(setting)!r}: {why}"


def _nearest_keys(key: str, document: Mapping[str, Any]) -> list[str]:
    """Keys of a configuration that are spelled nearly so: of the section that is told, else of any."""
    keys = []
    for section, about in Config.model_fields.items():
        holder = about.annotation
        if isinstance(holder, type) and issubclass(holder, Section):
            holder = KIND_SECTIONS[section].chosen(document[section]) if section in KIND_SECTIONS else holder
            keys += [(section, field) for field in holder.model_fields]
    told, _, name = key.rpartition(".")
    if told and told not in dict(keys):
        return nearest(key, [".".join(parts) for parts in keys])
    keys = [(section, field) for section, field in keys if told in ("", section)]
    near = nearest(name, {field for _, field in keys})
    return [f"{section}.{field}" for section, field in keys if field in near]


def _value(text: str, words: tuple[Any, ...]) -> Any:
    """TOML, a bare word, or nothing, which is written none; none may be one of the words that a field takes."""
    if text in words:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text == "none" else text
    except (ValueError, RecursionError) as error:
        raise VmaError(f"cannot set {cut(text)!r}: {reason(error)}; write a plain value") from error


def _validated(document: dict[str, Any]) -> Config:
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        where = f"{cut(field)}: " if field else ""
        value = "" if isinstance(first["input"], dict) else f" (got {cut(repr(first['input']))})"
        why = cut(first["msg"].removeprefix("Value error, "))
        why = {"extra_forbidden": "there is no such setting", "tuple_type": "write a list, as [4, 4]"}.get(
            first["type"], why
        )
        raise VmaError(f"configuration: {where}{why}{value}") from error


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
        raise VmaError(f"there is no recipe {name!r}; {choose_one_of(name, recipe_names())}")
    text = resources.files("vmacore").joinpath("recipes", f"{name}.toml").read_text("utf-8")
    return _validated({"recipe": name, **tomllib.loads(text)})
