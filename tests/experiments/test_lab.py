"""Time, data and scores that experiments are given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from tests import synthetic
from vmacore.config import load_recipe
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import score_episodes
from vmacore.experiments.lab.lab import Lab, Stopped
from vmacore.runs.weights import build_model


def sampler() -> EpisodeSampler:
    return EpisodeSampler(synthetic.dataset().test, n_way=3, n_shot=2, n_target=2, seed=0)


def test_without_a_budget_there_is_all_the_time(lab: Lab) -> None:
    assert lab.time_left() == math.inf
    assert lab.affordable(lambda count: pytest.fail("no need to time anything"), 50) == 50
    assert lab.within_budget(lambda count: count * 2, 50) == 100


def test_time_runs_out(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(budget=100.0)
    assert 99 < lab.time_left() <= 100
    spent = make_lab(budget=0.0)
    assert spent.time_left() <= 0
    assert spent.affordable(lambda count: pytest.fail("there is no time"), 50) == 0
    assert spent.within_budget(lambda count: pytest.fail("there is no time"), 50) is None


def test_what_fits_is_measured(make_lab: Callable[..., Lab]) -> None:
    slow = make_lab(budget=1.0)
    counts: list[int] = []

    def measure(count: int) -> int:
        counts.append(count)
        time.sleep(0.05 * count)
        return count

    found = slow.within_budget(measure, 1000, share=0.5)
    assert found is not None
    assert 3 <= found <= 9  # half of the 0.9 s that timing two left, at 0.05 s each
    assert counts == [2, found]
    # Where no more than was timed fits, it is not measured twice.
    counts.clear()
    assert make_lab(budget=0.05).within_budget(measure, 1000) == 2
    assert counts == [2]


def test_data_sets_are_loaded_once(lab: Lab) -> None:
    config = load_recipe("digits")
    assert lab.dataset("digits") is lab.dataset(config)
    assert lab.dataset(config.with_overrides(["data.binarise=fixed"])) is not lab.dataset(config)
    with pytest.raises(VmaError, match="vma download omniglot"):
        lab.dataset("omniglot")


def test_scores_are_those_of_the_scorer(lab: Lab) -> None:
    models = {str(seed): build_model(synthetic.config(training={"seed": seed})) for seed in (0, 1)}
    found = lab.scores(models, sampler(), samples=3, episodes=4, seed=5)
    for name, model in models.items():
        alone = score_episodes(model, sampler(), samples=3, episodes=4, seed=5)
        assert found[name].per_target == alone.per_target
        assert found[name].nll == pytest.approx(alone.nll)
    assert lab.scores({}, sampler(), samples=3, episodes=4) == {}


def test_scores_within_a_budget(make_lab: Callable[..., Lab]) -> None:
    models = {str(seed): build_model(synthetic.config(training={"seed": seed})) for seed in (0, 1)}
    few = make_lab(budget=1.0).scores(models, sampler(), samples=3, episodes=10**6)
    counts = {one.episodes for one in few.values()}
    assert len(counts) == 1
    assert 2 <= counts.pop() < 10**6
    assert make_lab(budget=0.0).scores(models, sampler(), samples=3, episodes=5) == {}
    kept = make_lab(budget=0.0).scores(models, sampler(), samples=3, episodes=5, fixed=True)
    assert kept["0"].episodes == 5


def test_measuring_stops_when_asked_to(make_lab: Callable[..., Lab]) -> None:
    with pytest.raises(Stopped):
        make_lab(stop=lambda: True).scores({"0": build_model(synthetic.config())}, sampler(), samples=2, episodes=3)
