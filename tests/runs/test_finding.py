"""Finding what was trained, by name, by path, or the newest; and weights as a package brings them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small_runs import save_weights
from vmacore.config import Config, DataConfig
from vmacore.errors import VmaError
from vmacore.runs import shipped as places
from vmacore.runs import weights
from vmacore.runs.directory import STATE, WEIGHTS, RunDirectory, read_state
from vmacore.runs.finding import Location, find_run, list_runs, settled
from vmacore.runs.weights import export_weights, read_tensors, weights_file

CONFIG = Config(data=DataConfig(dataset="glyphs"))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "one", CONFIG)


def _refused(*arguments: Any, **named: Any) -> str:
    """The one line with which `find_run` refuses."""
    with pytest.raises(VmaError) as caught:
        find_run(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Finding


def test_a_run_by_path_and_by_name(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(run, 5)
    expected = Location(run.checkpoint(5), "one", 5, CONFIG, "run")
    for name in (run.path, str(run.path), "one", Path("one")):
        assert find_run(name, runs_dir=run.path.parent) == expected
    monkeypatch.chdir(run.path.parent.parent)
    found = find_run("runs/one", runs_dir=Path("elsewhere"))
    assert (found.path.resolve(), found.run) == (run.checkpoint(5), "one")


def test_the_best_checkpoint_of_a_run_is_taken_before_the_latest(run: RunDirectory) -> None:
    save_weights(run, 5, best=5)
    save_weights(run, 6, best=5)
    assert find_run("one", runs_dir=run.path.parent).step == 5


def test_a_checkpoint_folder(run: RunDirectory) -> None:
    save_weights(run, 5, best=5)
    save_weights(run, 6, best=5)
    expected = Location(run.checkpoint(6), "one/step-00000006", 6, CONFIG, "checkpoint")
    assert find_run(run.checkpoint(6), runs_dir=Path("elsewhere")) == expected
    assert find_run("one/checkpoints/step-00000006", runs_dir=run.path.parent) == expected


def test_the_newest_run_of_a_data_set(tmp_path: Path) -> None:
    digits = Config(data=DataConfig(dataset="digits"))
    for name, config, age in (("b", CONFIG, 30), ("c", CONFIG, 20), ("a", digits, 10), ("d", CONFIG, None)):
        run = RunDirectory.create(tmp_path / name, config)
        if age is not None:  # d is the newest, but has no checkpoint
            save_weights(run, age)
            then = time.time() - age
            os.utime(run.path / "latest", (then, then))
    (tmp_path / "no run").mkdir()
    (tmp_path / ".e.123.tmp").mkdir()
    (tmp_path / ".e.123.tmp" / "config.toml").write_text(CONFIG.to_toml())
    assert [run.path.name for run in list_runs(tmp_path)] == ["d", "a", "c", "b"]
    assert find_run(None, runs_dir=tmp_path).run == "a"
    assert find_run(None, runs_dir=tmp_path, dataset="glyphs").run == "c"
    assert find_run(None, runs_dir=tmp_path, dataset="digits").run == "a"
    assert "no trained run for mnist" in _refused(None, runs_dir=tmp_path, dataset="mnist")


def test_no_runs_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "weights")  # the folder need not exist
    assert list_runs(tmp_path / "runs") == []
    message = _refused(None, runs_dir=tmp_path / "runs")
    assert "no trained run in" in message
    assert "vma train --dataset glyphs" in message
    assert "vma train --dataset mnist" in _refused(None, runs_dir=tmp_path / "runs", dataset="mnist")
    assert "no run 'one'" in _refused("one", runs_dir=tmp_path / "runs")


def test_an_unknown_name_is_told_the_known_ones(run: RunDirectory) -> None:
    assert "no run 'two'; known: one" in _refused("two", runs_dir=run.path.parent)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert "is not a run" in _refused("other", runs_dir=tmp_path)
    assert "is not a run" in _refused(tmp_path / "other", runs_dir=tmp_path / "runs")


def test_a_run_of_another_data_set(run: RunDirectory) -> None:
    save_weights(run, 1)
    assert "one was trained on glyphs, not mnist" in _refused("one", runs_dir=run.path.parent, dataset="mnist")
    assert find_run("one", runs_dir=run.path.parent, dataset="glyphs").step == 1


def test_a_half_written_run(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PACKAGE", run.path / "none")
    assert "no whole checkpoint yet" in _refused("one", runs_dir=run.path.parent)
    save_weights(run, 1)
    (run.checkpoint(1) / "state.json").unlink()
    assert "no whole checkpoint yet" in _refused("one", runs_dir=run.path.parent)
    assert "no trained run" in _refused(None, runs_dir=run.path.parent)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights as a package would bring them: configuration, weights and state in one folder."""
    folder = tmp_path / "package"
    made = RunDirectory.create(tmp_path / "made", Config(data=DataConfig(dataset="digits")))
    save_weights(made, 900)
    made.checkpoint(900).rename(made.path / "moved")
    (folder / "digits-small").parent.mkdir()
    (made.path / "moved").rename(folder / "digits-small")
    (made.path / "config.toml").rename(folder / "digits-small" / "config.toml")
    monkeypatch.setattr(places, "PACKAGE", folder)
    return folder / "digits-small"


def test_shipped_weights(shipped: Path, run: RunDirectory) -> None:
    runs = run.path.parent
    found = find_run("digits-small", runs_dir=runs)
    assert (found.path, found.run, found.step, found.kind) == (shipped, "digits-small", 900, "shipped")
    assert found.config.data.dataset == "digits"
    assert find_run(None, runs_dir=runs) == found  # the run has no checkpoint
    assert find_run(None, runs_dir=runs, dataset="digits") == found
    assert find_run(shipped, runs_dir=runs) == found
    _refused(None, runs_dir=runs, dataset="glyphs")
    assert "known: one, digits-small" in _refused("two", runs_dir=runs)


