"""What runs there are, in short, and two of them side by side."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from tests.small_runs import change_state, save_weights, tensors_of
from vmacore.config import Config, DataConfig, load_recipe
from vmacore.runs import metrics
from vmacore.runs.comparing import Pair, compare_runs, results
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.summaries import broken_runs, run_summaries, run_summary
from vmacore.runs.weights import build_model, export_weights

CONFIG = Config(data=DataConfig(dataset="glyphs", protocol="standard"))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run whose step 20 is the newest and whose step 10 is the best."""
    made = RunDirectory.create(tmp_path / "runs" / "one", CONFIG)
    best = {"step": 10, "nll": 5.25, "accuracy": 0.75}
    for step in (10, 20):
        made.save(step, tensors_of(), {"best": best})
    for step, nll in ((10, 5.25), (20, 6.0)):
        metrics.append(made.path, "train", {"step": step, "nll": nll + 1, "kl_address": 0.5, "steps_per_second": 4.0})
        validation = {"step": step, "nll": nll, "kl_address": nll / 10, "kl_latent": 2.0, "accuracy": 0.75}
        metrics.append(made.path, "validation", validation)
    return made


def test_where_a_run_stands(run: RunDirectory) -> None:
    os.utime(run.path / "latest", (10**9, 10**9))
    found = run_summary(run)
    assert (found.name, found.path, found.error) == ("one", str(run.path), None)
    assert (found.recipe, found.dataset, found.protocol, found.system, found.trains) == (
        None,
        "glyphs",
        "standard",
        "vma",
        "all",
    )
    assert (found.step, found.steps, found.best_step) == (20, 10_000, 10)
    assert (found.best_validation_nll, found.best_validation_accuracy) == (5.25, 0.75)
    assert datetime.fromisoformat(found.saved).timestamp() == 10**9
    assert found.bytes == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())


def test_bytes_of_what_a_link_leads_to_are_not_the_runs(run: RunDirectory, tmp_path: Path) -> None:
    before = run_summary(run).bytes
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "large").write_bytes(bytes(10**6))
    (run.path / "link").symlink_to(tmp_path / "elsewhere")
    (run.path / "file").symlink_to(tmp_path / "elsewhere" / "large")
    assert before < run_summary(run).bytes < before + 10**4


def test_one_bad_run_does_not_spoil_the_list(run: RunDirectory) -> None:
    folder = run.path.parent
    damaged = RunDirectory.create(folder / "damaged", CONFIG)
    save_weights(damaged, 1)
    (damaged.checkpoint(1) / "state.json").write_text("{")
    odd = RunDirectory.create(folder / "odd", CONFIG)
    save_weights(odd, 1)
    change_state(odd.checkpoint(1), best={"step": "first"})
    RunDirectory.create(folder / "new", CONFIG)
    for name, text in (("text", "data = ["), ("strange", '[data]\ndataset = "glyphs"\nabsent = 1\n')):
        (folder / name).mkdir()
        (folder / name / "config.toml").write_text(text)
    (folder / "link").mkdir()
    (folder / "link" / "config.toml").symlink_to(folder / "nowhere")
    (folder / "no run").mkdir()
    (folder / "file").touch()
    rows = {row.name: row for row in run_summaries(folder)}
    assert set(rows) == {"one", "damaged", "odd", "new"}
    assert (rows["one"].error, rows["new"].error, rows["new"].step) == (None, None, None)
    for name in ("damaged", "odd"):
        assert (rows[name].step, rows[name].best_step) == (None, None)
        assert "state.json is missing or damaged" in str(rows[name].error)
    broken = broken_runs(folder)
    assert [row.name for row in broken] == ["link", "strange", "text"]
    assert all("\n" not in row.error and str(folder / row.name) in row.error for row in broken)
    assert broken_runs(folder / "none") == []


def test_a_run_that_goes_while_runs_are_listed(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = RunDirectory.open

    def gone(path: Path) -> RunDirectory:
        found = opened(path)
        path.rename(path.with_name(".gone"))
        return found

    monkeypatch.setattr(RunDirectory, "open", staticmethod(gone))
    (row,) = run_summaries(run.path.parent)
    assert (row.name, row.step, row.bytes, row.saved[:4]) == ("one", None, 0, "1970")


def test_settings_that_differ(run: RunDirectory) -> None:
    changed = CONFIG.with_overrides(
        ["model.network=residual", "training.steps=5", "labels.weight=1", "model.tied=true"]
    )
    other = RunDirectory.create(run.path.parent / "two", changed)
    save_weights(other, 5)
    a, b = (find_run(name, runs_dir=run.path.parent) for name in ("one", "two"))
    pairs = {pair.key: (pair.a, pair.b) for pair in compare_runs(a, b).settings}
    assert pairs["training.steps"] == (10_000, 5)
    assert pairs["model.network"] == ("convolutional", "residual")
    assert pairs["model.channels"][1] is None
    assert pairs["model.stages"][0] is None
    assert pairs["labels.weight"] == (0.0, 1.0)
    assert all(one != other for one, other in pairs.values())
    sections = [key.partition(".")[0] for key in pairs]
    assert sections == sorted(sections, key=["model", "labels", "training"].index)
    back = {pair.key: (pair.b, pair.a) for pair in compare_runs(b, a).settings}
    assert back == pairs
    assert compare_runs(a, a).settings == []


def test_results_of_a_run(run: RunDirectory) -> None:
    location = find_run("one", runs_dir=run.path.parent)
    found = results(location)
    assert found == {
        "parameters": sum(parameter.numel() for parameter in build_model(CONFIG).parameters()),
        "step": 10,
        "best_step": 10,
        "best_nll": 5.25,
        "best_accuracy": 0.75,
        "best_kl_address": 0.525,
        "best_kl_latent": 2.0,
        "last_step": 20,
        "last_nll": 7.0,
        "last_kl_address": 0.5,
        "steps_per_second": 4.0,
    }
    newest = find_run(run.checkpoint(20), runs_dir=run.path.parent)
    assert results(newest) == found | {"step": 20}


def test_results_of_weights_without_their_run(run: RunDirectory, tmp_path: Path) -> None:
    export_weights(find_run("one", runs_dir=run.path.parent), tmp_path / "exported")
    found = results(find_run(tmp_path / "exported", runs_dir=tmp_path))
    assert set(found) == {"parameters", "step", "best_step", "best_nll", "best_accuracy"}
    alone = run.config.with_overrides(["objective.trains=addresses", "labels.weight=1", "model.tied=true"])
    (tmp_path / "exported" / "config.toml").write_text(alone.to_toml(), "utf-8")
    addresses = find_run(tmp_path / "exported", runs_dir=tmp_path)
    assert addresses.config.objective.trains == "addresses"
    assert "best_kl_latent" not in results(addresses)
    both = compare_runs(find_run("one", runs_dir=run.path.parent), addresses)
    assert Pair("last_step", 20, None) in both.results


def test_a_recipe_is_told(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "a", load_recipe("omniglot-addresses"))
    found = run_summary(run)
    assert (found.recipe, found.trains, found.step) == ("omniglot-addresses", "addresses", None)
