"""Updates that can be recorded: shapes that do not depend on what is drawn, nothing read back, the same numbers.

What needs a GPU runs where CUDA is found; the rest is looked at on a CPU, a recorder that calls again standing in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests import synthetic
from vmacore.bench.steps import images
from vmacore.config import Config, load_recipe
from vmacore.episodes import training_sampler
from vmacore.episodes.base import Episode
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.directory import RunDirectory
from vmacore.runs.weights import build_model
from vmacore.seeds import Stream, generator
from vmacore.training.graphs import WARM_UP, Graphed, can_record, matmul_precision
from vmacore.training.loop import prepare, train
from vmacore.training.trainer import Trainer

DATASET = synthetic.dataset()
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA is not available")

# Operations whose result is read back or whose shape depends on what was computed: on a GPU they wait for it.
WAITING = ("_local_scalar_dense", "unique", "nonzero", "masked_select", "bincount", "repeat_interleave.Tensor", "equal")


class _Seen(TorchDispatchMode):
    """Names of all operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))

    def waiting(self) -> set[str]:
        return {name for name in self.names if any(word in name for word in WAITING)}


def _trainer(path: Path, sections: dict[str, dict[str, Any]], device: str = "cpu") -> Trainer:
    run = RunDirectory.create(path, prepare(synthetic.config(**sections), DATASET))
    return Trainer(run, DATASET, torch.device(device))


def _vma(config: Config, dtype: torch.dtype = torch.float64) -> VariationalMemoryAddressing:
    model = build_model(config).to(dtype)
    assert isinstance(model, VariationalMemoryAddressing)
    return model


@pytest.mark.parametrize(("slots", "samples"), [(5, 4), (40, 2)], ids=["few slots", "more slots than samples"])
def test_sharing_changes_no_number(slots: int, samples: int) -> None:
    B = 3
    config = load_recipe("glyphs").with_overrides(["model.channels=[4,5,6,7,8,9]", "model.hidden=8", "model.latent=3"])
    targets, contents = images(B, config).double(), images(slots, config, seed=1).double()
    address = torch.randint(slots, (B, samples), generator=torch.Generator().manual_seed(0))
    address[0] = 2
    found = []
    for shares in (True, False):
        model = _vma(config)
        model.shares_passes = shares
        log_terms = model.log_terms(targets, model.read(contents), address, torch.Generator().manual_seed(1))
        (log_terms.log_weight.logsumexp(1).sum() + log_terms.kl_z.sum()).backward()
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        found.append(([log_terms.log_px, log_terms.log_pz, log_terms.log_qz, log_terms.kl_z], gradients))
    (shared, shared_gradients), (alone, gradients) = found
    assert len(gradients) == len(shared_gradients) > 20
    for one, other in zip([*shared, *shared_gradients], [*alone, *gradients], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("system", "memory"),
    [("vma", "few-shot"), ("vma", "learned"), ("vae", "few-shot"), ("soft-attention", "few-shot")],
)
def test_nothing_in_an_update_waits_for_its_results(tmp_path: Path, system: str, memory: str) -> None:
    sections: dict[str, dict[str, Any]] = {"model": {"system": system}, "optimiser": {"clip": 1.0}}
    if memory == "learned":
        sections["model"]["learned_slots"] = 6
    trainer = _trainer(tmp_path / "run", sections)
    episode = training_sampler(trainer.run.config, DATASET.train, "cpu", 0).at(0)
    model = trainer.model
    if isinstance(model, VariationalMemoryAddressing):
        with _Seen() as seen:
            trainer._advance(episode, torch.Generator())
        assert seen.waiting()  # so that the words above are those of this version of torch
        model.shares_passes = False
    trainer._advance(episode, torch.Generator())  # makes the moments
    with _Seen() as seen:
        trainer._advance(episode, torch.Generator())
    assert any("_fused_adam_" in name for name in seen.names)
    assert seen.waiting() == set()


