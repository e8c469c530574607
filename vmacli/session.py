"""The options that commands have in common, each declared once, and options that a command takes by the group.

Nothing here imports torch, so help and usage errors are quick.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
WeightsName = Literal["averaged", "raw"]

LARGEST_SEED = 2**32 - 1
COMMON = "Common options"
common = partial(typer.Option, rich_help_panel=COMMON)


@dataclass(frozen=True)
class Session:
    """The common options as they were given. An option that the command does not offer has its default here."""

    data_dir: Annotated[Path, common("--data-dir", envvar="VMA_DATA", help="Where downloads are.")] = Path("data")
    runs_dir: Annotated[Path, common("--runs-dir", envvar="VMA_RUNS", help="Where runs are.")] = Path("runs")
    device: Annotated[DeviceName, common("--device", help="Where to compute; auto prefers an accelerator.")] = "auto"
    seed: Annotated[int, common("--seed", min=0, max=LARGEST_SEED, help="Decides episodes and noise.")] = 0
    weights: Annotated[WeightsName, common("--weights", help="The averaged weights, or the last.")] = "averaged"
    as_json: Annotated[bool, common("--json", help="One JSON document on stdout, nothing else there.")] = False
    quiet: Annotated[bool, common("--quiet", help="Only the bare result on stdout, no progress.")] = False
    offline: Annotated[bool, common("--offline", help="Never use the network.")] = False
    debug: Annotated[bool, common("--debug", help="Show the traceback of a failure.")] = False


ALWAYS = ("as_json", "quiet", "debug")
Command = Callable[..., None]


def uses(*names: str) -> Callable[[Command], Command]:
    """Give a command the common options of these names, and always --json, --quiet and --debug.

    The command takes the Session first. A parameter whose type is a dataclass stands for one option for each field.
    A command may declare a common option itself, to change its default or help: this option keeps its place in the
    help, and the command gets its value as a parameter.

    Raises:
        ValueError: a Session has no option of that name.
    """
    declared = _options(Session)
    if unknown := set(names) - declared.keys():
        raise ValueError(f"no common option is called {', '.join(sorted(unknown))}; known: {', '.join(declared)}")
    offered = [name for name in declared if name in names or name in ALWAYS]

    def decorate(command: Command) -> Command:
        parameters = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        groups: dict[str, type] = {
            parameter.name: parameter.annotation
            for parameter in parameters
            if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
        }
        own: dict[str, Parameter] = {}
        for parameter in parameters:
            own |= _options(groups[parameter.name]) if parameter.name in groups else {parameter.name: parameter}

        def run(**given: Any) -> None:
            session = Session(**{name: given.pop(name) for name in offered if name not in own})
            grouped = {
                name: group(**{field: given.pop(field) for field in _options(group)}) for name, group in groups.items()
            }
            command(session, **given, **grouped)

        last = [own.get(name, option) for name, option in declared.items() if name in own or name in offered]
        shown = [option for name, option in own.items() if name not in declared] + last
        shown = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in shown]
        run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
        run.__annotations__ = {option.name: option.annotation for option in shown}
        vars(run)["__signature__"] = inspect.Signature(shown)
        return run

    return decorate


def _options(group: type) -> dict[str, Parameter]:
    """The fields of a dataclass as parameters that Typer makes options of, in their order."""
    types = get_type_hints(group, include_extras=True)
    defaults = {field.name: Parameter.empty if field.default is MISSING else field.default for field in fields(group)}
    return {
        name: Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=types[name])
        for name, default in defaults.items()
    }
