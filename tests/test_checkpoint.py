"""Run directories: saves that survive interruption, and finding what was trained."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vmacore import checkpoint as ckpt
from vmacore.checkpoint import Location, RunDirectory, export_weights, find_run, list_runs, load_weights, read_state
from vmacore.config import Config, DataConfig
from vmacore.errors import VmaError

CONFIG = Config(data=DataConfig(dataset="glyphs"))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "one", CONFIG)


def _tensors(value: float = 1.0) -> dict[str, dict[str, Tensor]]:
    return {file: {"weight": torch.full((2, 3), value)} for file in ckpt.WEIGHTS.values()}


def _save(run: RunDirectory, step: int, best: int | None = None, value: float = 1.0) -> None:
    run.save(step, _tensors(value), {"best": {} if best is None else {"step": best}})


def _checkpoints(run: RunDirectory) -> list[str]:
    return sorted(path.name for path in (run.path / "checkpoints").iterdir())


def _value(run: RunDirectory) -> float:
    """The weight that the latest checkpoint holds."""
    step = run.pointed("latest")
    assert step is not None
    return float(ckpt.read_tensors(run.checkpoint(step) / "weights.safetensors")["weight"][0, 0])


def _refused(*arguments: Any, **named: Any) -> str:
    """The one line with which `find_run` refuses."""
    with pytest.raises(VmaError) as caught:
        find_run(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Run directories


def test_a_run_holds_its_configuration(run: RunDirectory) -> None:
    assert RunDirectory.open(run.path) == run
    assert [path.name for path in run.path.parent.iterdir()] == ["one"]  # nothing temporary is left
    changed = run.with_config(CONFIG.with_overrides(["training.steps=7"]))
    assert RunDirectory.open(run.path).config.training.steps == changed.config.training.steps == 7


def test_a_run_is_not_made_over_another(run: RunDirectory) -> None:
    with pytest.raises(VmaError, match="exists already"):
        RunDirectory.create(run.path, CONFIG)


def test_a_run_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match="cannot write a run at"):
        RunDirectory.create(tmp_path / "file" / "run", CONFIG)


@pytest.mark.parametrize("content", [b"not toml", b"\xff\xfe", b"[data]\n"])
def test_a_damaged_configuration(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(VmaError, match=r"config\.toml") as caught:
        RunDirectory.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="is not a run"):
        RunDirectory.open(tmp_path / "absent")


# Saving


def test_a_checkpoint_holds_weights_and_state(run: RunDirectory) -> None:
    run.save(3, {"weights.safetensors": {"a": torch.arange(4.0)}}, {"best": {}, "other": 5})
    folder = run.checkpoint(3)
    assert folder.name == "step-00000003"
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "weights.safetensors"]
    assert torch.equal(ckpt.read_tensors(folder / "weights.safetensors")["a"], torch.arange(4.0))
    assert read_state(folder) == {"format": 1, "step": 3, "best": {}, "other": 5}


def test_tensors_in_channels_last_keep_their_values(run: RunDirectory) -> None:
    weight = torch.arange(120.0).view(2, 5, 3, 4).contiguous(memory_format=torch.channels_last)
    run.save(1, {"weights.safetensors": {"a": weight}}, {"best": {}})
    assert torch.equal(ckpt.read_tensors(run.checkpoint(1) / "weights.safetensors")["a"], weight)


def test_pointers_and_pruning_keep_latest_and_best(run: RunDirectory) -> None:
    assert run.pointed("latest") is None
    assert run.pointed("best") is None
    _save(run, 1)
    assert (run.pointed("latest"), run.pointed("best")) == (1, None)
    _save(run, 2, best=2)
    assert (run.pointed("latest"), run.pointed("best")) == (2, 2)
    assert _checkpoints(run) == ["step-00000002"]
    _save(run, 3, best=2)
    _save(run, 4, best=2)
    assert (run.pointed("latest"), run.pointed("best")) == (4, 2)
    assert _checkpoints(run) == ["step-00000002", "step-00000004"]
    _save(run, 5, best=5)
    assert (run.pointed("latest"), run.pointed("best")) == (5, 5)
    assert _checkpoints(run) == ["step-00000005"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["averaged.safetensors", "state.json"])
def test_a_save_that_is_interrupted_leaves_the_one_before(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str
) -> None:
    _save(run, 1, best=1, value=1.0)
    whole = ckpt._write

    def failing(path: Path, content: bytes) -> None:
        if path.name == place:
            path.write_bytes(content[:5])
            raise error
        whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "_write", failing)
        if isinstance(error, OSError):
            with pytest.raises(VmaError, match=r"cannot save step 2 .*No space left.*checkpoint of step 1 is kept"):
                _save(run, 2, best=2, value=2.0)
            assert _checkpoints(run) == ["step-00000001"]
        else:
            with pytest.raises(KeyboardInterrupt):
                _save(run, 2, best=2, value=2.0)
    assert (run.pointed("latest"), run.pointed("best")) == (1, 1)
    assert _value(run) == 1.0
    assert find_run("one", runs_dir=run.path.parent).step == 1

    _save(run, 2, best=2, value=2.0)  # what was left behind is in nobody's way
    assert _value(run) == 2.0
    assert _checkpoints(run) == ["step-00000002"]


def test_a_save_killed_before_its_pointer(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is whole but `latest` does not name it yet: the run stands at the step before, with its best."""
    _save(run, 1, value=1.0)

    def killed(path: Path, content: bytes) -> None:
        if path.name == "latest":
            raise KeyboardInterrupt
        replace(path, content)

    replace = ckpt.replace_file
    with monkeypatch.context() as patch:
        patch.setattr(ckpt, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            _save(run, 2, best=2, value=2.0)
    assert run.pointed("latest") == 1
    assert run.pointed("best") == 2  # pointed to first, or it would never be
    _save(run, 2, best=2, value=2.0)
    assert (run.pointed("latest"), run.pointed("best"), _value(run)) == (2, 2, 2.0)


def test_leftovers_of_a_killed_save(run: RunDirectory) -> None:
    _save(run, 1)
    for name in (".step-00000002.999999.tmp", f".step-00000002.{os.getpid()}.tmp", "step-00000002"):
        folder = run.path / "checkpoints" / name
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"half")
    assert run.pointed("latest") == 1
    _save(run, 2, value=2.0)
    assert _checkpoints(run) == ["step-00000002"]
    assert _value(run) == 2.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(run: RunDirectory, value: float) -> None:
    with pytest.raises(VmaError, match="no checkpoint was saved before"):
        _save(run, 1, value=value)
    _save(run, 1)
    with pytest.raises(VmaError, match=r"weight in .* is not finite at step 2.*checkpoint of step 1 is kept"):
        _save(run, 2, value=value)
    assert run.pointed("latest") == 1
    assert _checkpoints(run) == ["step-00000001"]


