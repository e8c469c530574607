"""Every command on every page is one that `vma` takes; those of README and quick start are run, on small data."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray

import vmacore
from tests import synthetic
from tests.data.pictures import drawing, save_classes
from tests.docs.commands import ROOT, arguments, mentioned, pages, shown
from tests.vmacli.conftest import Shell
from vmacli.main import app
from vmacore.config import load_recipe, recipe_names
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.data.prepared import write_prepared
from vmacore.data.sets import omniglot, omniglot_gmn
from vmacore.data.splits import PAPER_TEST, VINYALS_VALIDATION

# Words that stand for others, and what they may stand for.
FOR_EXAMPLE = {
    "vma COMMAND": "vma info",
    "reproduce ID": "reproduce fig2a",
    "bench KIND": "bench growth",
    "download NAME": "download omniglot",
    "--dataset NAME": "--dataset glyphs",
    "--estimator NAME": "--estimator rloo",
    "--temperature T": "--temperature 0.5",
}
INCOMPLETE = re.compile("Missing |.* requires an argument")  # what is said where a command lacks something

# Commands of README and quick start that are not run, only read, and why.
READ_ONLY = {
    "vma download omniglot": "fetches",
    "vma download weights omniglot-45-5": "fetches",
    "vma download weights --from downloads": "needs what was fetched",
    "vma reproduce fig5a --budget 30m": "trains for half an hour",
    "vma bench": "measures for a minute",
    "vma bench large-memory omniglot-45-5": "makes a million slots",
    "vma train --dataset omniglot": "started by torchrun, on several processes",
}
LESS = {  # what is added, so that a command takes about a second
    "classify": ("--episodes", "2"),
    "score": ("--samples", "2", "--episodes", "2"),
}
TINY = (  # of which a training takes those that its kinds read
    *("model.channels=[4,4]", "model.hidden=8", "model.embedding=8", "model.stages=[4,4]", "model.blocks=[1,1]"),
    *("model.latent_maps=[1,1]", "model.latent_layers=[]", "labels.classes=8"),
    *("episode.classes=4", "episode.targets=2", "episode.shots=1"),
    *("training.validate_every=10", "training.validation_episodes=2", "training.checkpoint_every=10"),
)
ALPHABETS = dict.fromkeys((*PAPER_TEST, *VINYALS_VALIDATION), 4) | {"Greek": 20, "Latin": 20, "Korean": 20}


class Recorded(Exception):  # no error: how a command says that it would have begun
    """A command was given all it needs."""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.core.TyperGroup:
    """`vma`, whose commands do nothing once their arguments and options are read, beside what pages name."""
    for folder in ("symbols", "FOLDER"):
        (tmp_path / folder).mkdir()
    (tmp_path / "symbols.mem").touch()
    monkeypatch.chdir(tmp_path)
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    for leaf in leaves(command):
        leaf.callback = begun
    return command


def begun(*args: Any, **given: Any) -> None:
    """In place of a command's own function."""
    raise Recorded


def leaves(command: Any) -> Iterator[Any]:
    """A command, or those of a group and of its groups."""
    if isinstance(command, typer.core.TyperGroup):
        for part in command.commands.values():
            yield from leaves(part)
    else:
        yield command


def complaint(reader: typer.core.TyperGroup, line: str) -> str:
    """What `vma` has to say against a command; nothing if it takes it."""
    for phrase, example in FOR_EXAMPLE.items():
        line = re.sub(rf"{phrase}\b", example, line)
    words = arguments(line)
    if words == ["--install-completion"]:  # it would
        return "" if any(words[0] in parameter.opts for parameter in reader.params) else "there is no such option"
    try:
        reader.main(words, prog_name="vma", standalone_mode=False)
    except Recorded:
        return ""
    except Exception as error:
        return str(getattr(error, "format_message", error.__str__)())
    return "" if "--help" in words or words == ["--version"] else "it did nothing"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_taken(page: Path, reader: typer.core.TyperGroup) -> None:
    wrong = {line: complaint(reader, line) for line in shown(page)}
    for line in mentioned(page):
        said = complaint(reader, line)
        wrong[line] = "" if INCOMPLETE.match(said) else said
    assert not {line: said for line, said in wrong.items() if said}


def test_a_wrong_command_would_be_noticed(reader: typer.core.TyperGroup) -> None:
    for line in ("vma score --absent", "vma train --steps 0", "vma absent", "vma classify --rule absent"):
        assert complaint(reader, line), line
    assert INCOMPLETE.match(complaint(reader, "vma memory build"))
    assert INCOMPLETE.match(complaint(reader, "vma train --estimator"))
    assert not complaint(reader, "vma score mine --classes 8 --shots 4        # a comment")


