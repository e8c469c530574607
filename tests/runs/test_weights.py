"""Weights and states as they are read: in any precision, damaged, of another shape."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from tests.runs.conftest import CONFIG
from tests.small_runs import save_weights
from vmacore.errors import VmaError
from vmacore.runs.directory import WEIGHTS, RunDirectory, Taken, read_state
from vmacore.runs.finding import find_run, list_runs
from vmacore.runs.shipped import shipped_weights
from vmacore.runs.weights import load_model, load_weights, newest_whole, read_tensors


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


DAMAGED_STATES = [
    "", "{", "[]", "3", "{}", '{"format": 1}', '{"format": 1, "step": "x"}', "\xff", "[" * 60_000, " " * 70_000,
    *(f'{{"format": 1, "step": {step}, "best": {{}}}}' for step in ('"10"', "-5", "true", "1e400", "1" + "0" * 400)),
    *(f'{{"format": 1, "step": 1, "best": {{"step": 1, "nll": {nll}}}}}' for nll in ('"x"', "null", "[]", "NaN")),
    '{"format": 1, "step": 1, "best": {}, "sha256": {"weights.safetensors": 3}}',
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED_STATES, ids=range(len(DAMAGED_STATES)))
def test_a_damaged_state(run: RunDirectory, content: str) -> None:
    save_weights(run, 1)
    (run.checkpoint(1) / "state.json").write_text(content, "latin-1")
    with pytest.raises(VmaError) as caught:
        read_state(run.checkpoint(1))
    assert "\n" not in str(caught.value)
    with pytest.raises(VmaError):
        find_run("one", runs_dir=run.path.parent)


def _flipped(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True))
def test_every_flipped_bit_is_noticed(run: RunDirectory, place: float) -> None:
    save_weights(run, 1)
    file = run.checkpoint(1) / WEIGHTS["averaged"]
    bit = int(place * 8 * file.stat().st_size)
    _flipped(file, bit)
    with pytest.raises(VmaError, match=r"averaged\.safetensors is missing or damaged .*checksum is another"):
        read_tensors(file)
    _flipped(file, bit)
    assert read_tensors(file)["weight"].shape == (2, 3)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_flipped_bit_of_a_state_changes_nothing_unnoticed(run: RunDirectory, place: float) -> None:
    save_weights(run, 1)
    file = run.checkpoint(1) / "state.json"
    whole = read_state(file.parent)
    _flipped(file, int(place * 8 * file.stat().st_size))
    with suppress(VmaError):
        state = read_state(file.parent)
        # Without its name a checksum is not looked at; the rest is whole then.
        assert {**state, "sha256": 0} == {**whole, "sha256": 0} or "sha256" not in state


WRONG = [
    torch.zeros(2, dtype=torch.int64),
    torch.zeros(2, dtype=torch.bool),
    torch.zeros(2, dtype=torch.complex64),
    torch.tensor([1.0, math.nan]),
    torch.tensor([1.0, -math.inf]),
]


@pytest.mark.parametrize("tensor", WRONG, ids=str)
def test_weights_are_finite_numbers(run: RunDirectory, tensor: Tensor) -> None:
    save_weights(run, 1)
    file = run.checkpoint(1) / WEIGHTS["averaged"]
    file.write_bytes(save({"weight": tensor}))
    (file.parent / "state.json").write_text('{"format": 1, "step": 1, "best": {}}')  # as earlier versions wrote it
    with pytest.raises(VmaError, match="weight is not of finite numbers"):
        read_tensors(file)


def test_shipped_weights_have_checksums() -> None:
    for folder in shipped_weights().values():
        assert read_state(folder)["sha256"].keys() == {WEIGHTS["averaged"], "state.json"}
        read_tensors(folder / WEIGHTS["averaged"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("name", ["config.toml", "latest", "checkpoints/step-00000001/state.json"])
def test_a_pipe_is_waited_for_by_nobody(run: RunDirectory, name: str) -> None:
    save_weights(run, 1)
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    if name == "latest":
        assert find_run("one", runs_dir=run.path.parent).step == 1
    else:
        with pytest.raises(VmaError):
            find_run("one", runs_dir=run.path.parent)
    list_runs(run.path.parent)


def test_a_model_that_would_be_larger_than_its_weights_is_not_built(run: RunDirectory) -> None:
    """A configuration of a few bytes may ask for more memory than there is."""
    save_weights(run, 1)
    for channels in ("[100000,100000,100000,100000,100000,100000]", f"[{2**40},{2**40}]"):
        run.with_config(CONFIG.with_overrides([f"model.channels={channels}"]))
        with pytest.raises(VmaError) as caught:
            load_model(find_run("one", runs_dir=run.path.parent))
        assert "\n" not in str(caught.value)
        with pytest.raises(VmaError):
            newest_whole(RunDirectory.open(run.path))


def test_a_state_of_another_format(run: RunDirectory) -> None:
    save_weights(run, 1)
    (run.checkpoint(1) / "state.json").write_text(json.dumps({"format": 99, "step": 1}))
    with pytest.raises(VmaError, match="format 99, this version reads 1"):
        read_state(run.checkpoint(1))


def test_a_name_taken_between_look_and_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RunDirectory.create(tmp_path / "one", CONFIG)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(Taken, match="made by another process"):
        RunDirectory.create(tmp_path / "one", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
