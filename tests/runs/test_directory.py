"""Run directories: saves that survive interruption, and finding what was trained."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.runs.conftest import CONFIG
from tests.small_runs import save_weights
from vmacore.errors import VmaError
from vmacore.runs import directory
from vmacore.runs.directory import RunDirectory, read_state
from vmacore.runs.finding import find_run
from vmacore.runs.weights import read_tensors


def _checkpoints(run: RunDirectory) -> list[str]:
    return sorted(path.name for path in (run.path / "checkpoints").iterdir())


def _value(run: RunDirectory) -> float:
    """The weight that the latest checkpoint holds."""
    step = run.pointed("latest")
    assert step is not None
    return float(read_tensors(run.checkpoint(step) / "weights.safetensors")["weight"][0, 0])


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
    assert torch.equal(read_tensors(folder / "weights.safetensors")["a"], torch.arange(4.0))
    checksum = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    state = read_state(folder)
    assert state.pop("sha256").items() >= {"weights.safetensors": checksum}.items()
    assert state == {"format": 1, "step": 3, "best": {}, "other": 5}


def test_tensors_in_channels_last_keep_their_values(run: RunDirectory) -> None:
    weight = torch.arange(120.0).view(2, 5, 3, 4).contiguous(memory_format=torch.channels_last)
    run.save(1, {"weights.safetensors": {"a": weight}}, {"best": {}})
    assert torch.equal(read_tensors(run.checkpoint(1) / "weights.safetensors")["a"], weight)


def test_pointers_and_pruning_keep_latest_and_best_and_the_one_before(run: RunDirectory) -> None:
    assert run.pointed("latest") is None
    assert run.pointed("best") is None
    save_weights(run, 1)
    assert (run.pointed("latest"), run.pointed("best")) == (1, None)
    save_weights(run, 2, best=2)
    assert (run.pointed("latest"), run.pointed("best")) == (2, 2)
    assert _checkpoints(run) == ["step-00000001", "step-00000002"]
    save_weights(run, 3, best=2)
    save_weights(run, 4, best=2)
    save_weights(run, 5, best=2)
    assert (run.pointed("latest"), run.pointed("best")) == (5, 2)
    assert _checkpoints(run) == ["step-00000002", "step-00000004", "step-00000005"]
    save_weights(run, 6, best=6)
    assert (run.pointed("latest"), run.pointed("best")) == (6, 6)
    assert _checkpoints(run) == ["step-00000005", "step-00000006"]


def test_a_save_never_deletes_through_a_link(run: RunDirectory, tmp_path: Path) -> None:
    precious = tmp_path / "precious" / "step-00000001"
    precious.mkdir(parents=True)
    (precious / "thesis.tex").write_text("years of work")
    (run.path / "checkpoints").symlink_to(precious.parent)
    for step in (2, 3, 4):
        with pytest.raises(VmaError, match="checkpoints is a link"):
            save_weights(run, step)
    assert [path.name for path in precious.parent.iterdir()] == [precious.name]
    assert (precious / "thesis.tex").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["averaged.safetensors", "state.json"])
def test_a_save_that_is_interrupted_leaves_the_one_before(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str
) -> None:
    save_weights(run, 1, best=1, value=1.0)
    whole = directory.write

    def failing(path: Path, content: bytes) -> None:
        if path.name == place:
            path.write_bytes(content[:5])
            raise error
        whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(directory, "write", failing)
        if isinstance(error, OSError):
            with pytest.raises(VmaError, match=r"cannot save step 2 .*No space left.*checkpoint of step 1 is kept"):
                save_weights(run, 2, best=2, value=2.0)
            assert _checkpoints(run) == ["step-00000001"]
        else:
            with pytest.raises(KeyboardInterrupt):
                save_weights(run, 2, best=2, value=2.0)
    assert (run.pointed("latest"), run.pointed("best")) == (1, 1)
    assert _value(run) == 1.0
    assert find_run("one", runs_dir=run.path.parent).step == 1

    save_weights(run, 2, best=2, value=2.0)  # what was left behind is in nobody's way
    assert _value(run) == 2.0
    assert _checkpoints(run) == ["step-00000001", "step-00000002"]


def test_a_save_killed_before_its_pointer(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is whole but `latest` does not name it yet: the run stands at the step before, with its best."""
    save_weights(run, 1, value=1.0)

    def killed(path: Path, content: bytes) -> None:
        if path.name == "latest":
            raise KeyboardInterrupt
        replace(path, content)

    replace = directory.replace
    with monkeypatch.context() as patch:
        patch.setattr(directory, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_weights(run, 2, best=2, value=2.0)
    assert run.pointed("latest") == 1
    assert run.pointed("best") == 2  # pointed to first, or it would never be
    save_weights(run, 2, best=2, value=2.0)
    assert (run.pointed("latest"), run.pointed("best"), _value(run)) == (2, 2, 2.0)


def test_a_step_that_no_pointer_could_name_is_told_as_kept(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory, "replace", refused)
    with pytest.raises(VmaError, match=r"cannot save step 1 .*the checkpoint of step 1 is kept"):
        save_weights(run, 1)
    assert run.newest() == 1


def test_leftovers_of_a_killed_save(run: RunDirectory) -> None:
    save_weights(run, 1)
    for name in (".step-00000002.999999.tmp", f".step-00000002.{os.getpid()}.tmp", "step-00000002"):
        folder = run.path / "checkpoints" / name
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"half")
    assert run.pointed("latest") == 1
    save_weights(run, 2, value=2.0)
    assert _checkpoints(run) == ["step-00000001", "step-00000002"]
    assert _value(run) == 2.0


