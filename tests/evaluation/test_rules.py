"""The likelihood of every slot against the plain model, one sample at a time, and against an integral."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests import synthetic
from tests.evaluation.rigged import Rigged, nothing
from vmacore.addressing import address_posterior
from vmacore.config import ModelConfig
from vmacore.evaluation import rules
from vmacore.evaluation.rules import class_log_prob, mixture, prototype_log_prob, slot_log_joint
from vmacore.latents import gaussian
from vmacore.models.reference import ReferenceModel
from vmacore.models.terms import pixels_log_prob
from vmacore.models.vma import VariationalMemoryAddressing

CONFIGS = {
    "convolutional": ModelConfig(size=(8, 8), channels=(4, 4), hidden=8, latent=3, embedding=5),
    "fully connected": ModelConfig(network="fully-connected", size=(8, 8), layers=(12, 6), latent=3, embedding=5),
}
Q, S, K = 4, 6, 3


def _model(config: ModelConfig) -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(config)
    with torch.no_grad():  # away from where it starts, p(a|M) from flat among others
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double()


def _images(count: int, seed: int) -> Tensor:
    return (torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) < 0.3).double()


def _noise() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("block", [1, 2 * S * K, 2**18], ids=["a query", "two queries", "all"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_equals_enumeration_of_slots_and_samples(
    config: ModelConfig, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BLOCK", block)
    model = _model(config)
    reference = ReferenceModel(config).double()
    reference.load_state_dict(model.state_dict())
    queries, slots = _images(Q, 1), _images(S, 2)
    found = slot_log_joint(model, queries, slots, samples=K, generator=_noise())

    together, noise = max(1, block // (S * K)), _noise()
    blocks = [
        torch.randn(len(part) * S * K, config.latent, generator=noise, dtype=torch.float64)
        for part in torch.arange(Q).split(together)
    ]
    eps = torch.cat(blocks).view(Q, S, K, config.latent)
    for q in range(Q):
        for s in range(S):
            total = 0.0
            for k in range(K):
                with torch.no_grad():
                    addressing, log_terms = reference(
                        queries[q : q + 1], slots, torch.tensor([[s]]), eps[q, s, k : k + 1]
                    )
                total += math.exp(log_terms.log_px.item() + log_terms.log_pz.item() - log_terms.log_qz.item())
            expected = addressing.log_p[s].item() + math.log(total / K)
            assert found[q, s].item() == pytest.approx(expected, abs=1e-9)
    assert addressing.log_p.std() > 0.01


def test_queries_stand_in_blocks_of_two_to_the_18_triples() -> None:
    """The noise of a seed falls to queries block by block, so the size is a part of every number stored."""
    blocks = []

    def evidence(targets: Tensor, slots: Tensor) -> Tensor:
        blocks.append(len(targets))
        return torch.zeros(len(targets), len(slots))

    found = slot_log_joint(Rigged(nothing, nothing, evidence=evidence), _images(65, 1), _images(4, 2), samples=2**10)
    assert blocks == [64, 1]
    torch.testing.assert_close(found, torch.full((65, 4), 1 / 4).log())


@pytest.mark.parametrize("budget_bytes", [1, 5 * 16 * 64 * 4, 2**40], ids=["one by one", "fives", "all at once"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_memory_budget_changes_nothing(config: ModelConfig, budget_bytes: int) -> None:
    model, queries, slots = _model(config), _images(Q, 1), _images(S, 2)
    found = slot_log_joint(model, queries, slots, samples=K, generator=_noise(), budget_bytes=budget_bytes)
    expected = slot_log_joint(model, queries, slots, samples=K, generator=_noise())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-10)


def test_many_samples_give_the_integral_over_z() -> None:
    """log p(a|M) + log ∫ p(z|m_a) p(x|z, m_a) dz for a single latent, by a sum over a fine grid."""
    model = _model(CONFIGS["fully connected"].model_copy(update={"latent": 1}))
    with torch.no_grad():  # a wide q(z|x, m), so that no weight is large and the mean is near its limit
        list(model.recognition.parameters())[-1][1] += 1.0
    queries, slots = _images(2, 1), _images(3, 2)
    found = slot_log_joint(model, queries, slots, samples=20_000, generator=_noise())

    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    step = math.log(24 / 4000)
    with torch.no_grad():
        memory, encoded = model.read(slots), model.encode_slots(slots)
        for s in range(3):
            slot = torch.full((len(z),), s)
            logits = model.decode(synthetic.Given(z), encoded, slot)
            prior = gaussian(encoded.prior[slot]).log_prob(z)
            for q in range(2):
                likelihood = pixels_log_prob(logits, queries[q].flatten().expand(len(z), -1))
                exact = memory.log_prior[s] + (prior + likelihood).logsumexp(0) + step
                assert found[q, s].item() == pytest.approx(exact.item(), abs=0.06)
    assert found.std() > 0.2


def test_a_class_has_the_probability_of_its_slots() -> None:
    slots = torch.tensor([[0.1, 0.2, 0.05, 0.15, 0.3, 0.2], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]])
    expected = torch.tensor([[0.3, 0.2, 0.5], [0.6, 0.2, 0.2]])
    found = class_log_prob(slots.log() - torch.tensor([[700.0], [3.0]]), 3)  # from what need not be normalised
    torch.testing.assert_close(found.exp(), expected, rtol=1e-4, atol=0)


def test_a_mixture_is_a_geometric_mean() -> None:
    likelihood, posterior = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.2, 0.8]]).log()
    assert torch.equal(mixture(likelihood, posterior, 1.0), likelihood)
    assert torch.equal(mixture(likelihood, posterior, 0.0), posterior)
    expected = torch.tensor([[0.9**0.25 * 0.2**0.75, 0.1**0.25 * 0.8**0.75]])
    torch.testing.assert_close(mixture(likelihood, posterior, 0.25).exp(), expected)


def test_prototypes_are_slots_of_mean_keys() -> None:
    keys, queries = torch.randn(6, 4).double(), torch.randn(3, 4).double()
    found = prototype_log_prob(keys, queries, 2, "normalised")
    unit = keys / keys.norm(dim=1, keepdim=True)
    means = torch.stack([unit[:3].mean(0), unit[3:].mean(0)])
    scores = queries @ (means / means.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(found, scores.log_softmax(1))
    # With one slot a class it is q(a|x) itself.
    torch.testing.assert_close(prototype_log_prob(keys, queries, 6, "normalised"), address_posterior(keys, queries))


def test_prototypes_are_means_where_nothing_is_normalised() -> None:
    keys, queries = torch.randn(6, 4).double(), torch.randn(3, 4).double()
    scores = queries @ torch.stack([keys[:3].mean(0), keys[3:].mean(0)]).T
    torch.testing.assert_close(prototype_log_prob(keys, queries, 2, "inner"), scores.log_softmax(1))
