"""The generative matching network against its equations written as loops, and what a set must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from tests import synthetic
from vmacore.config import Config, ModelConfig
from vmacore.errors import VmaError
from vmacore.models import create_model
from vmacore.models.matching import GenerativeMatchingNetwork, SetRead
from vmacore.runs.directory import MOMENTS, RunDirectory
from vmacore.runs.weights import read_tensors
from vmacore.training.loop import prepare, train

SMALL: dict[str, Any] = {"system": "matching", "channels": (4, 6, 6), "latent": 3, "hidden": 7, "embedding": 5}
MASK = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)


def _model(hops: int = 1, size: tuple[int, int] = (8, 8)) -> GenerativeMatchingNetwork:
    torch.manual_seed(0)
    model = create_model(ModelConfig(**SMALL, hops=hops, size=size)).double()
    assert isinstance(model, GenerativeMatchingNetwork)
    with torch.no_grad():  # away from where it starts, so that no term hides behind a zero
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def _images(count: int, seed: int = 0, size: tuple[int, int] = (8, 8)) -> Tensor:
    return (torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def _draws(
    model: GenerativeMatchingNetwork, targets: Tensor, slots: Tensor, mask: Tensor | None, chunk: int | None = None
) -> Any:
    memory = model.read(slots, mask)
    address = model.address(targets, memory).draw(4, torch.Generator().manual_seed(0))
    return model.log_terms(targets, memory, address, torch.Generator().manual_seed(5), chunk)


def _read(read: SetRead, keys: Tensor, elements: Tensor, context: Tensor, hops: int) -> Tensor:
    """One read of the elements [N, D] with keys [N, E], one element after another."""
    state = read.initial[0]
    for _ in range(hops):
        query = read.query.weight @ torch.cat([context, state]) + read.query.bias
        strength = (read.log_strength.weight[0] @ state + read.log_strength.bias[0]).exp()
        cosines = [query @ key / (query.norm() * key.norm()) for key in keys]
        weights = torch.stack([(strength * cosine).exp() for cosine in cosines])
        answer = sum(w / weights.sum() * element for w, element in zip(weights, elements, strict=True))
        gates = (
            read.update.weight_ih @ answer + read.update.bias_ih,
            read.update.weight_hh @ state + read.update.bias_hh,
        )
        (r_in, u_in, n_in), (r_state, u_state, n_state) = (gate.chunk(3) for gate in gates)
        update = (u_in + u_state).sigmoid()
        candidate = (n_in + (r_in + r_state).sigmoid() * n_state).tanh()
        state = (1 - update) * candidate + update * state
    return torch.cat([torch.as_tensor(answer), state])


def _assert_close(name: str, got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, msg=lambda message: f"{name}: {message}")


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole set", "parts of it"])
@pytest.mark.parametrize("chunk", [None, 5])
def test_draws_are_those_of_the_equations(hops: int, mask: Tensor | None, chunk: int | None) -> None:
    model, targets, slots = _model(hops), _images(3), _images(5, seed=1)
    log_terms = _draws(model, targets, slots, mask, chunk)
    noise = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).view(3, 4, 3)
    for b in range(3):
        seen = slots if mask is None else slots[mask[b]]
        elements = torch.cat([model.dummy, *(model.encoder(slot[None]) for slot in seen)])
        keys = model.keys(elements).chunk(3, dim=1)
        asks = model.prior_read, model.recognition_read, model.likelihood_read
        g = model.encoder(targets[b : b + 1])[0]

        prior = model.prior(_read(asks[0], keys[0], elements, g[:0], hops))
        posterior = model.recognition(torch.cat([g, _read(asks[1], keys[1], elements, g, hops)]))
        (mean_p, log_p), (mean_q, log_q) = prior.chunk(2), posterior.chunk(2)
        p, q = Independent(Normal(mean_p, log_p.exp()), 1), Independent(Normal(mean_q, log_q.exp()), 1)
        for k in range(4):
            z = mean_q + log_q.exp() * noise[b, k]
            logits = model.decoder(torch.cat([z, _read(asks[2], keys[2], elements, z, hops)])[None])
            terms = {
                "log_px": Bernoulli(logits=logits[0]).log_prob(targets[b].flatten()).sum(),
                "log_pz": p.log_prob(z),
                "log_qz": q.log_prob(z),
                "kl_z": kl_divergence(q, p),
            }
            for name, expected in terms.items():
                _assert_close(name, getattr(log_terms, name)[b, k], expected)


def test_what_is_masked_changes_nothing() -> None:
    model, targets, slots = _model(), _images(3), _images(5, seed=1)
    other = torch.where(MASK.any(0)[:, None, None, None], slots, 1 - slots)
    mask = MASK.clone()
    mask[2] = mask[1]  # nobody sees slots 1, 3 and 4 now
    other[[1, 3, 4]] = 1 - slots[[1, 3, 4]]
    before, after = _draws(model, targets, slots, mask), _draws(model, targets, other, mask)
    torch.testing.assert_close(before.log_weight, after.log_weight)
    seen = other.clone()
    seen[0] = 1 - slots[0]
    change = (before.log_weight - _draws(model, targets, seen, mask).log_weight).abs().sum(1)
    assert change[0] == 0
    assert change[1:].min() > 1e-3


def test_order_in_the_set_does_not_matter() -> None:
    model, targets, slots = _model(hops=2), _images(3), _images(5, seed=1)
    order = torch.tensor([3, 0, 4, 2, 1])
    one, two = _draws(model, targets, slots, MASK), _draws(model, targets, slots[order], MASK[:, order])
    torch.testing.assert_close(one.log_weight, two.log_weight)


def test_an_empty_set_is_the_learned_element_alone() -> None:
    model, targets = _model(), _images(3)
    nothing = _draws(model, targets, _images(0), None)
    unseen = _draws(model, targets, _images(5, seed=1), torch.zeros(3, 5, dtype=torch.bool))
    torch.testing.assert_close(nothing.log_weight, unseen.log_weight)
    memory = model.read(_images(0))
    logits = model.generate(memory, torch.zeros(6, dtype=torch.int64), torch.Generator().manual_seed(1))
    assert logits.shape == (6, 64)
    assert len(memory) == 0


def test_targets_that_are_the_memory_are_encoded_once() -> None:
    model, images = _model(), _images(5)
    mask = torch.ones(5, 5, dtype=torch.bool).tril(-1)
    calls: list[int] = []

    def note(_module: object, given: tuple[Tensor, ...], _result: object) -> None:
        calls.append(len(given[0]))

    model.encoder.register_forward_hook(note)
    same, copied = _draws(model, images, images, mask), _draws(model, images.clone(), images, mask)
    torch.testing.assert_close(same.log_weight, copied.log_weight)
    assert calls == [5, 5, 5]


@pytest.mark.parametrize("hops", [1, 2])
def test_every_parameter_has_a_gradient(hops: int) -> None:
    model, images = _model(hops), _images(5)
    _draws(model, images, images, torch.ones(5, 5, dtype=torch.bool).tril(-1)).log_weight.mean().backward()
    # A softmax of one element would have none; here the last targets see several.
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []


@pytest.mark.parametrize("size", [(28, 28), (26, 26), (8, 8), (5, 9), (3, 3)])
def test_networks_fit_images_of_any_size(size: tuple[int, int]) -> None:
    model = _model(size=size)
    log_terms = _draws(model, _images(2, size=size), _images(3, 1, size), None)
    assert log_terms.log_px.shape == (2, 4)
    assert log_terms.log_weight.isfinite().all()


def test_sizes_of_the_paper() -> None:
    model = create_model(ModelConfig(system="matching", size=(28, 28), channels=(16, 32, 32)))
    assert isinstance(model, GenerativeMatchingNetwork)
    assert model.encoder.out_features == 288
    seen: list[tuple[int, ...]] = []

    def note(_module: object, _given: object, out: Tensor) -> None:
        seen.append(tuple(out.shape[1:]))

    for section in (*model.encoder.sections, *model.decoder.sections):
        section.register_forward_hook(note)
    model.generate(model.read(torch.zeros(1, 1, 28, 28)), torch.zeros(1, dtype=torch.int64))
    assert seen == [(16, 13, 13), (32, 6, 6), (32, 3, 3), (32, 6, 6), (16, 13, 13), (8, 28, 28)]


def test_misuse_is_refused() -> None:
    model = _model()
    with pytest.raises(ValueError, match=r"slots \[2, 1, 8, 8\], mask \[3, 5\]"):
        model.read(_images(2), MASK)
    with pytest.raises(ValueError, match=r"slots \[2, 1, 9, 9\]"):
        model.read(torch.zeros(2, 1, 9, 9))
    with pytest.raises(ValueError, match="no mask"):
        model.generate(model.read(_images(5), MASK), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(VmaError, match="the matching network is convolutional"):
        _config().with_overrides(["model.network=fully-connected"])


def _config() -> Config:
    return synthetic.config(
        model=SMALL,
        episode={"memory": "sequence", "classes": 2, "sequences": 3, "length": 5},
        objective={"samples": 1},
        optimiser={"beta2": 0.99},
    )


def test_it_trains_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    dataset = synthetic.dataset()
    config = prepare(_config(), dataset)
    whole = RunDirectory.create(tmp_path / "whole", config.with_overrides(["training.steps=20"]))
    summary = train(whole, dataset)
    assert summary.step == 20
    assert summary.kl_address == 0
    half = RunDirectory.create(tmp_path / "half", config)
    train(half, dataset)
    train(half, dataset, steps=20, resume=True)
    for file in ("weights.safetensors", "averaged.safetensors", "second-moment.safetensors"):
        one, two = (run.checkpoint(20) / file for run in (whole, half))
        assert one.read_bytes() == two.read_bytes(), file


def test_beta2_reaches_the_optimiser(tmp_path: Path) -> None:
    """After one step Adam's second moment is (1 − β₂) g²."""
    moments = []
    for beta2 in (0.99, 0.9):
        config = _config().with_overrides([f"optimiser.beta2={beta2}", "training.steps=1"])
        run = RunDirectory.create(tmp_path / str(beta2), prepare(config, synthetic.dataset()))
        train(run, synthetic.dataset())
        moments.append(read_tensors(run.checkpoint(1) / MOMENTS["exp_avg_sq"])["recognition.0.weight"])
    torch.testing.assert_close(moments[1], 10 * moments[0])


def test_it_learns_to_draw_what_it_has_seen() -> None:
    """Four images, each conditional on a set of itself: then another image in the set makes it unlikely."""
    torch.manual_seed(0)
    model = create_model(ModelConfig(**(SMALL | {"hidden": 16}), size=(8, 8)))
    images, itself = _images(4).float(), torch.eye(4, dtype=torch.bool)
    address, noise = torch.zeros(4, 2, dtype=torch.int64), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)

    def elbo(mask: Tensor) -> Tensor:
        return model.log_terms(images, model.read(images, mask), address, noise).log_weight.mean()

    for _ in range(80):
        optimiser.zero_grad()
        (-elbo(itself)).backward()
        optimiser.step()
    assert elbo(itself) > elbo(itself.roll(1, 0)) + 20