class _Again:
    """Records a call by keeping it; a replay calls it, and writes its result into the tensor that record gave."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def aside(self, call: Callable[[], Tensor]) -> Tensor:
        self.done.append("aside")
        return call()

    def record(self, call: Callable[[], Tensor], noise: torch.Generator) -> Tensor:
        self.done.append("record")
        self.call, self.result = call, torch.empty(7)
        return self.result

    def replay(self) -> None:
        self.done.append("replay")
        self.result.copy_(self.call())


@pytest.mark.parametrize("episode", ["few-shot", "recall", "none"])
def test_a_recorded_update_is_the_same_update(tmp_path: Path, episode: str) -> None:
    steps, results, weights = WARM_UP + 3, [], []
    recorder = _Again()
    for graphed in (False, True):
        sections: dict[str, dict[str, Any]] = {"episode": {"memory": episode}}
        if episode == "recall":
            sections["episode"]["slots"] = 20
        if episode == "none":
            sections["model"] = {"learned_slots": 6}
        trainer = _trainer(tmp_path / f"{graphed}", sections)
        if graphed:
            trainer.advance = Graphed(trainer._advance, torch.device("cpu"), recorder)
        sampler = training_sampler(trainer.run.config, DATASET.train, "cpu", 0)
        results.append([trainer.update(sampler) for _ in range(steps)])
        weights.append([*trainer.model.parameters(), *trainer.averaged.module.parameters()])
    assert recorder.done == ["aside"] * WARM_UP + ["record", "replay", "replay", "replay"]
    for one, other in zip([*results[0], *weights[0]], [*results[1], *weights[1]], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


FIXED: dict[str, dict[str, Any]] = {"training": {"cuda_graph": True}}
COARSE = {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2)}


@pytest.mark.parametrize(
    ("sections", "device", "processes", "expected"),
    [
        (FIXED, "cuda", 1, True),
        (FIXED, "cpu", 1, False),
        (FIXED, "cuda", 2, False),
        ({"training": {"cuda_graph": False}}, "cuda", 1, False),
        ({"episode": {"shots_between": (1, 4)}}, "cuda", 1, False),
        ({"model": COARSE}, "cuda", 1, True),
    ],
)
def test_one_gpu_records_what_never_changes(
    sections: dict[str, dict[str, Any]], device: str, processes: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmacore.distributed.world_size", lambda: processes)
    assert can_record(synthetic.config(**sections), torch.device(device)) is expected


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("network", ["convolutional", "residual"])
def test_what_is_recorded_shares_no_passes(
    network: str, recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do residual networks; what is validated does. Adam keeps its count of steps where a graph can write it."""
    monkeypatch.setattr("vmacore.training.trainer.can_record", lambda config, device: recorded)
    monkeypatch.setattr("vmacore.training.trainer.Graphed", lambda update, device: (update, device))
    trainer = _trainer(tmp_path / "run", {"model": COARSE if network == "residual" else {}})
    assert trainer.advance == ((trainer._advance, torch.device("cpu")) if recorded else trainer._advance)
    assert trainer.model.shares_passes is (network == "convolutional" and not recorded)
    assert trainer.averaged.module.shares_passes is True
    assert trainer.optimiser.adam.defaults["capturable"] is recorded


def test_only_what_was_recorded_is_replayed() -> None:
    def episode(targets: Tensor, memory: Tensor, mask: Tensor | None = None) -> Episode:
        none = torch.zeros(0, dtype=torch.int64)
        return Episode(targets, memory, none, none, none, none, mask)

    graphed = Graphed(lambda one, noise: one.targets.sum().expand(7), torch.device("cpu"), _Again())
    x, m = torch.ones(2, 1, 3, 3), torch.zeros(4, 1, 3, 3)
    for _ in range(WARM_UP + 1):
        assert graphed(episode(x, m), torch.Generator())[0] == 18
    assert graphed(episode(2 * x, m), torch.Generator())[0] == 36
    for other in (episode(x, m, torch.ones(2, 4, dtype=torch.bool)), episode(x, x)):
        with pytest.raises(ValueError, match="another kind"):
            graphed(other, torch.Generator())
    with pytest.raises(RuntimeError):
        graphed(episode(torch.ones(3, 1, 3, 3), m), torch.Generator())