def test_weights_of_our_own_recipe_come_before_the_papers(tmp_path: Path) -> None:
    assert find_run(None, runs_dir=tmp_path, dataset="omniglot").run == "omniglot-best"


def test_ones_own_run_comes_before_shipped_weights(shipped: Path, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs" / "digits-small", Config(data=DataConfig(dataset="digits")))
    save_weights(run, 4)
    for name in ("digits-small", None):
        found = find_run(name, runs_dir=run.path.parent)
        assert (found.step, found.kind) == (4, "run")


# Exporting


def test_exported_weights_are_found_by_path(run: RunDirectory, tmp_path: Path) -> None:
    run.save(7, {WEIGHTS["averaged"]: {"weight": torch.tensor([0.1, -3.0])}}, {"best": {"step": 7, "nll": 1.5}})
    folder = tmp_path / "exported"
    export_weights(find_run("one", runs_dir=run.path.parent), folder)
    found = find_run(folder, runs_dir=tmp_path / "none")
    assert (found.path, found.run, found.step, found.config) == (folder, "exported", 7, CONFIG)
    stored = read_tensors(folder / WEIGHTS["averaged"])["weight"]
    assert stored.dtype == torch.float16
    assert torch.equal(stored, torch.tensor([0.1, -3.0]).half())
    assert read_state(folder)["best"] == {"step": 7, "nll": 1.5}


def test_weights_that_cannot_be_exported(run: RunDirectory, tmp_path: Path) -> None:
    save_weights(run, 1)
    location = find_run("one", runs_dir=run.path.parent)
    with pytest.raises(VmaError, match="exists already"):
        export_weights(location, run.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match="cannot write"):
        export_weights(location, tmp_path / "file" / "below")
    save_weights(run, 30, best=30, value=1e6)
    with pytest.raises(VmaError, match=r"the weights of one in float16 are not finite, .* diverged"):
        export_weights(find_run("one", runs_dir=run.path.parent), tmp_path / "large")
    assert not (tmp_path / "large").exists()
    (run.checkpoint(1) / WEIGHTS["averaged"]).unlink()
    with pytest.raises(VmaError, match="missing or damaged"):
        export_weights(location, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_export_that_fails_leaves_no_folder(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    save_weights(run, 1)
    monkeypatch.setattr(weights, "write_checkpoint", refused)
    with pytest.raises(VmaError, match=r"cannot write .*new: No space left on device; choose another folder"):
        export_weights(find_run("one", runs_dir=run.path.parent), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


# Beside a training


def test_what_was_found_and_is_gone_is_found_again(run: RunDirectory) -> None:
    save_weights(run, 1)
    reads = []

    def read() -> float:
        location = find_run("one", runs_dir=run.path.parent)
        reads.append(location.step)
        if len(reads) < 3:  # a training saves twice before the weights are opened
            for step in (location.step + 1, location.step + 2):
                save_weights(run, step, value=float(step))
        return float(read_tensors(weights_file(location, "averaged"))["weight"][0, 0])

    assert settled(read) == 5.0
    assert reads == [1, 3, 5]


def test_a_pointer_that_moves_while_it_is_read(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(run, 1, best=1)
    named = RunDirectory._named

    def slow(self: RunDirectory, name: str) -> int | None:
        step = named(self, name)
        if step == 1:
            for later in (2, 3):
                save_weights(run, later, best=later)
        return step

    monkeypatch.setattr(RunDirectory, "_named", slow)
    assert run.pointed("best") == 3


def test_a_run_that_others_wrote_badly_hides_no_run(run: RunDirectory) -> None:
    save_weights(run, 1)
    bad = [
        "a=" + "[" * 5000 + "]" * 5000,
        "a=" + "9" * 5000,
        "a." * 5000 + "a=1",
        "a." * 50_000 + "a=1",
        "\0",
        "\x7f=1",
    ]
    for number, text in enumerate(bad):
        folder = run.path.parent / f"evil{number}"
        folder.mkdir()
        (folder / "config.toml").write_text(text)
        assert "\n" not in _refused(folder.name, runs_dir=run.path.parent)
    assert [found.path.name for found in list_runs(run.path.parent)] == ["one"]
    assert find_run(None, runs_dir=run.path.parent).run == "one"
    damaged = RunDirectory.create(run.path.parent / "damaged", CONFIG)
    save_weights(damaged, 2)
    (damaged.checkpoint(2) / "state.json").write_text("{}")
    os.utime(damaged.path / "latest", (2**32, 2**32))
    assert [found.path.name for found in list_runs(run.path.parent)] == ["damaged", "one"]
    assert find_run(None, runs_dir=run.path.parent).run == "one"
    assert "known: damaged, one" in _refused("typo", runs_dir=run.path.parent)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"[" * 10_000], ids=["empty", "zeros", "deep"])
def test_a_run_with_a_damaged_checkpoint_hides_no_run(tmp_path: Path, content: bytes) -> None:
    for age, name in enumerate(("newest", "older")):
        save_weights(RunDirectory.create(tmp_path / name, CONFIG), 1)
        then = time.time() - 60 * age
        os.utime(tmp_path / name / "latest", (then, then))
    newest, older = list_runs(tmp_path)
    (newest.checkpoint(1) / STATE).write_bytes(content)
    assert find_run(None, runs_dir=tmp_path).run == "older"
    (older.checkpoint(1) / STATE).write_bytes(content)
    assert "newest" in _refused(None, runs_dir=tmp_path)  # not shipped weights, of which nobody spoke