def test_a_save_leaves_alone_what_is_not_its_own(run: RunDirectory) -> None:
    save_weights(run, 1)
    own = ("my-best-model", "step-00000001-backup", "step-1", ".notes")
    for name in own:
        shutil.copytree(run.checkpoint(1), run.path / "checkpoints" / name)
    save_weights(run, 2)
    assert _checkpoints(run) == sorted([*own, "step-00000001", "step-00000002"])
    for name, file in (("step-20241127", "thesis.tex"), ("step-00000001", "notes.txt")):
        (run.path / "checkpoints" / name).mkdir(exist_ok=True)
        (run.path / "checkpoints" / name / file).write_text("years of work")
    for step in (3, 4, 5):
        save_weights(run, step)
    assert (run.path / "checkpoints" / "step-20241127" / "thesis.tex").exists()
    assert (run.path / "checkpoints" / "step-00000001" / "notes.txt").exists()
    assert not run.checkpoint(2).exists()
    (run.path / "latest").unlink()  # the copies are no checkpoints to resume from, either
    assert run.newest() == 5


def test_what_a_user_keeps_under_the_name_of_a_checkpoint_stays(run: RunDirectory, tmp_path: Path) -> None:
    save_weights(run, 1)
    checkpoints = run.path / "checkpoints"
    (checkpoints / "step-20240229").mkdir()
    precious = [checkpoints / "step-20240229" / "thesis.tex", run.checkpoint(1) / "notes.txt", tmp_path / "elsewhere"]
    for file in precious:
        file.write_text("years of work")
    (checkpoints / "step-00000000").symlink_to(tmp_path)
    (checkpoints / ".step-00000000.1.tmp").write_text("a file")
    before = _checkpoints(run)
    for step in (2, 3, 4):
        save_weights(run, step)
    assert all(file.exists() for file in precious)
    assert _checkpoints(run) == sorted([*before, "step-00000003", "step-00000004"])
    save_weights(run, 1)  # as a training does that has gone back
    assert (checkpoints / "step-00000001-kept-1" / "notes.txt").exists()
    assert [file.name for file in run.checkpoint(1).iterdir()] != []
    assert run.pointed("latest") == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(run: RunDirectory, value: float) -> None:
    with pytest.raises(VmaError, match=r"not saved; train again at a lower rate"):
        save_weights(run, 1, value=value)
    save_weights(run, 1, best=1)
    with pytest.raises(VmaError, match=r"weight in .* is not finite at step 2.*--init .*step-00000001 --set"):
        save_weights(run, 2, value=value)
    assert run.pointed("latest") == 1
    assert _checkpoints(run) == ["step-00000001"]


def test_a_checkpoint_where_nothing_can_be_written(run: RunDirectory) -> None:
    (run.path / "checkpoints").write_text("a file")
    with pytest.raises(VmaError, match="cannot save step 1"):
        save_weights(run, 1)


@pytest.mark.parametrize("content", ["", "seven", "9", "\xff"])
def test_a_pointer_that_leads_nowhere(run: RunDirectory, content: str) -> None:
    save_weights(run, 1)
    (run.path / "latest").write_text(content, "latin-1")
    assert run.pointed("latest") is None
