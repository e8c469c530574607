"""`vma runs`: the list, and two runs side by side."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vmacore
from tests.vmacli.conftest import ADDRESSES, TINY, Shell
from vmacore.config import load_recipe
from vmacore.runs.directory import RunDirectory


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands with the runs `first` and, later, `h`, which trains addresses alone; for tests that only read them."""
    made = Shell(tmp_path_factory.mktemp("two"))
    made("train", "--dataset", "digits", "--name", "first", "--steps", "20", *TINY)
    made("train", "--recipe", "digits", "--name", "h", "--steps", "10", *TINY, *ADDRESSES)
    return made


def test_the_list(two: Shell) -> None:
    document = two.json("runs")
    newest, oldest = document["runs"]
    assert (newest["name"], oldest["name"]) == ("h", "first")
    assert (oldest["step"], oldest["steps"], oldest["dataset"], oldest["system"]) == (20, 20, "digits", "vma")
    assert 0 <= oldest["best_validation_accuracy"] <= 1
    assert oldest["best_validation_nll"] > 0
    assert oldest["bytes"] > 1000
    assert document["broken"] == []
    assert document == two.json("runs", "list")
    text = two("runs").stdout
    for word in ("first", "h", "20", "of 20", f"{oldest['best_validation_nll']:.2f}", "digits standard"):
        assert word in text
    assert f"{newest['best_validation_nll']:.2f}*" in text
    assert "*: where addresses alone are trained, the NLL is of the class" in text
    assert oldest["saved"][:16].replace("T", " ") in text
    assert two("runs", "--quiet").stdout == "h\nfirst\n"


def test_no_runs(shell: Shell) -> None:
    assert shell.json("runs")["runs"] == []
    assert f"no runs in {shell.runs}: vma train --dataset glyphs" in shell("runs").stdout
    assert shell("runs", "--quiet").stdout == "\n"


def test_one_bad_run_does_not_spoil_the_list(shell: Shell) -> None:
    run = RunDirectory.create(shell.runs / "whole", load_recipe("digits"))
    (shell.runs / "broken").mkdir()
    (shell.runs / "broken" / "config.toml").write_text("[")
    damaged = RunDirectory.create(shell.runs / "damaged", load_recipe("digits"))
    damaged.checkpoint(1).mkdir(parents=True)
    (damaged.checkpoint(1) / "state.json").write_text("[")
    result = shell("runs")
    assert run.path.name in result.stdout
    assert "left out: " in result.stderr
    assert "broken/config.toml: not a configuration" in result.stderr
    assert "damaged: " in result.stderr
    document = shell.json("runs")
    assert {row["name"]: row["error"] is None for row in document["runs"]} == {"whole": True, "damaged": False}
    assert [row["name"] for row in document["broken"]] == ["broken"]


@pytest.mark.parametrize(
    ("name", "recipe", "dataset", "shown"),
    [
        ("a-run-whose-name-is-a-long-one-indeed", "omniglot", "omniglot", "omniglot 45-5"),
        ("vae", "omniglot-vae", "omniglot", "omniglot-vae 45-5"),
        ("gmn", "gmn", "omniglot-gmn", "gmn, omniglot-gmn 45-5"),
        ("own", "omniglot", "/home/somebody/symbols", "omniglot, symbols 45-5"),
    ],
)
def test_numbers_keep_their_place(shell: Shell, name: str, recipe: str, dataset: str, shown: str) -> None:
    settings = ["training.steps=123456", "data.protocol=45-5", f"data.dataset={dataset}"]
    RunDirectory.create(shell.runs / name, load_recipe(recipe).with_overrides(settings))
    text = shell("runs").stdout
    assert "of 123456" in text
    assert max(map(len, text.splitlines())) <= 80
    first = [re.split("  +", line.strip())[0] for line in text.splitlines()]  # column
    assert name in "".join(first)
    assert shown in " ".join(first)


def test_two_runs_side_by_side(two: Shell) -> None:
    document = two.json("runs", "compare", "first", "h")
    assert (document["a"]["run"], document["b"]["kind"]) == ("first", "run")
    settings = {row["key"]: (row["a"], row["b"]) for row in document["settings"]}
    assert settings["objective.trains"] == ("all", "addresses")
    assert settings["training.steps"] == (20, 10)
    assert "model.hidden" not in settings
    results = {row["key"]: (row["a"], row["b"]) for row in document["results"]}
    assert results["last_step"] == (20, 10)
    assert results["best_kl_latent"][1] is None
    assert min(results["parameters"]) > 0
    text = two("runs", "compare", "first", "h").stdout
    for words in ("A first", "B h", "objective.trains", "5-way 1-shot accuracy", "h trains addresses alone"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 80
    bare = two("runs", "compare", "first", "h", "--quiet").stdout.splitlines()
    assert "objective.trains\tall\taddresses" in bare


def test_runs_by_path_and_shipped_weights(two: Shell) -> None:
    checkpoint = str(Path("first") / "checkpoints" / "step-00000010")
    document = two.json("runs", "compare", checkpoint, str(two.runs / "first"))
    assert (document["a"]["kind"], document["a"]["step"], document["settings"]) == ("checkpoint", 10, [])
    assert "no setting differs" in two("runs", "compare", "first", "first").stdout
    text = two("runs", "compare", "omniglot-best", "first").stdout
    model, _ = vmacore.load("omniglot-best")
    assert f"{sum(p.numel() for p in model.parameters()):,}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_refused(two: Shell) -> None:
    assert "did you mean 'first'?" in two.refused("runs", "compare", "first", "frist")
    assert "Missing argument" in two.misused("runs", "compare", "first")
    assert "Did you mean 'compare'?" in two.misused("runs", "comapre", "first", "h")
    assert "No such command" in two.misused("runs", "first")
