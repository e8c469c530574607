"""What one step says and what labels add to it, against sums over addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.small_runs import DATASET, create_run
from vmacore.addressing import address_posterior
from vmacore.config import ObjectiveConfig
from vmacore.episodes import training_sampler
from vmacore.estimators import estimator_for
from vmacore.memory.encoded import EncodedMemory
from vmacore.runs.weights import build_model
from vmacore.training.step import Step, own_class, own_class_of_slots


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


def test_labels_add_the_log_probability_of_the_own_class(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run")
    model = build_model(run.config, torch.device("cpu"))
    estimator = estimator_for(run.config.objective, True)
    episode = training_sampler(run.config, DATASET.train, "cpu").at(0)
    losses = [
        Step(model, estimator, ObjectiveConfig(labels=labels))(episode, torch.Generator().manual_seed(0))[0]
        for labels in (0.0, 3.0)
    ]
    addressing = model.address(episode.targets, model.read(episode.memory))
    own = own_class(addressing.log_q, episode.target_labels, episode.memory_labels).mean()
    torch.testing.assert_close(losses[0] - losses[1], 3 * own)


def test_own_class_of_slots_leaves_each_out_of_its_own_memory() -> None:
    keys = torch.randn(6, 4).double().requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 2])  # the last is alone
    mean = own_class_of_slots(EncodedMemory(keys, keys, keys.new_zeros(6).log_softmax(0)), labels, "normalised")
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
    memory = EncodedMemory(keys, keys, keys.new_zeros(len(labels)).log_softmax(0))
    mean = own_class_of_slots(memory, torch.tensor(labels), "normalised")
    mean.backward()
    assert float(mean.detach()) == 0
    assert keys.grad is not None
    assert not bool(keys.grad.any())
