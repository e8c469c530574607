"""Which common options each command offers, and how a command gets them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from vmacli.bench import bench
from vmacli.main import app
from vmacli.session import Session, common, uses

OUTPUT = ["--json", "--quiet", "--debug"]
READING = ["--data-dir", "--runs-dir", "--device", "--seed", "--weights", "--json", "--quiet", "--offline", "--debug"]
OFFERED = {
    "download": ["--data-dir", "--json", "--quiet", "--offline", "--debug"],
    "train": ["--data-dir", "--runs-dir", "--device", "--seed", "--json", "--quiet", "--offline", "--debug"],
    "score": READING,
    "sample": READING,
    "classify": READING,
    "identify": ["--data-dir", "--runs-dir", "--device", *OUTPUT],
    "inspect": OUTPUT,
    "report": READING,
    "export": ["--data-dir", "--runs-dir", *OUTPUT],
    "reproduce": ["--data-dir", "--runs-dir", "--device", "--json", "--quiet", "--offline", "--debug"],
    "info": ["--data-dir", "--runs-dir", "--device", *OUTPUT],
}
BENCHES = {
    "estimators": ["--data-dir", "--runs-dir", "--device", "--weights", "--json", "--quiet", "--offline", "--debug"],
    "growth": ["--device", *OUTPUT],
    "large-memory": ["--data-dir", "--runs-dir", "--weights", "--json", "--quiet", "--offline", "--debug"],
    "operations": ["--device", *OUTPUT],
    "rates": ["--device", *OUTPUT],
}
MEMORY = {
    "build": ["--data-dir", "--runs-dir", "--device", *OUTPUT],
    "add": ["--data-dir", "--runs-dir", "--device", *OUTPUT],
    "remove": ["--data-dir", "--runs-dir", "--device", *OUTPUT],
    "show": OUTPUT,
}
RUNS: dict[str, list[str]] = {"compare": ["--data-dir", "--runs-dir", *OUTPUT]}
ALL = {(command,): offered for command, offered in OFFERED.items()} | {
    (group, kind): offered
    for group, kinds in (("runs", RUNS), ("bench", BENCHES), ("memory", MEMORY))
    for kind, offered in kinds.items()
}


@dataclass(frozen=True)
class Size:
    """Two options that travel together."""

    width: Annotated[int, typer.Option("--width", min=1)]
    height: Annotated[int, typer.Option("--height", min=1)] = 2


seen: list[object] = []
toy = typer.Typer()


@toy.command("all")
@uses("runs_dir", "seed")
def _all(session: Session, name: Annotated[str, typer.Argument()], size: Size, last: bool = False) -> None:
    """All that a command can take."""
    seen.append((session, name, size, last))


@toy.command("own")
@uses("device", "offline")
def _own(session: Session, seed: Annotated[int | None, common("--seed", help="Our own.")] = None) -> None:
    """A command with its own --seed."""
    seen.append((session, seed))


def _called(*arguments: str) -> object:
    seen.clear()
    result = CliRunner().invoke(toy, arguments)
    assert result.exit_code == 0, result.output
    (values,) = seen
    return values


def test_every_command_is_in_the_table() -> None:
    assert [command.callback.__name__ for command in app.registered_commands if command.callback] == list(OFFERED)
    assert [group.name for group in app.registered_groups] == ["runs", "memory", "bench"]
    assert [command.name for command in bench.registered_commands] == list(BENCHES)


@pytest.mark.parametrize("command", ALL)
def test_a_command_offers_the_common_options_that_it_uses(command: tuple[str, ...]) -> None:
    text = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"}).stdout
    _, panel = text.split(" Common options ")
    assert re.findall(r"^│ (--[a-z-]+) ", panel, re.MULTILINE) == ALL[command]
    assert max(map(len, text.splitlines())) <= 80


def test_a_command_gets_its_session_and_its_groups() -> None:
    assert _called("all", "x", "--width", "3") == (Session(), "x", Size(3, 2), False)
    given = ("--runs-dir", "there", "--seed", "7", "--json", "--quiet", "--debug", "--height", "5", "--last")
    session = Session(runs_dir=Path("there"), seed=7, as_json=True, quiet=True, debug=True)
    assert _called("all", "x", "--width", "3", *given) == (session, "x", Size(3, 5), True)


def test_a_command_may_declare_a_common_option_itself() -> None:
    assert _called("own") == (Session(), None)
    assert _called("own", "--seed", "3", "--device", "cpu", "--offline") == (Session(device="cpu", offline=True), 3)
    text = CliRunner().invoke(toy, ["own", "--help"], env={"COLUMNS": "80"}).stdout
    assert re.findall(r"^│ (--[a-z-]+) ", text.split(" Common options ")[1], re.MULTILINE) == [
        "--device", "--seed", "--json", "--quiet", "--offline", "--debug"
    ]  # fmt: skip
    assert "Our own." in text
    assert "Decides episodes" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("all", "x"),
        ("all", "x", "--width", "0"),
        ("all", "x", "--width", "1", "--offline"),
        ("own", "--weights", "raw"),
    ],
)
def test_what_is_not_offered_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(toy, arguments).exit_code == 2


def test_a_common_option_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no common option is called sed; known: data_dir, "):
        uses("sed")