def test_makefile_has_the_targets() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for page in pages():
        text = page.read_text("utf-8")
        named = re.findall(r"`make ([\w-]+)[^`]*`", text) + re.findall(r"^(?:    )?make ([\w-]+)", text, re.M)
        assert set(named) <= targets, page


def random_drawings(classes: tuple[str, ...], side: int, levels: int, rng: np.random.Generator) -> Characters:
    """20 drawings of each class, a tenth of the pixels ink."""
    ink: NDArray[np.bool_] = rng.random((20 * len(classes), side, side)) < 0.1
    labels = torch.arange(len(classes)).repeat_interleave(20)
    return Characters(torch.from_numpy((levels * ink).astype(np.uint8)), labels, classes, levels=levels)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands in a folder with pictures, and with small data sets in place of Omniglot."""
    rng, names, data = np.random.default_rng(0), omniglot.class_names(ALPHABETS), tmp_path / "data"
    finer = random_drawings(names, 52, 4, rng)
    pixels = Characters(torch.from_numpy(omniglot.inked(finer.images.numpy())), finer.labels, names)
    write_prepared(data / omniglot.FINER, finer, omniglot.FINER_PREPARATION)
    write_prepared(data / omniglot.PREPARED, pixels, omniglot.PREPARATION)
    write_prepared(data / omniglot_gmn.PREPARED, random_drawings(names, 28, 1, rng), omniglot_gmn.PREPARATION)
    for module, function in ((omniglot, "read"), (omniglot, "read_finer"), (omniglot_gmn, "read")):
        monkeypatch.setattr(module, function, partial(getattr(module, function), alphabets=ALPHABETS))
    save_classes(tmp_path / "symbols", {"alpha": 3, "beta": 3} | {f"class{number:02}": 3 for number in range(14)})
    (tmp_path / "new").mkdir()
    drawing(1).save(tmp_path / "new" / "1.png")
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path)


def smaller(given: list[str]) -> list[str]:
    """Settings with which a training takes about a second, which count after those given."""
    if "--resume" in given:
        return []
    recipe = given[given.index("--recipe" if "--recipe" in given else "--dataset") + 1]
    config = load_recipe(recipe if recipe in recipe_names() and not Path(recipe).is_dir() else "omniglot")
    return ["--steps", "2", *(word for key in synthetic.read(config, TINY) for word in ("--set", key))]


def run(shell: Shell, page: Path, done: set[str]) -> None:
    """Each command of a page but those that are only read and those done before."""
    for line in shown(page):
        command, *given = arguments(line)
        plain = " ".join(["vma", command, *given])
        if plain not in {*READ_ONLY, *done}:
            shell(command, *given, *(smaller(given) if command == "train" else LESS.get(command, ())))
            done.add(plain)


def examples(page: Path) -> list[str]:
    """Its lines of Python, block by block."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)


def test_python_of_the_readme(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    slots = load_dataset("omniglot").train
    images, labels = slots.images.float(), slots.labels
    model, _ = vmacore.load("omniglot-45-5")
    given = {"path": Path("slots.mem"), "model": model, "images": images.split(100), "labels": labels}
    given |= {"targets": images[:4, None], "target_labels": labels[:4]}
    paths = sorted(Path("symbols").glob("*/*.png"))
    given |= {"paths": paths, "names": [path.parent.name for path in paths], "new": [Path("new/1.png")]}
    large, *others = examples(ROOT / "README.md")
    exec(large, given)
    accuracy, _ = ast.literal_eval(capsys.readouterr().out)
    assert 0 <= accuracy <= 1
    assert len(given["memory"]) == len(labels)
    for example in others:
        exec(example.replace("episodes=200", "episodes=2"), given)
    assert "way=20" in capsys.readouterr().out


def test_commands_of_readme_and_quick_start(shell: Shell) -> None:
    readme, quick_start = ROOT / "README.md", ROOT / "docs" / "quick-start.md"
    listed = {" ".join(["vma", *arguments(line)]) for page in (readme, quick_start) for line in shown(page)}
    assert set(READ_ONLY) <= listed
    done: set[str] = set()
    run(shell, readme, done)
    assert {"glyphs", "mine", "omniglot-vae", "h"} <= {path.name for path in shell.runs.iterdir()}
    for page in (quick_start, ROOT / "docs" / "large-memories.md"):
        for example in examples(page):
            exec(example, {"__name__": "__main__"})
    assert len(list(Path("symbols").glob("character*/*.png"))) == 477
    run(shell, quick_start, done)
    made = {"answers.csv", "labels.csv", "symbols.mem", "letters.mem", "variants.png", "before-and-after.png"}
    assert made <= {path.name for path in shell.folder.iterdir()}
