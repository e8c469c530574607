"""Command lines drawn at random from what the commands themselves say they take, with values that no one expects."""

from __future__ import annotations

import inspect
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import torch
import typer
from PIL import Image
from typer.models import ArgumentInfo

from tests.small_runs import create_run, save_weights
from vmacli.main import app
from vmacli.start import run
from vmacore.config import recipe_names
from vmacore.data import DATASETS

PATIENCE = 20  # seconds until a command is asked to stop, and as many in which it has to
SAID = ("error: ", "can't be used", "\terror")  # in one way or another, that something was refused
MEMORY = 8 * 2**30  # bytes
NUMBERS = ("0", "1", "2", "3", "-1", "0.5", "1e400", "nan", "-inf", "9" * 30, "0x1", "١", "", " ")
TEXTS = ("x", "a" * 5000, "\x1b[31mred", "..", "../x", "-", "--", "=", "\u202e", "none", "{", "omniglot-best", "\n")
SETTINGS = (
    "model.latent=0", "model.latent=3", "model.channels=[4,4]", "model.channels=[]", "training.steps=1", "a.b=c",
    "optimiser.learning_rate=nan", "episode.classes=1", "objective.samples=2", "init=x", "=",
    "model.hidden=" + "9" * 50,
)  # fmt: skip
# What keeps a command short that is right; every other value may take its place.
SHORT = {
    "train": ["--steps", "2", "--set", "model.channels=[4,4]", "--set", "training.validation_episodes=2"],
    "score": ["--samples", "2", "--episodes", "2"],
    "classify": ["--episodes", "2"],
    "reproduce": ["--budget", "1s"],
    "download": ["--offline"],
}


def command_lines(folder: Path, small: bool) -> tuple[int, list[str]]:
    """Run them: each ends with an exit code of a command, without a traceback, when it is asked to at the latest."""
    torch.set_num_threads(1)
    here = folder / "one" / "two" / "three"  # ../../x is still below the folder
    here.mkdir(parents=True)
    _fill(here)
    draw, wrong, count = random.Random(0), [], 25 if small else 400
    commands = list(_commands(app))
    for _ in range(count):
        arguments = _drawn(draw, *draw.choice(commands))
        output = folder / "output"
        code = _run(arguments, here, output)
        text = output.read_text("utf-8", "replace")
        if (
            code not in (0, 1, 2, 130)
            or "Traceback" in text
            or (code == 1 and not any(words in text for words in SAID))
        ):
            wrong.append(f"{code} after vma {' '.join(arguments)[:150]!r}: {text[-100:]!r}")
    return count, wrong


def _fill(here: Path) -> None:
    """A run, two classes of pictures, and files that are neither."""
    save_weights(create_run(here / "runs" / "broken"), 1)
    for name in ("a", "b"):
        (here / "pictures" / name).mkdir(parents=True)
        for number in range(3):
            picture = Image.new("L", (40, 40), 255)
            picture.paste(0, (5 + number, 5, 12 + number, 30) if name == "a" else (5, 5 + number, 30, 12 + number))
            picture.save(here / "pictures" / name / f"{number}.png")
    (here / "text").write_text("no picture")
    (here / "empty").mkdir()
    os.mkfifo(here / "pipe")


def _commands(group: typer.Typer, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Parameter]]]:
    """The words of each command, and what it takes."""
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from _commands(below.typer_instance, (*name, str(below.name)))
    for command in group.registered_commands:
        assert command.callback is not None
        word = command.name or command.callback.__name__.replace("_", "-")
        yield (*name, word), list(inspect.signature(command.callback, eval_str=True).parameters.values())


def _drawn(draw: random.Random, words: tuple[str, ...], parameters: list[Parameter]) -> list[str]:
    arguments, options = [], []
    for parameter in parameters:
        kind, *more = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else [bool]
        about = more[0] if more else None
        if isinstance(about, ArgumentInfo):
            arguments += [_value(draw, parameter.name, kind) for _ in range(draw.choice((0, 1, 1, 1, 2)))]
        elif draw.random() < 0.2 and parameter.name != "debug":  # which asks for a traceback
            named = getattr(about, "param_decls", None) or [f"--{parameter.name.replace('_', '-')}"]
            flag = draw.choice([part for names in named for part in names.split("/")])
            options += [flag] if kind is bool else [flag, _value(draw, parameter.name, kind)]
    return [*words, *SHORT.get(words[0], []), *options, *arguments]


def _value(draw: random.Random, name: str, kind: Any) -> str:
    kinds = [part for part in (kind, *get_args(kind), *map(get_args, get_args(kind))) if part]
    if draw.random() < 0.1:
        return draw.choice((*NUMBERS, *TEXTS))
    if name == "settings":
        return draw.choice(SETTINGS)
    if int in kinds or float in kinds:
        return draw.choice(NUMBERS)
    if get_origin(kind) is Literal:
        return str(draw.choice(get_args(kind)))
    names = ("broken", "omniglot-best", "omniglot-45-5", "omniglot-vae", "omniglot-gmn-best", "glyphs", "digits")
    paths = ("pictures", "pictures/a/0.png", "text", "empty", "pipe", "absent", "new/file.png", "memory", "runs/broken")
    return draw.choice((*names, *paths, *TEXTS, draw.choice(recipe_names()), draw.choice(list(DATASETS))))


def _run(arguments: list[str], here: Path, output: Path) -> int:
    process = os.fork()
    if not process:
        os.chdir(here)
        os.environ |= {"HOME": str(here), "COLUMNS": "80"}
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.argv = ["vma", *arguments]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = 70
        try:
            run()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 71
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    began = time.monotonic()
    while time.monotonic() - began < 2 * PATIENCE:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - began > PATIENCE:
            os.kill(process, signal.SIGINT)
        time.sleep(0.02 if time.monotonic() - began < PATIENCE else 1)
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
