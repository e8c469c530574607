"""Labels teach h in batches of their own, and the bound leaves h alone where that is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import synthetic
from tests.small_runs import DATASET, create_run, files_of
from vmacore.config import Config
from vmacore.episodes import training_sampler
from vmacore.episodes.base import Episode
from vmacore.episodes.labels import LabelBatches
from vmacore.estimators import estimator_for
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.weights import build_model
from vmacore.training.loop import train
from vmacore.training.step import METRICS, Step, own_class_of_slots
from vmacore.training.trainer import Trainer

TAUGHT: dict[str, dict[str, Any]] = {"model": {"tied": True}, "labels": {"weight": 2.0, "classes": 6, "drawings": 3}}


def batch_of(config: Config, step: int = 0) -> Episode:
    return LabelBatches(DATASET.train, config.labels, seed=3).at(step)


def model_of(config: Config) -> VariationalMemoryAddressing:
    model = build_model(config)
    assert isinstance(model, VariationalMemoryAddressing)
    return model


def own_class(model: VariationalMemoryAddressing, batch: Episode) -> Tensor:
    return own_class_of_slots(model.key_network(batch.memory), batch.memory_labels, model.config.similarity)


def gradients(config: Config, batch: Episode | None) -> tuple[dict[str, Tensor | None], Tensor]:
    """Of each weight, and the metrics."""
    model = model_of(config)
    model.taught = batch is not None and config.labels.alone
    step = Step(model, estimator_for(config.objective, True), config.objective, config.labels)
    episode = training_sampler(config, DATASET.train, "cpu").at(0)
    loss, metrics = step(episode, torch.Generator().manual_seed(0), batch)
    loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters()}, metrics


@pytest.mark.parametrize("alone", [True, False])
def test_h_learns_from_labels_alone_or_from_both_and_the_rest_from_the_bound_alone(alone: bool) -> None:
    config = synthetic.config(**TAUGHT).with_overrides([f"labels.alone={str(alone).lower()}"])
    (of_both, metrics), (of_bound, same) = gradients(config, batch_of(config)), gradients(config, None)
    assert torch.equal(metrics, same)
    model = model_of(config)
    (-2 * own_class(model, batch_of(config))).backward()
    for name, weight in model.named_parameters():
        expected = of_bound[name]
        if name.startswith("key_network."):
            assert expected is not None
            assert weight.grad is not None
            expected = weight.grad if alone else weight.grad + expected
        torch.testing.assert_close(of_both[name], expected, msg=name)


@pytest.mark.parametrize("alone", [True, False])
def test_a_training_leaves_h_to_labels_where_they_are_alone(tmp_path: Path, alone: bool) -> None:
    run = create_run(tmp_path / "run", **{**TAUGHT, "labels": {**TAUGHT["labels"], "alone": alone}})
    trainer = Trainer(run, DATASET, torch.device("cpu"))
    assert isinstance(trainer.model, VariationalMemoryAddressing)
    assert trainer.model.taught is alone


def test_addresses_alone_report_what_the_labels_say() -> None:
    config = synthetic.config(**TAUGHT, objective={"trains": "addresses"})
    model, batch = model_of(config), batch_of(config)
    step = Step(model, estimator_for(config.objective, True), config.objective, config.labels)
    loss, metrics = step(batch, torch.Generator(), batch)
    own = own_class(model, batch)
    torch.testing.assert_close(loss, -2 * own)
    torch.testing.assert_close(metrics, torch.cat([-own[None].detach(), torch.zeros(len(METRICS) - 1)]))


def test_a_run_with_labels_resumes_bit_for_bit(tmp_path: Path) -> None:
    straight, stopped = create_run(tmp_path / "straight", **TAUGHT), create_run(tmp_path / "stopped", **TAUGHT)
    train(straight, DATASET, steps=8)
    train(stopped, DATASET, steps=4)
    train(stopped, DATASET, steps=8, resume=True)
    assert files_of(straight) == files_of(stopped)


def test_a_run_without_labels_says_nothing_of_them() -> None:
    assert "[labels]" not in synthetic.config().to_toml()
    config = synthetic.config(**TAUGHT)
    assert Config.from_toml(config.to_toml()) == config
