"""What the estimator benchmark measures, on a small model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests import synthetic
from vmacore.bench.estimator_report import Lengths, compare_estimators
from vmacore.bench.estimator_training import compare_training
from vmacore.bench.estimators import (
    GROUPS,
    OBJECTIVES,
    Repetitions,
    _Episode,
    gradient_quality,
    squared_norm,
    step_seconds,
)
from vmacore.episodes.base import Episode
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.estimators import ESTIMATORS
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.weights import build_model

CONFIG = synthetic.config()
DATASET = synthetic.dataset()


def _model(**model: object) -> VariationalMemoryAddressing:
    built = build_model(synthetic.config(model=model))
    assert isinstance(built, VariationalMemoryAddressing)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(weight))))
    return built


def _episode() -> Episode:
    return EpisodeSampler(DATASET.train, n_way=4, n_shot=2, n_target=2, seed=0).at(0)


def test_squared_norm_has_no_bias_from_noise() -> None:
    draw = torch.Generator().manual_seed(0)
    mean = torch.tensor([0.3, 0.0, -0.4], dtype=torch.float64)
    found = [squared_norm(mean + torch.randn(10, 3, dtype=torch.float64, generator=draw)) for _ in range(4000)]
    values = torch.tensor([value for value, _ in found])
    errors = torch.tensor([error for _, error in found])
    assert float(values.mean()) == pytest.approx(0.25, abs=4 * float(values.std()) / math.sqrt(4000))
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.25)
    value, error = squared_norm(mean.expand(10, 3))
    assert value == pytest.approx(0.25)
    assert error == pytest.approx(0, abs=1e-9)


def test_gradients_in_the_weights_are_those_of_the_model() -> None:
    """The ELBO over the table, differentiated in one piece."""
    model, episode = _model(), _episode()
    on = _Episode(model, episode, 3, torch.Generator().manual_seed(0))
    found = on.in_weights(on.elbo())
    addressing = model.address(episode.targets, model.read(episode.memory))
    log_weight = on.table.log_weight.view(8, 8, 3).mean(2)
    elbo = (addressing.log_q.exp() * (log_weight + addressing.log_p - addressing.log_q)).sum(1).mean()
    for group, prefix in GROUPS.items():
        weights = [weight for name, weight in model.named_parameters() if name.startswith(prefix)]
        expected = torch.cat([one.flatten() for one in torch.autograd.grad(elbo, weights, retain_graph=True)])
        assert float((found[group] - expected).norm() / expected.norm()) < 1e-4


def test_the_table_holds_the_models_own_terms() -> None:
    model, episode = _model(), _episode()
    on = _Episode(model, episode, 2, torch.Generator().manual_seed(0))
    address = torch.arange(8).repeat_interleave(2).expand(8, -1)
    with torch.no_grad():
        log_terms = model.log_terms(
            episode.targets, model.read(episode.memory), address, torch.Generator().manual_seed(0)
        )
    torch.testing.assert_close(on.table.log_weight, log_terms.log_weight)


def test_bias_is_found_where_there_is_some_and_nowhere_else() -> None:
    model = _model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    quality = gradient_quality(
        model,
        [_episode()],
        CONFIG.objective,
        dict.fromkeys(OBJECTIVES, 0.5),
        repetitions=Repetitions(latents=3, steps=200, relaxed=200, variance=20),
    )
    assert 0 < quality.entropy < math.log(8)
    by_name = {one.estimator: one for one in quality.estimators}
    assert set(by_name) == set(OBJECTIVES) == set(ESTIMATORS)
    for name in ("vimco", "vimco-geometric", "nvil", "rloo", "enumeration", "top-k"):
        one = by_name[name]
        assert one.bias["own"]["h_q"].at_most < 1.2
        for group in GROUPS:
            assert one.bias["own"][group].value < 0.1, (name, group)
            assert one.bias["own"][group].value <= one.bias["own"][group].at_most
            assert one.noise[group] > 0
    assert by_name["rloo"].bias["bound"]["h_q"].value > 0.2
    assert by_name["vimco"].bias["ELBO"]["h_q"].value > 0.2
    assert by_name["rws"].bias["own"]["h_q"].value > 0.2
    assert by_name["st-gumbel"].bias["own"]["h_q"].value > 0.2
    assert by_name["enumeration"].noise["h_q"] < 0.5 * by_name["rloo"].noise["h_q"]
    assert by_name["enumeration"].noise["h_q"] < by_name["top-k"].noise["h_q"]
    vimco = by_name["vimco"]
    assert vimco.noise_at_equal_time(vimco) == dict.fromkeys(GROUPS, 1.0)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("change", [{"address_prior": "flat"}, {"tied": True}, {"learned_slots": 5}])
def test_models_without_all_three_gradients_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(VmaError, match="h, h_q and e_p"):
        _Episode(_model(**change), _episode(), 2, torch.Generator())


def test_a_model_without_addresses_is_refused() -> None:
    vae = build_model(synthetic.config(model={"system": "vae"}))
    with pytest.raises(VmaError, match="draws addresses"):
        compare_estimators(vae, CONFIG, DATASET.train, ["vimco"], lengths=Lengths())


def test_steps_are_timed_and_change_nothing() -> None:
    model = _model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    seconds = step_seconds(model, _episode(), CONFIG.objective, ["vimco", "enumeration"], rounds=3)
    assert list(seconds) == ["vimco", "enumeration"]
    assert all(0 < value < 10 for value in seconds.values())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_trainings_are_compared_at_equal_steps_and_at_equal_time(tmp_path: Path) -> None:
    seconds = {"vimco": 0.2, "rloo": 0.1, "enumeration": 0.4}
    asked: list[tuple[str, int]] = []
    found = compare_training(CONFIG, DATASET, seconds, tmp_path, steps=4, progress=lambda *at: asked.append(at))
    assert [row.steps for row in found.equal_steps] == [4, 4, 4]
    assert [row.steps for row in found.equal_time] == [4, 8, 2]
    assert asked == [(name, seed) for seed in (0, 1) for name in seconds]
    for row in (*found.equal_steps, *found.equal_time):
        assert 30 < row.nll_many <= row.nll + 1 < 70
        assert 0 < row.accuracy <= 1
    assert (found.equal_steps[0].difference, found.equal_steps[0].difference_se) == (0, 0)
    first, second = found.equal_time[:2]
    assert second.difference == pytest.approx(second.nll_many - first.nll_many)
    assert second.difference_se > 0
