"""Groups of commands: how `vma` and the groups below it read their words."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from vmacore.spelling import choose_one_of

# What Typer says of a word that is none of an option's choices.
NO_CHOICE = re.compile(r"(?:Value error, )?'(?P<word>.*)' is not one of '(?P<choices>.*)'\.", re.DOTALL)


class Commands(TyperGroup):
    """All commands. Refuses arguments that are empty: as a path, one would be the current folder.

    Typer offers the nearest names of commands and options; those of choices are offered here.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for before, argument in zip(["", *args], args, strict=False):
            if not argument or (argument.startswith("--") and argument.find("=") == len(argument) - 1):
                name = argument.rstrip("=") or (before if before.startswith("-") else "an argument")
                ctx.fail(f"the value of {name} is empty: give one, or leave it out")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if said := NO_CHOICE.fullmatch(error.message):
                word, choices = said["word"], said["choices"].split("', '")
                error.message = f"there is no {word!r}; {choose_one_of(word, choices)}"
            raise


class WithDefault(TyperGroup):
    """A group that takes options without a command as those of the default one."""

    default: ClassVar[str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The same with a command in front; not while the shell completes one."""
        first = args[0] if args else ""
        if (first.startswith("-") and first not in ctx.help_option_names) or not (args or ctx.resilient_parsing):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
