"""Reweighted wake-sleep: what its self-normalised weights follow, and how far that is from what they stand for."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.estimators import toy
from tests.estimators.toy import B, K
from vmacore.config import ModelConfig
from vmacore.estimators.rws import ReweightedWakeSleep
from vmacore.latents import gaussian
from vmacore.models.vma import VariationalMemoryAddressing

TERMS_OF_P = ("log_px", "log_pz")


def _self_normalised(of: toy.Leaves, samples: int) -> dict[str, torch.Tensor]:
    """E Σ_k ω̄_k 1[a_k = a] and E Σ_k ω̄_k (1[a_k = a] − q(a)), by weights that are divided by their sum."""
    with torch.no_grad():
        q, w = toy.addressing(of).log_q.exp(), toy.log_weights(of).exp()
        slots = torch.zeros_like(q)
        for chosen in toy.tuples(samples):
            probability = q[:, chosen].prod(1, keepdim=True)
            share = w[:, chosen] / w[:, chosen].sum(1, keepdim=True)
            slots += torch.zeros_like(q).index_add(1, chosen, probability * share)
        return {"slots": slots, "q": slots - q, "p": (slots - toy.addressing(of).log_p.exp()).sum(0)}


def _posterior(of: toy.Leaves) -> torch.Tensor:
    """p(a|x) [B, S] for the z of each slot."""
    with torch.no_grad():
        return (toy.log_weights(of) + toy.addressing(of).log_q).softmax(1)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_both_wakes_are_the_expectation_of_self_normalised_gradients(samples: int) -> None:
    of = toy.leaves()
    found = toy.over_all_tuples(ReweightedWakeSleep(samples), of, samples)
    exact = _self_normalised(of, samples)
    expected = {"q": exact["q"], "p": exact["p"], **dict.fromkeys(("log_px", "log_pz", "log_qz"), exact["slots"])}
    assert toy.distance(found, expected) < 1e-10


def test_the_parameters_of_p_follow_the_k_sample_bound() -> None:
    of = toy.leaves()
    found = toy.over_all_tuples(ReweightedWakeSleep(K), of)
    assert toy.distance(found, toy.gradient(toy.bound(of), of), "p", *TERMS_OF_P) < 1e-10


def test_the_bias_of_the_address_is_of_order_one_over_k() -> None:
    """Its own objective is −KL(p(a|x) ‖ q(a|x)), whose gradient in the logits is p(a|x) − q(a|x)."""
    of = {name: 0.3 * leaf for name, leaf in toy.leaves().items()}
    with torch.no_grad():
        own = _posterior(of) - toy.addressing(of).log_q.exp()
    bias = [
        float((toy.over_all_tuples(ReweightedWakeSleep(samples), of, samples)["q"] - own).norm() / own.norm())
        for samples in (1, 2, 3, 4, 5, 6)
    ]
    assert bias[0] == pytest.approx(1.0)  # a single weight is always 1: no gradient at all
    assert all(less < more for more, less in itertools.pairwise(bias))
    assert bias[5] == pytest.approx(bias[2] / 2, rel=0.05)


def test_with_a_path_through_z_only_the_address_has_a_wake_phase() -> None:
    of = toy.leaves()
    found = toy.over_all_tuples(ReweightedWakeSleep(K, pathwise=True), of)
    assert toy.distance(found, toy.gradient(toy.bound(of), of), "p", "log_qz", *TERMS_OF_P) < 1e-10
    assert toy.distance(found, toy.over_all_tuples(ReweightedWakeSleep(K), of), "q") < 1e-10


def test_without_a_path_z_is_a_constant() -> None:
    """log p(x, z|m) has no gradient in q(z|x, m), and that of log q(z|x, m) is the score."""
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(ModelConfig(size=(8, 8), channels=(3, 4), hidden=6, latent=2, embedding=3))
    model = model.double().to(memory_format=torch.channels_last)
    targets, slots = (torch.rand(4 + B, 1, 8, 8, dtype=torch.float64) < 0.4).double().split([B, 4])
    memory = model.read(slots)
    drawn = ReweightedWakeSleep(K).draw(model.address(targets, memory), torch.Generator().manual_seed(1))
    assert not drawn.pathwise

    def of(term: torch.Tensor) -> list[torch.Tensor]:
        found = torch.autograd.grad(
            term.sum(), list(model.recognition.parameters()), retain_graph=True, allow_unused=True
        )
        return [torch.zeros(1) if one is None else one for one in found]

    log_terms = drawn.terms(model, targets, memory, torch.Generator().manual_seed(2))
    assert all(float(one.abs().max()) == 0 for one in of(log_terms.log_px + log_terms.log_pz))

    target, slot = torch.arange(B).repeat_interleave(K), drawn.address.flatten()
    q = gaussian(model.recognise(targets, model.encode_slots(slots), target, slot)[0])
    noise = torch.randn(B * K, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = (q.base_dist.loc + q.base_dist.scale * noise).detach()
    for found, expected in zip(of(log_terms.log_qz), of(q.log_prob(z)), strict=True):
        torch.testing.assert_close(found, expected)
    assert max(float(one.abs().max()) for one in of(log_terms.log_qz)) > 1e-3