def test_an_update_in_bfloat16_is_nearly_that_in_float32(tmp_path: Path) -> None:
    found = []
    for precision in ("highest", "bfloat16"):
        trainer = _trainer(tmp_path / precision, {"training": {"precision": precision}})
        sampler = training_sampler(trainer.run.config, DATASET.train, "cpu", 0)
        metrics = trainer.update(sampler)
        gradient = torch.cat(
            [weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None]
        )
        found.append((metrics, gradient))
    (exact, gradient), (rounded, rounded_gradient) = found
    assert gradient.dtype == rounded_gradient.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)
    assert torch.cosine_similarity(gradient, rounded_gradient, dim=0) > 0.98
    assert not torch.equal(gradient, rounded_gradient)


def test_precision_of_products_is_given_back() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    for asked, products in (("high", "high"), ("bfloat16", "high"), ("highest", "highest")):
        with matmul_precision(torch.device("cuda"), asked):
            assert torch.get_float32_matmul_precision() == products
            assert torch.backends.cudnn.allow_tf32 == (products == "high")
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
    with matmul_precision(torch.device("cpu"), "high"):
        assert torch.get_float32_matmul_precision() == before[0]


# Where there is a GPU.


@needs_cuda
def test_a_graph_trains_as_an_update_without_one_does(tmp_path: Path) -> None:
    found = []
    for graphed in (False, True):
        training = {"cuda_graph": graphed, "precision": "highest"}
        trainer = _trainer(tmp_path / f"{graphed}", {"training": training}, "cuda")
        assert isinstance(trainer.advance, Graphed) == graphed
        sampler = training_sampler(trainer.run.config, DATASET.train, trainer.device, 0)
        found.append(torch.stack([trainer.update(sampler) for _ in range(WARM_UP + 5)]).cpu())
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


@needs_cuda
def test_a_replayed_update_never_waits(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path / "run", {}, "cuda")
    sampler = training_sampler(trainer.run.config, DATASET.train, trainer.device, 0)
    for _ in range(WARM_UP + 1):
        trainer.update(sampler)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            trainer.update(sampler)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
def test_a_run_trains_and_resumes_with_graphs(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", prepare(synthetic.config(), DATASET))
    train(run, DATASET, steps=8, device="cuda")
    summary = train(RunDirectory.open(run.path), DATASET, steps=16, device="cuda", resume=True)
    assert summary.step == 16


@needs_cuda
def test_both_devices_compute_the_same() -> None:
    config = load_recipe("omniglot")
    found = []
    for device in ("cpu", "cuda"):
        with matmul_precision(torch.device(device), "highest"):
            model = build_model(config, device)
            assert isinstance(model, VariationalMemoryAddressing)
            x, m = images(8, config, device), images(8, config, device, seed=1)
            address = torch.arange(8, device=device)
            z = torch.randn(8, config.model.latent, generator=generator(0, 0, Stream.NOISE)).to(device)
            addressing = model.address(x, model.read(m))
            encoded = model.encode_slots(m)
            posterior = model.recognise(x, encoded, address, address)[0]
            logits = model.decode(synthetic.Given(z), encoded, address)
            (addressing.kl().sum() + posterior.square().sum() + logits.square().sum()).backward()
            gradients = [weight.grad.cpu() for weight in model.parameters() if weight.grad is not None]
            found.append([addressing.log_q.cpu(), posterior.cpu(), logits.cpu(), *gradients])
    for cpu, cuda in zip(*found, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=1e-3, atol=1e-3 * float(cpu.abs().max()))
