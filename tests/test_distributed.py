"""Several processes: the gradients, noise and numbers of one, whatever the model and the estimator."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tests import synthetic
from tests.processes import launched, together
from vmacore import distributed
from vmacore.config import Config
from vmacore.episodes import training_sampler
from vmacore.episodes.base import Episode
from vmacore.errors import VmaError
from vmacore.estimators import ESTIMATORS, estimator_for
from vmacore.runs.directory import MOMENTS, WEIGHTS, RunDirectory
from vmacore.runs.weights import build_model
from vmacore.seeds import Stream, exponential, generator, shared_generator, standard_normal, uniform
from vmacore.training.loop import prepare, train
from vmacore.training.step import Step

DATASET = synthetic.dataset()
SEQUENCES = {"memory": "sequence", "sequences": 2, "length": 4, "classes": 2}
MATCHING = {"system": "matching", "channels": (4, 4, 4), "hidden": 6}
RESIDUAL = {"network": "residual", "stages": (4, 6, 6), "blocks": (1, 1, 1), "hidden": 6}
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    **{f"estimator {name}": {"objective": {"estimator": name}} for name in ESTIMATORS},
    "learned memory": {"model": {"learned_slots": 6}, "episode": {"memory": "none"}},
    "learned vectors": {"model": {"learned_slots": 6, "network": "fully-connected", "layers": (8, 8), "slot": 5}},
    "tied": {"model": {"tied": True}},
    "residual": {"model": {**RESIDUAL, "latent_maps": (1, 1, 0), "posterior_hidden": 3}},
    "residual, no vector": {"model": {**RESIDUAL, "latent": 0, "latent_maps": (1, 1, 0), "latent_layers": (2, 1, 1)}},
    "flat prior": {"model": {"address_prior": "flat"}},
    "recall": {"model": {"network": "fully-connected", "layers": (8, 8)}, "episode": {"memory": "recall", "slots": 9}},
    "vae": {"model": {"system": "vae"}, "episode": {"memory": "none"}},
    "vae, sequences": {"model": {"system": "vae"}, "episode": SEQUENCES},
    "soft attention": {"model": {"system": "soft-attention"}, "episode": {"memories": 2}},
    "soft attention to pixels": {"model": {"system": "soft-attention", "read": "pixels"}},
    "matching": {"model": MATCHING, "episode": SEQUENCES, "objective": {"samples": 1}},
    "matching, whole sets": {"model": MATCHING},
}


def _config(kind: str) -> Config:
    return prepare(synthetic.config(**KINDS[kind]), DATASET)


def _double(episode: Episode) -> Episode:
    targets = episode.targets.double()
    object.__setattr__(episode, "memory", targets if episode.targets is episode.memory else episode.memory.double())
    object.__setattr__(episode, "targets", targets)
    return episode


def _gradients(kind: str) -> dict[str, Tensor]:
    """Of two steps' losses, added, by weight, in float64; and the metrics. Those of all targets, in every process."""
    config = _config(kind)
    model = build_model(config).double()
    step: torch.nn.Module = Step(model, estimator_for(config.objective, model.addressed))
    if distributed.world_size() > 1:
        step = DistributedDataParallel(step)
    sampler = training_sampler(config, DATASET.train, "cpu")
    for number in range(2):
        episode = _double(distributed.own_part(sampler.at(number)))
        loss, metrics = step(episode, distributed.own_noise(3, number, torch.device("cpu")))
        loss.backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert len(found) == len(list(model.parameters()))  # as DDP supposes
    return {**found, "metrics": distributed.mean(metrics)}


