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
from vmacore.errors import VmaError

RECIPES = {name: load_recipe(name) for name in recipe_names()}
SECTIONS = {
    name: type(value)
    for name, value in RECIPES["omniglot"]
    if isinstance(value, type(RECIPES["omniglot"].data).__base__)
}


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


FIELDS = {
    f"{section}.{name}": field
    for section, kind in SECTIONS.items()
    for name, field in kind.model_fields.items()
} | {name: field for name, field in Config.model_fields.items() if name not in SECTIONS}  # fmt: skip


@st.composite
def changed(draw: st.DrawFn) -> tuple[Config, dict[str, Any], Config]:
    """A recipe, new values of some of its settings, and the recipe with them, which is valid."""
    recipe = RECIPES[draw(st.sampled_from(sorted(RECIPES)))]
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True, max_size=5))
    values = {name: draw(_field(FIELDS[name])) for name in names}
    document = recipe.model_dump()
    for name, value in values.items():
        *section, field = name.split(".")
        (document[section[0]] if section else document)[field] = value
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
    back = [_setting(name, _of(recipe, name)) for name in values]
    assert config.with_overrides(back) == recipe


CHOICES = [
    (name, word)
    for name, field in sorted(FIELDS.items())
    if get_origin(field.annotation) is Literal
    for word in get_args(field.annotation)
]


@pytest.mark.parametrize(("name", "word"), CHOICES)
def test_a_word_is_the_same_with_and_without_quotes(name: str, word: str) -> None:
    """In a shell nobody writes the quotes, and "none" is one of the words."""
    bare, quoted = (_result(f"{name}={word}"), _result(f' {name} = "{word}" '))
    assert bare == quoted
    assert isinstance(bare, str) or _of(bare, name) == word


def _result(setting: str) -> Config | str:
    """The omniglot recipe with it, or why not: some choices ask for others."""
    try:
        return RECIPES["omniglot"].with_overrides([setting])
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
    assert {"training.seed", "recipe", "init", "revived"} <= set(FIELDS)
    assert len(SECTIONS) == 6