def test_a_checkpoint_where_nothing_can_be_written(run: RunDirectory) -> None:
    (run.path / "checkpoints").write_text("a file")
    with pytest.raises(VmaError, match="cannot save step 1"):
        _save(run, 1)


@pytest.mark.parametrize("content", ["", "seven", "9", "\xff"])
def test_a_pointer_that_leads_nowhere(run: RunDirectory, content: str) -> None:
    _save(run, 1)
    (run.path / "latest").write_text(content, "latin-1")
    assert run.pointed("latest") is None


# Loading


def _linear(outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(3, outputs))


def _stored(folder: Path, tensors: dict[str, Tensor]) -> Path:
    run = RunDirectory.create(folder / "run", CONFIG)
    run.save(1, {"weights.safetensors": tensors}, {"best": {}})
    return run.checkpoint(1) / "weights.safetensors"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_weights_in_any_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: torch.full_like(weight, 0.5).to(dtype) for name, weight in _linear().state_dict().items()}
    module = _linear()
    load_weights(module, _stored(tmp_path, tensors))
    for weight in module.parameters():
        assert weight.dtype == torch.float32
        assert bool((weight == 0.5).all())


def test_weights_of_another_shape_are_named_with_both_shapes(tmp_path: Path) -> None:
    module = _linear()
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    file = _stored(tmp_path, {"0.bias": torch.zeros(2), "0.weight": torch.zeros(4, 3)})
    with pytest.raises(VmaError, match=r"0\.weight has shape \[4, 3\], but this model needs \[2, 3\]"):
        load_weights(module, file)
    for name, weight in module.state_dict().items():  # nothing is loaded by halves
        assert torch.equal(weight, before[name])