def _write_gradients(folder: Path) -> None:
    for kind in KINDS:
        tensors = {name: tensor.contiguous() for name, tensor in _gradients(kind).items()}
        save_file(tensors, folder / f"{kind}-{distributed.rank()}.safetensors")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gradients that two processes found, by kind and process."""
    folder = tmp_path_factory.mktemp("gradients")
    together(2, folder, _write_gradients, folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_one_process(shared: Path, kind: str) -> None:
    alone = _gradients(kind)
    for rank in (0, 1):
        found = load_file(shared / f"{kind}-{rank}.safetensors")
        assert found.keys() == alone.keys()
        largest = max(float(tensor.abs().max()) for tensor in alone.values())
        for name, tensor in alone.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-11, atol=1e-13 * largest)


# Noise and episodes


@pytest.mark.parametrize("draw", [standard_normal, uniform, exponential])
def test_rows_of_noise_are_those_of_one_process(draw: Any) -> None:
    like = torch.zeros(0, dtype=torch.float64)
    alone = generator(1, 2, Stream.NOISE)
    whole = [draw((6, 5), alone, like), draw((12, 2), alone, like)]
    parts = [shared_generator(1, 2, Stream.NOISE, "cpu", rank, 3) for rank in range(3)]
    for expected in whole:
        count, columns = len(expected) // 3, expected.shape[1]
        assert torch.equal(torch.cat([draw((count, columns), part, like) for part in parts]), expected)


def test_one_process_draws_what_torch_draws() -> None:
    like = torch.zeros(0)
    log_terms = [(standard_normal, torch.randn), (uniform, torch.rand)]
    for draw, plain in log_terms:
        assert torch.equal(
            draw((7, 3), generator(0, 0, Stream.NOISE), like), plain(7, 3, generator=generator(0, 0, Stream.NOISE))
        )


@pytest.mark.parametrize(("kind", "rows"), [("estimator vimco", 2), ("soft attention", 2), ("matching", 4)])
def test_parts_of_an_episode(monkeypatch: pytest.MonkeyPatch, kind: str, rows: int) -> None:
    episode = training_sampler(_config(kind), DATASET.train, "cpu").at(0)
    size = len(episode.targets) // rows
    parts = []
    for rank in range(size):
        monkeypatch.setattr(distributed, "world_size", lambda: size)
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts.append(distributed.own_part(episode))
    for name in ("targets", "target_labels", "target_index"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(episode, name))
    if kind == "matching":
        assert all(part.memory is part.targets for part in parts)
        whole = torch.block_diag(*[part.mask for part in parts if part.mask is not None])
        assert torch.equal(whole.bool(), episode.mask)  # type: ignore[arg-type]
    else:
        assert all(part.memory is episode.memory for part in parts)


# Runs


def _train(path: Path, steps: int, resume: bool) -> None:
    run = RunDirectory.open(path)
    train(run, DATASET, steps=steps, resume=resume)


def _new(path: Path, **sections: dict[str, Any]) -> RunDirectory:
    return RunDirectory.create(path, prepare(synthetic.config(**sections), DATASET))


SECTIONS: dict[str, dict[str, Any]] = {
    "model": {"learned_slots": 6},
    "optimiser": {"clip": 1.0, "weight_decay": 0.01},
    "training": {"validate_every": 6},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """12 steps of one process."""
    run = _new(tmp_path_factory.mktemp("alone") / "run", **SECTIONS)
    train(run, DATASET, steps=6)
    train(RunDirectory.open(run.path), DATASET, steps=12, resume=True)
    return run


def _metrics(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("sizes", [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    alone: RunDirectory, tmp_path: Path, sizes: tuple[int, int]
) -> None:
    run = _new(tmp_path / "run", **SECTIONS)
    for size, steps in zip(sizes, (6, 12), strict=True):
        if size == 1:
            _train(run.path, steps, steps == 12)
        else:
            together(size, tmp_path, _train, run.path, steps, steps == 12)
    assert (run.pointed("latest"), run.pointed("best")) == (12, alone.pointed("best"))
    for file in (*WEIGHTS.values(), *MOMENTS.values()):
        found, expected = (load_file(each.checkpoint(12) / file) for each in (run, alone))
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)
    rows = _metrics(run), _metrics(alone)
    assert [(row["kind"], row["step"]) for row in rows[0]] == [(row["kind"], row["step"]) for row in rows[1]]
    for found_row, row in zip(*rows, strict=True):
        for name in ("nll", "kl_address", "kl_latent"):
            assert found_row[name] == pytest.approx(row[name], rel=1e-5, abs=1e-5)


def test_the_first_gradient_in_single_precision(tmp_path: Path) -> None:
    """To 1e-6 of the largest: Adam's first moment after one step is a tenth of it."""
    moments = []
    for size in (1, 2):
        run = _new(tmp_path / str(size), training={"steps": 1})
        if size == 1:
            train(run, DATASET)
        else:
            together(size, tmp_path, _train, run.path, 1, False)
        moments.append(load_file(run.checkpoint(1) / MOMENTS["exp_avg"]))
    largest = max(float(moment.abs().max()) for moment in moments[0].values())
    for name, moment in moments[0].items():
        assert float((moments[1][name] - moment).abs().max()) < 1e-6 * largest


