"""Sections that choose plug-ins, and hold the keys that these read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationInfo, create_model, field_validator, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from vmacore.errors import VmaError
from vmacore.shelf import Shelf

S = TypeVar("S", bound="KindSection")


class Section(BaseModel):
    """Settings of a run that stand together."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _fits_in_64_bits(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and abs(number) >= 2**63 for number in numbers):
            raise ValueError("the number is larger than any that a computer counts with")
        return value


class KindSection(Section):
    """A section in which some keys choose a kind, each from a shelf: `KINDS`.

    The file of a kind may hold `class Options`, a subclass of the section with the keys that this kind reads besides;
    its `check` raises ValueError where they do not fit together. A section is an instance of the Options of all its
    kinds, so that it holds the keys that are read, and no others.
    """

    KINDS: ClassVar[dict[str, Shelf]] = {}

    def __new__(cls, **values: Any) -> Self:
        return super().__new__(cls.chosen(values))

    @classmethod
    def of(cls, section: KindSection) -> Self:
        """The section as one that has the keys of these Options.

        Raises:
            VmaError: it chooses another kind.
        """
        if isinstance(section, cls):
            return section
        kinds = ", ".join(f"{key} {getattr(section, key)}" for key in section.KINDS)
        raise VmaError(f"{kinds} does not fit here: choose {_name(cls)}")

    @classmethod
    def chosen(cls, values: Mapping[str, Any]) -> type[Self]:
        """The class with the keys of the kinds that values choose; the values need not be valid."""
        if "KINDS" not in vars(cls):
            return cls  # it has been chosen
        kinds = ((shelf, values.get(key, cls.model_fields[key].default)) for key, shelf in cls.KINDS.items())
        options = (getattr(shelf[kind], "Options", None) for shelf, kind in kinds if kind in shelf)
        return _joined(cls, tuple(kind for kind in options if kind is not None))

    @classmethod
    def readers(cls, key: str) -> str:
        """The kinds whose Options have a key, none if it is of no kind: "network residual, system matching"."""
        kinds = ((choice, shelf, kind) for choice, shelf in cls.KINDS.items() for kind in shelf)
        return ", ".join(
            f"{choice} {kind}"
            for choice, shelf, kind in kinds
            if key in getattr(shelf[kind], "Options", cls).model_fields
        )

    @classmethod
    def kept(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values without those that only kinds read which they do not choose."""
        fields = cls.chosen(values).model_fields
        return {key: value for key, value in values.items() if key in fields or not cls.readers(key)}

    def changed(self, **values: Any) -> Self:
        """A copy with other values; where these choose another kind, what only the old one read is left out."""
        section: type[Self] = next(kind for kind in type(self).__mro__ if "KINDS" in vars(kind))
        return section(**{**section.kept({**self.model_dump(), **values}), **values})

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kinds(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict):
            return handler(values)
        chosen = cls.chosen(values)
        if chosen is not cls:
            return chosen.model_validate(values)
        for key in values:
            if key not in cls.model_fields and (readers := cls.readers(key)):
                raise ValueError(of_another_kind(key, readers))
        return handler(values)

    @field_validator("*")
    @classmethod
    def _stands_on_its_shelf(cls, value: Any, info: ValidationInfo) -> Any:
        try:
            return cls.KINDS[info.field_name].check(value) if info.field_name in cls.KINDS else value
        except VmaError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for kind in reversed(type(self).__mro__):
            if "check" in vars(kind):
                vars(kind)["check"](self)
        return self


def of_another_kind(key: str, readers: str) -> str:
    """Why a key cannot be set."""
    return f"{key} is of {readers}: choose that, or leave {key} out"


@cache
def _joined(section: type[S], kinds: tuple[type[S], ...]) -> type[S]:
    """The section with the keys of several Options; a key that two of them have must be the same in both."""
    joined = cast(type[S], create_model(section.__name__, __base__=(*kinds, section), __module__=section.__module__))
    for kind in kinds:
        for key, field in kind.model_fields.items():
            if repr(field) != repr(joined.model_fields[key]):
                raise TypeError(f"{key} of {_name(kind)} has another type or default than that of another kind")
    return joined


def _name(options: type) -> str:
    """The kind whose Options they are: the name of its file, as on the shelf."""
    return options.__module__.rpartition(".")[2].replace("_", "-")
