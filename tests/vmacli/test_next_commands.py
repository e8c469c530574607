"""The commands that `vma train` ends with: each does what it says, and what is left out would be refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch

from tests import synthetic
from tests.data.pictures import save_classes
from tests.vmacli.conftest import ADDRESSES, TINY, Shell
from vmacli.next_commands import _score_sizes, _tasks
from vmacore.config import load_recipe
from vmacore.data.characters import Characters

LESS = {  # what is added, so that a command takes about a second
    "score": ("--samples", "2", "--episodes", "2"),
    "classify": ("--episodes", "2"),
    "sample": (),
    "report": ("--episodes", "2", "--targets", "2"),
}
ALL = ("score", "classify", "sample", "report")
LAYERS = ("model.layers=[8,8]", "episode.length=4", "episode.sequences=2")  # of other kinds


def offered(shown: str) -> list[list[str]]:
    """The words of the commands at the end of what `vma train` prints."""
    lines = [line.removeprefix("next").strip() for line in shown.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("vma ")]


def small(recipe: str, *settings: str) -> list[str]:
    """A recipe on digits, with a network that trains in a second."""
    config = load_recipe(recipe).with_overrides([setting for setting in settings if setting != "--set"])
    tiny = synthetic.read(config, [setting for setting in (*TINY, *LAYERS) if setting != "--set"])
    given = [*settings, *(word for setting in tiny for word in ("--set", setting))]
    return ["--recipe", recipe, "--dataset", "digits", "--name", "mine", "--steps", "2", *given]


def run_all(shell: Shell, shown: str) -> dict[str, list[str]]:
    """Run the commands that are offered; returns the words of each after its run, by its name."""
    commands = offered(shown)
    for name, *words in commands:
        shell(name, *words, *LESS[name])
    return {name: words for name, _, *words in commands}


@pytest.mark.parametrize(
    ("recipe", "settings", "names"),
    [
        ("digits", (), ALL),
        ("digits", ADDRESSES, ("classify", "report")),
        ("omniglot-vae", (), ("score", "sample", "report")),
        ("omniglot-soft-attention", (), ("score", "sample", "report")),
        ("gmn", (), ("score", "sample", "report")),
        ("mnist-learned", (), ("score", "sample", "report")),
        ("mnist-vae", (), ("score", "sample", "report")),
    ],
    ids=["vma", "addresses", "vae", "soft-attention", "matching", "learned", "vae-without-memory"],
)
def test_what_is_offered_is_done(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, recipe: str, settings: tuple[str, ...], names: tuple[str, ...]
) -> None:
    monkeypatch.chdir(shell.folder)
    result = shell("train", *small(recipe, *settings))
    assert max(len(line) for line in result.stdout.splitlines() if str(shell.runs) not in line) <= 80
    assert tuple(run_all(shell, result.stdout)) == names
    for name in set(ALL) - set(names):
        shell.refused(name, "mine", *LESS[name])


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (
            {f"class{number:02}": 2 + number % 4 for number in range(40)},
            {
                "score": "--split validation --classes 4 --shots 1 --targets 1",
                "classify": "--split validation --way 4 --shot 1",
                "sample": "--memory-from validation --classes 4",
                "report": "--split validation",
            },
        ),
        (
            {f"{split}/class{number:02}": 3 for split in ("train", "validation", "test") for number in range(6)},
            {
                "score": "--classes 6 --shots 1 --targets 2",
                "classify": "--way 5 --shot 1",
                "sample": "--memory-from test --classes 6",
                "report": "",
            },
        ),
    ],
    ids=["one folder", "folders of splits"],
)
def test_folders_of_pictures(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, counts: dict[str, int], words: dict[str, str]
) -> None:
    monkeypatch.chdir(shell.folder)
    save_classes(Path("symbols"), counts)
    fewer = ("--set", "episode.shots=1", "--set", "episode.targets=1")
    result = shell("train", "--dataset", "symbols", "--name", "my run", "--steps", "2", *TINY, *fewer)
    found = run_all(shell, result.stdout)
    assert {name: " ".join(given) for name, given in found.items()} == words
    assert f"vma score '{shell.runs / 'my run'}'" in result.stdout


def characters(*counts: int) -> Characters:
    """Blank drawings, so many of each class."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Characters(torch.zeros(sum(counts), 4, 4, dtype=torch.uint8), labels, tuple(map(str, range(len(counts)))))


@pytest.mark.parametrize(
    ("counts", "sizes", "tasks"),
    [
        ([8] * 8, "", "--way 5 --shot 1"),
        ([6] * 20, "--shots 3 --targets 3", "--way 5 --way 20 --shot 1 --shot 5"),
        ([1, 9, 1, 7], "--classes 2 --shots 3 --targets 4", "--way 4 --shot 1"),
        ([2, 1], "--classes 1 --shots 1 --targets 1", "--way 2 --shot 1"),
        ([500], "--classes 1 --targets 32", ""),  # drawings without labels
        ([10], "--classes 1 --targets 6", ""),
        ([1, 1, 1], None, ""),
    ],
)
def test_sizes_that_the_classes_allow(counts: list[int], sizes: str | None, tasks: str) -> None:
    assert _score_sizes(characters(*counts)) == (None if sizes is None else sizes.split())
    assert _tasks(characters(*counts)) == tasks.split()


def test_what_it_ends_with(shell: Shell) -> None:
    told = shell("train", "--recipe", "digits", "--name", "a", "--steps", "20", *TINY)
    *lines, first = told.stdout.splitlines()[:5]
    assert lines[0] == "trained  vma on digits standard, recipe digits"
    assert lines[1].startswith("steps    20 of 20 in 0:0")
    assert lines[1].endswith(" steps/s")
    best = [line for line in told.stderr.splitlines() if line.endswith(", the best")][-1]
    nll, accuracy = best.split("validation NLL ")[1].split(",")[0], best.split("accuracy ")[1].split(",")[0]
    step = best.split(":")[0].removeprefix("step ")
    assert lines[2] == f"best     step {step}, validation NLL {nll}, 5-way 1-shot accuracy {accuracy}"
    assert lines[3] == f"in       {shell.runs / 'a'}"
    assert first.startswith(f"next     vma score {shell.runs / 'a'}")
    assert "vma " not in told.stderr
    more = shell("train", "--resume", "a", "--steps", "25").stdout.splitlines()[1]
    assert more.startswith("steps    25 of 25, the last 5 now in 0:0")
    assert shell("train", "--resume", "a").stdout.splitlines()[1] == "steps    25 of 25, the last 0 now"


def test_nothing_of_it_in_json(shell: Shell) -> None:
    assert "next" not in shell("train", "--dataset", "digits", "--steps", "2", *TINY, "--json").stdout


def test_data_elsewhere_are_named(shell: Shell) -> None:
    elsewhere = str(shell.folder / "other data")
    told = shell("train", "--dataset", "digits", "--steps", "2", *TINY, "--data-dir", elsewhere)
    assert all(words[-2:] == ["--data-dir", elsewhere] for words in offered(told.stdout))
    assert "--data-dir" not in shell("train", "--dataset", "digits", "--steps", "2", *TINY).stdout
