"""`vma reproduce`: the list, an experiment from training to files, and what goes wrong."""

from __future__ import annotations

import io
import json
import signal
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from tests.experiments.conftest import STEPS, tiny
from tests.vmacli.conftest import Shell
from vmacli.reproduce import budget
from vmacli.tables.reproduce import beside_paper
from vmacore.experiments import EXPERIMENTS, fig3
from vmacore.experiments.lab import plans, systems
from vmacore.experiments.lab.result import Row
from vmacore.training.loop import train


@pytest.fixture
def tiny_shell(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands whose experiments are tiny, on built-in data."""
    monkeypatch.setattr(plans, "load_recipe", tiny)
    monkeypatch.setattr(fig3, "EPISODES", 3)
    monkeypatch.setattr(systems, "VMA", replace(systems.VMA, plan=replace(systems.VMA.plan, steps=None)))
    monkeypatch.setattr("sys.argv", ["vma", "reproduce", "fig3", "--seeds", "1"])
    monkeypatch.chdir(shell.folder)
    return shell


def test_list(shell: Shell) -> None:
    text = shell("reproduce", "--list").stdout
    listed = shell.json("reproduce", "--list")["experiments"]
    assert [one["id"] for one in listed] == [one.id for one in EXPERIMENTS]
    for one in EXPERIMENTS:
        assert one.id in text
    assert "omniglot-burda" in text
    assert max(map(len, text.splitlines())) <= 80
    assert shell("reproduce", "--list", "--quiet").stdout.split() == [one.id for one in EXPERIMENTS]


def test_tables_of_words_and_long_numbers_fit_into_80_columns() -> None:
    words = Row(
        "|M| = 1024, test less training", 2.16, 0.41, "slightly larger than the VAE's", steps=50_000, full=50_000
    )
    claim = Row("hard addressing is faster than soft attention", None, None, 48, "slots", steps=100_000, full=100_000)
    for rows in ([words], [claim], [words, claim]):
        console = Console(width=80, file=io.StringIO())
        console.print(beside_paper("group", rows))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert max(map(len, text.splitlines())) <= 80
        for row in rows:
            assert f"{row.steps:,}/{row.full:,}" in text


def test_an_experiment(tiny_shell: Shell) -> None:
    document = tiny_shell.json("reproduce", "fig3")
    assert (document["id"], document["complete"], document["device"]) == ("fig3", False, "cpu")
    assert document["invocation"] == "vma reproduce fig3 --seeds 1"
    row = document["rows"][0]
    assert (row["steps"], row["full"], row["share"]) == (STEPS, plans.FULL, STEPS / plans.FULL)
    assert 0 < row["ours"] < 100
    folder = tiny_shell.folder / "reproduction" / "fig3"
    assert sorted(path.name for path in folder.iterdir()) == ["fig3.md", "fig3.png", "fig3.svg", "result.json"]
    stored = json.loads((folder / "result.json").read_text())
    assert stored == {key: value for key, value in document.items() if key != "folder"}
    assert (tiny_shell.runs / "omniglot-1e-4" / "config.toml").exists()

    again = tiny_shell("reproduce", "fig3", "--no-train", "--out", "elsewhere")
    assert "training" not in again.stderr
    assert "run omniglot-1e-4, step 4" in again.stderr
    assert "not yet the paper's experiment" in again.stdout
    assert max(len(line) for line in again.stdout.splitlines() if "/100,000" in line) <= 80
    assert (tiny_shell.folder / "elsewhere" / "fig3" / "fig3.png").exists()

    quiet = tiny_shell("reproduce", "fig3", "--no-train", "--quiet")
    assert quiet.stderr == ""
    label, value = quiet.stdout.splitlines()[0].rsplit(": ", 1)
    assert label == row["label"]
    assert float(value) == pytest.approx(row["ours"])


def test_a_page_of_an_earlier_result(tiny_shell: Shell) -> None:
    document = tiny_shell.json("reproduce", "fig3", "--budget", "0s")
    made = tiny_shell.json("reproduce", "fig3", "--docs", "pages")
    assert made["page"] == "pages/fig3.md"
    assert (tiny_shell.folder / "pages" / "fig3.md").read_text().startswith(f"# {document['title']}\n")
    assert "there is no elsewhere/fig3/result.json" in tiny_shell.refused(
        "reproduce", "fig3", "--docs", "pages", "--out", "elsewhere"
    )


def test_a_budget_too_small_says_so(tiny_shell: Shell) -> None:
    document = tiny_shell.json("reproduce", "fig3", "--budget", "0s")
    assert document["budget_s"] == 0
    assert {row["ours"] for row in document["rows"]} == {None}
    assert {row["note"] for row in document["rows"]} == {"nothing trained: there is no run omniglot-1e-4 yet"}
    assert not (tiny_shell.runs / "omniglot-1e-4").exists()
    text = tiny_shell("reproduce", "fig3", "--budget", "0s").stdout
    assert "not measured" in text
    assert "0 % of the full training was done" in text


def test_more_steps_and_seeds(tiny_shell: Shell) -> None:
    document = tiny_shell.json("reproduce", "fig3", "--steps", "6")
    assert document["rows"][0]["steps"] == 6
    assert document["steps_asked"] == 6


def test_interrupted(tiny_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **more: Any) -> object:
        signal.raise_signal(signal.SIGTERM)
        return train(*arguments, **more)

    monkeypatch.setattr(plans, "train", interrupted)
    result = tiny_shell("reproduce", "fig3", code=143)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("interrupted; what was trained is saved")
    assert (tiny_shell.runs / "omniglot-1e-4" / "latest").read_text() == "1"
    monkeypatch.setattr(plans, "train", train)
    assert tiny_shell.json("reproduce", "fig3")["rows"][0]["steps"] == STEPS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fig9",), "choose one of fig2a"),
        (("fig3",), "vma download omniglot"),
        (("fig3", "--seeds", "2"), "fig3 looks at one training: leave --seeds out"),
        (("burda",), "vma download omniglot-burda"),
        (("fig3", "--device", "mps"), "--device auto"),
    ],
)
def test_foreseen_failures(shell: Shell, monkeypatch: pytest.MonkeyPatch, arguments: Any, words: str) -> None:
    monkeypatch.chdir(shell.folder)
    assert words in shell.refused("reproduce", *arguments)
    assert not (shell.folder / "reproduction").exists()


def test_a_folder_that_cannot_be_written(tiny_shell: Shell) -> None:
    (tiny_shell.folder / "file").write_text("")
    assert "choose another path" in tiny_shell.refused("reproduce", "fig3", "--out", "file")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fig3", "--list"),
        ("fig3", "--budget", "soon"),
        ("fig3", "--budget", "-5m"),
        ("fig3", "--seeds", "0"),
        ("fig3", "--steps", "0"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.misused("reproduce", *arguments)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_budget(text: str, seconds: float) -> None:
    assert budget(text) == seconds