def _uneven(path: Path) -> None:
    with pytest.raises(VmaError, match=r"3 processes cannot share 8 targets a step evenly: .* that divides 8"):
        _train(path, 2, False)


def test_targets_that_cannot_be_shared_evenly(tmp_path: Path) -> None:
    run = _new(tmp_path / "run")
    together(3, tmp_path, _uneven, run.path)
    assert not (run.path / "metrics.jsonl").exists()


def test_sequences_are_shared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    with pytest.raises(VmaError, match="4 processes cannot share 2 sequences"):
        distributed.check_shares(_config("matching"))


def _stop_second(path: Path) -> None:
    """The second process alone is asked to stop, in its third step."""
    asked = iter(range(1, 100))
    leads = distributed.rank() == 0
    summary = train(RunDirectory.open(path), DATASET, stop=lambda: next(asked) == 3 and not leads)
    assert (summary.step, summary.interrupted) == (3, True)


def test_all_stop_where_one_is_asked_to(tmp_path: Path) -> None:
    run = _new(tmp_path / "run")
    together(2, tmp_path, _stop_second, run.path)
    assert run.pointed("latest") == 3


# Joining, and failing together


def _part_in_a_failure(how: str) -> None:
    leads = os.environ["RANK"] == "0"
    with distributed.joined(torch.device("cpu")) as device:
        assert (distributed.world_size(), str(device)) == (2, "cpu")
        assert distributed.anyone(not leads) is True
        if not leads:
            if how == "silently":
                os._exit(0)
            raise VmaError("the reason")
        distributed.mean(torch.ones(1))


def _fail(how: str) -> None:
    """The second process fails; the first finds out while it waits for it."""
    expected: tuple[type[VmaError], str] = (VmaError, "the reason")
    if os.environ["RANK"] == "0" and how == "aloud":
        expected = distributed.AnotherFailed, "another process failed"
    elif os.environ["RANK"] == "0":
        expected = VmaError, "another process of this run ended without a word"
    with pytest.raises(VmaError, match=expected[1]) as caught:
        _part_in_a_failure(how)
    assert caught.type is expected[0]
    assert distributed.world_size() == 1


@pytest.mark.parametrize("how", ["aloud", "silently"])
def test_the_first_to_fail_ends_all_and_alone_says_why(how: str) -> None:
    launched(2, _fail, how)


def _bug() -> None:
    """What is no user's mistake keeps its own traceback."""
    with pytest.raises(RuntimeError, match="shapes differ"), distributed.joined(torch.device("cpu")):
        raise RuntimeError("shapes differ")


def test_a_bug_keeps_its_traceback() -> None:
    assert not distributed.launched()
    launched(1, _bug)


def _train_and_part(path: Path) -> None:
    with distributed.joined(torch.device("cpu")):
        train(RunDirectory.open(path), DATASET)
        assert "pt_gloo_runloop" in _threads()
    assert "pt_gloo_runloop" not in _threads()


def _threads() -> set[str]:
    return {thread.read_text().strip() for thread in Path("/proc/self/task").glob("*/comm")}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not list a process's threads")
def test_the_threads_of_a_group_end_with_it(tmp_path: Path) -> None:
    """Where they are left, the interpreter's end may come between them and their tensors, and the process aborts."""
    launched(2, _train_and_part, _new(tmp_path / "run").path)


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda = torch.device("cuda")
    with pytest.raises(VmaError, match="this machine has 2 GPUs: start at most so many"), distributed.joined(cuda):
        pass