def test_weights_that_are_missing_or_too_many(tmp_path: Path) -> None:
    file = _stored(tmp_path / "a", {"0.weight": torch.zeros(2, 3)})
    with pytest.raises(VmaError, match=r"0\.bias is missing"):
        load_weights(_linear(), file)
    file = _stored(tmp_path / "b", {"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2), "1.bias": torch.zeros(2)})
    with pytest.raises(VmaError, match=r"1\.bias is not part of this model"):
        load_weights(_linear(), file)


def test_damaged_and_missing_weights(tmp_path: Path) -> None:
    file = _stored(tmp_path, _linear().state_dict())
    whole = file.read_bytes()
    for content in (whole[:-7], whole[:20], b"", b"\xff" * 100):
        file.write_bytes(content)
        with pytest.raises(VmaError, match="missing or damaged") as caught:
            load_weights(_linear(), file)
        assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(VmaError, match="missing or damaged"):
        load_weights(_linear(), file)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"format": 1}', '{"format": 1, "step": "x"}', "\xff"])
def test_a_damaged_state(run: RunDirectory, content: str) -> None:
    _save(run, 1)
    (run.checkpoint(1) / "state.json").write_text(content, "latin-1")
    with pytest.raises(VmaError) as caught:
        read_state(run.checkpoint(1))
    assert "\n" not in str(caught.value)
    _refused("one", runs_dir=run.path.parent)


def test_a_state_of_another_format(run: RunDirectory) -> None:
    _save(run, 1)
    (run.checkpoint(1) / "state.json").write_text(json.dumps({"format": 99, "step": 1}))
    with pytest.raises(VmaError, match="format 99, this version reads 1"):
        read_state(run.checkpoint(1))


# Finding


def test_a_run_by_path_and_by_name(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(run, 5)
    expected = Location(run.checkpoint(5), "one", 5, CONFIG, "run")
    for name in (run.path, str(run.path), "one", Path("one")):
        assert find_run(name, runs_dir=run.path.parent) == expected
    monkeypatch.chdir(run.path.parent.parent)
    found = find_run("runs/one", runs_dir=Path("elsewhere"))
    assert (found.path.resolve(), found.run) == (run.checkpoint(5), "one")


def test_the_best_checkpoint_of_a_run_is_taken_before_the_latest(run: RunDirectory) -> None:
    _save(run, 5, best=5)
    _save(run, 6, best=5)
    assert find_run("one", runs_dir=run.path.parent).step == 5


def test_a_checkpoint_folder(run: RunDirectory) -> None:
    _save(run, 5, best=5)
    _save(run, 6, best=5)
    expected = Location(run.checkpoint(6), "one/step-00000006", 6, CONFIG, "checkpoint")
    assert find_run(run.checkpoint(6), runs_dir=Path("elsewhere")) == expected
    assert find_run("one/checkpoints/step-00000006", runs_dir=run.path.parent) == expected


def test_the_newest_run_of_a_data_set(tmp_path: Path) -> None:
    digits = Config(data=DataConfig(dataset="digits"))
    for name, config, age in (("b", CONFIG, 30), ("c", CONFIG, 20), ("a", digits, 10), ("d", CONFIG, None)):
        run = RunDirectory.create(tmp_path / name, config)
        if age is not None:  # d is the newest, but has no checkpoint
            _save(run, age)
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
    monkeypatch.setattr(ckpt, "SHIPPED", tmp_path / "weights")  # the folder need not exist
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
    _save(run, 1)
    assert "one was trained on glyphs, not mnist" in _refused("one", runs_dir=run.path.parent, dataset="mnist")
    assert find_run("one", runs_dir=run.path.parent, dataset="glyphs").step == 1


def test_a_half_written_run(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ckpt, "SHIPPED", run.path / "none")
    assert "no whole checkpoint yet" in _refused("one", runs_dir=run.path.parent)
    _save(run, 1)
    (run.checkpoint(1) / "state.json").unlink()
    assert "no whole checkpoint yet" in _refused("one", runs_dir=run.path.parent)
    assert "no trained run" in _refused(None, runs_dir=run.path.parent)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights as a package would bring them: configuration, weights and state in one folder."""
    folder = tmp_path / "package"
    made = RunDirectory.create(tmp_path / "made", Config(data=DataConfig(dataset="digits")))
    _save(made, 900)
    made.checkpoint(900).rename(made.path / "moved")
    (folder / "digits-small").parent.mkdir()
    (made.path / "moved").rename(folder / "digits-small")
    (made.path / "config.toml").rename(folder / "digits-small" / "config.toml")
    monkeypatch.setattr(ckpt, "SHIPPED", folder)
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
    _save(run, 4)
    for name in ("digits-small", None):
        found = find_run(name, runs_dir=run.path.parent)
        assert (found.step, found.kind) == (4, "run")


# Exporting


def test_exported_weights_are_found_by_path(run: RunDirectory, tmp_path: Path) -> None:
    run.save(7, {ckpt.WEIGHTS["averaged"]: {"weight": torch.tensor([0.1, -3.0])}}, {"best": {"step": 7, "nll": 1.5}})
    folder = tmp_path / "exported"
    export_weights(find_run("one", runs_dir=run.path.parent), folder)
    found = find_run(folder, runs_dir=tmp_path / "none")
    assert (found.path, found.run, found.step, found.config) == (folder, "exported", 7, CONFIG)
    stored = ckpt.read_tensors(folder / ckpt.WEIGHTS["averaged"])["weight"]
    assert stored.dtype == torch.float16
    assert torch.equal(stored, torch.tensor([0.1, -3.0]).half())
    assert read_state(folder)["best"] == {"step": 7, "nll": 1.5}


def test_weights_that_cannot_be_exported(run: RunDirectory, tmp_path: Path) -> None:
    _save(run, 1)
    location = find_run("one", runs_dir=run.path.parent)
    with pytest.raises(VmaError, match="exists already"):
        export_weights(location, run.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match="cannot write"):
        export_weights(location, tmp_path / "file" / "below")
    (run.checkpoint(1) / ckpt.WEIGHTS["averaged"]).unlink()
    with pytest.raises(VmaError, match="missing or damaged"):
        export_weights(location, tmp_path / "new")
    assert not (tmp_path / "new").exists()
