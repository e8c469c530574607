"""Any valid configuration survives TOML, and can be reached by overrides."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
import tomli_w
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from vmacore.config import Config, load_recipe, recipe_names
from vmacore.config.kinds import Section
from vmacore.config.sections import KIND_SECTIONS
from vmacore.errors import VmaError

RECIPES = {name: load_recipe(name) for name in recipe_names()}
SECTIONS = {name: type(value) for name, value in RECIPES["omniglot"] if isinstance(value, Section)}


def _values(
    kind: Any, low: float | None, high: float | None, open_low: bool, open_high: bool
) -> st.SearchStrategy[Any]:
    """Values of an annotation, between bounds."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(_values(each, low, high, open_low, open_high) for each in arguments)
    if origin is tuple:
        entry = st.integers(0, 999)
        return st.lists(entry, max_size=4).map(tuple) if arguments[-1] is ... else st.tuples(entry, entry)
    if kind is type(None):
        return st.none()
    if kind is bool:
        return st.booleans()
    if kind is str:
        return st.text(max_size=12)
    if kind is int:
        return st.integers(int(low or 0), int(high) - 1 if high is not None else 10**12)
    assert kind is float
    return st.floats(
        low, high, exclude_min=open_low, exclude_max=open_high, allow_nan=False, allow_infinity=False, width=64
    )


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    low = high = None
    open_low = open_high = False
    for bound in field.metadata:
        if isinstance(bound, annotated_types.Ge):
            low = bound.ge
        elif isinstance(bound, annotated_types.Gt):
            low, open_low = bound.gt, True
        elif isinstance(bound, annotated_types.Le):
            high = bound.le
        elif isinstance(bound, annotated_types.Lt):
            high, open_high = bound.lt, True
    return _values(field.annotation, low, high, open_low, open_high)


def _fields(document: dict[str, Any]) -> dict[str, FieldInfo]:
    """The settings that a configuration of these kinds has, by name."""
    sections = {
        name: KIND_SECTIONS[name].chosen(document[name]) if name in KIND_SECTIONS else kind
        for name, kind in SECTIONS.items()
    }
    return {
        f"{section}.{name}": field for section, kind in sections.items() for name, field in kind.model_fields.items()
    }


KINDS = {f"{section}.{key}": shelf for section, kinds in KIND_SECTIONS.items() for key, shelf in kinds.KINDS.items()}


@st.composite
def changed(draw: st.DrawFn) -> tuple[Config, dict[str, Any], Config]:
    """A recipe, new values of some of its settings, and the recipe with them, which is valid."""
    recipe = RECIPES[draw(st.sampled_from(sorted(RECIPES)))]
    document = recipe.model_dump()
    chosen = draw(st.lists(st.sampled_from(sorted(KINDS)), unique=True, max_size=2))
    values: dict[str, Any] = {name: draw(st.sampled_from(KINDS[name].names())) for name in chosen}
    for name, value in values.items():
        section, _, key = name.partition(".")
        document[section] = {**document[section], key: value}
    for section, kinds in KIND_SECTIONS.items():
        fields = kinds.chosen(document[section]).model_fields
        document[section] = {key: value for key, value in document[section].items() if key in fields}
    fields = _fields(document)
    for name in draw(st.lists(st.sampled_from(sorted(fields.keys() - KINDS.keys())), unique=True, max_size=5)):
        values[name] = draw(_field(fields[name]))
        section, _, key = name.rpartition(".")
        (document[section] if section else document)[key] = values[name]
    try:
        return recipe, values, Config.model_validate(document)
    except ValidationError:
        assume(False)
        raise


def _setting(name: str, value: Any) -> str:
    """As it is written behind --set."""
    if value is None:
        return f"{name}=none"
    return f"{name}={tomli_w.dumps({'value': value}).partition('=')[2].strip()}"


@given(changed())
def test_toml_gives_the_same_configuration(drawn: tuple[Config, dict[str, Any], Config]) -> None:
    config = drawn[2]
    assert Config.from_toml(config.to_toml()) == config


@given(changed(), st.randoms(use_true_random=False))
def test_overrides_reach_it_in_any_order(drawn: tuple[Config, dict[str, Any], Config], random: Any) -> None:
    recipe, values, config = drawn
    settings = [_setting(name, value) for name, value in values.items()]
    random.shuffle(settings)
    assert recipe.with_overrides(settings) == config
    assert config.with_overrides(settings) == config
    assert config.with_overrides([]) == config
    back = [_setting(name, _of(recipe, name)) for name in _fields(recipe.model_dump())]
    assert config.with_overrides(back) == recipe


# Each setting with a recipe that has it.
FIELDS = {name: (recipe, field) for recipe in RECIPES for name, field in _fields(RECIPES[recipe].model_dump()).items()}
CHOICES = [
    (name, word)
    for name, (_, field) in sorted(FIELDS.items())
    if get_origin(field.annotation) is Literal
    for word in get_args(field.annotation)
]


@pytest.mark.parametrize(("name", "word"), CHOICES)
def test_a_word_is_the_same_with_and_without_quotes(name: str, word: str) -> None:
    """In a shell nobody writes the quotes, and "none" is one of the words."""
    recipe = RECIPES[FIELDS[name][0]]
    bare, quoted = (_result(recipe, f"{name}={word}"), _result(recipe, f' {name} = "{word}" '))
    assert bare == quoted
    assert isinstance(bare, str) or _of(bare, name) == word


def _result(recipe: Config, setting: str) -> Config | str:
    """The recipe with it, or why not: some choices ask for others."""
    try:
        return recipe.with_overrides([setting])
    except VmaError as error:
        return str(error)


def _of(config: Config, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_every_setting_is_drawn() -> None:
    """Fields of sections that are added later are found by themselves."""
    assert {"data.dataset", "episode.shots_between", "model.stages", "objective.trains", "optimiser.clip"} <= set(
        FIELDS
    )
    assert {"training.seed", "model.hops", "model.skip", "episode.slots"} <= set(FIELDS)
    assert len(SECTIONS) == 7
