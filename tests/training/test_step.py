"""What one step says and what labels add to it, against sums over addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests import synthetic
from tests.small_runs import DATASET
from vmacore.addressing import address_posterior
from vmacore.config import Config
from vmacore.episodes import training_sampler
from vmacore.episodes.base import Episode
from vmacore.estimators import estimator_for
from vmacore.models.base import GenerativeModel
from vmacore.runs.weights import build_model
from vmacore.training.step import METRICS, Step, own_class, own_class_of_slots


def _away_from_the_start(config: Config) -> GenerativeModel:
    """A model whose priors and posteriors differ, so that no metric is zero or another one's."""
    model = build_model(config).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    return model


def _episode(config: Config) -> Episode:
    episode = training_sampler(config, DATASET.train, "cpu").at(0)
    return replace(episode, targets=episode.targets.double(), memory=episode.memory.double())


def _noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("learned_slots", [0, 6])
def test_loss_and_metrics_are_means_over_the_targets(learned_slots: int) -> None:
    """Minus the surrogate, and every metric by its definition, from probabilities of the 8 or 6 slots."""
    config = synthetic.config(model={"learned_slots": learned_slots})
    model, episode = _away_from_the_start(config), _episode(config)
    estimator = estimator_for(config.objective, True)
    loss, metrics = Step(model, estimator, config.objective)(episode, _noise())

    memory = model.read(episode.memory if model.learned_memory is None else model.learned_memory())
    addressing, noise = model.address(episode.targets, memory), _noise()
    p, q = addressing.log_p.exp(), addressing.log_q.exp()
    assert q.shape == (8, learned_slots or 8)
    drawn = estimator.draw(addressing, noise)
    terms = model.log_terms(episode.targets, memory, drawn.address, noise)
    w = terms.log_weight.exp() * p[drawn.address] / q.gather(1, drawn.address)  # [8, 3]
    reconstruction, kl_z = -terms.log_px.mean(), terms.kl_z.mean()
    kl_a = (q * (q / p).log()).sum(1).mean()
    expected = {
        "nll": -w.mean(1).log().mean(),
        "elbo": -(reconstruction + kl_a + kl_z),
        "reconstruction": reconstruction,
        "kl_address": kl_a,
        "kl_latent": kl_z,
        "prior_entropy": -(p * p.log()).sum(),
        "posterior_entropy": -(q * q.log()).sum(1).mean(),
    }
    for name, metric in zip(METRICS, metrics, strict=True):
        torch.testing.assert_close(metric, expected[name], msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(loss, -estimator.objective(terms, addressing, drawn).surrogate.mean())
    assert not metrics.requires_grad


def test_own_class_sums_the_slots_of_the_class() -> None:
    log_q = torch.randn(3, 5).double().log_softmax(1)
    log_q.requires_grad_()
    target_labels, memory_labels = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1, 1, 1])
    own = own_class(log_q, target_labels, memory_labels)
    q = log_q.exp()
    torch.testing.assert_close(own.exp(), torch.stack([q[0, :2].sum(), q[1, 2:].sum(), q[2, 2:].sum()]))
    own.sum().backward()
    assert log_q.grad is not None
    assert bool(log_q.grad.isfinite().all())


def test_own_class_of_slots_leaves_each_out_of_its_own_memory() -> None:
    keys = torch.randn(6, 4).double().requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 2])  # the last is alone
    mean = own_class_of_slots(keys, labels, "normalised")
    each = []
    for slot in range(5):
        rest = [other for other in range(6) if other != slot]
        q = address_posterior(keys[rest], keys[slot : slot + 1])[0].exp()
        each.append(q[labels[rest] == labels[slot]].sum().log())
    torch.testing.assert_close(mean, torch.stack(each).mean())
    mean.backward()
    assert keys.grad is not None
    assert bool(keys.grad.isfinite().all())


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_own_class_of_slots_without_another_is_zero(labels: list[int]) -> None:
    keys = torch.randn(len(labels), 4).requires_grad_()
    mean = own_class_of_slots(keys, torch.tensor(labels), "normalised")
    mean.backward()
    assert float(mean.detach()) == 0
    assert keys.grad is not None
    assert not bool(keys.grad.any())
