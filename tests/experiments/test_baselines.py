"""The systems side by side, on tiny models and digits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.experiments.conftest import STEPS, model, number, row
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.likelihood import score_episodes
from vmacore.experiments import baselines, run
from vmacore.experiments.lab import systems
from vmacore.experiments.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("small_experiments")
MakeLab = Callable[..., Lab]


def test_baselines_are_paired(lab: Lab) -> None:
    result = run("baselines", lab)
    where = "4 × 2 in memory, K = 4"
    test = lab.dataset("digits").test.binarised(0)
    sampler = EpisodeSampler(test, n_way=4, n_shot=2, n_target=4, seed=0)
    ours = score_episodes(model(lab), sampler, samples=4, episodes=3)
    assert number(result, "VMA", f"NLL, {where}") == pytest.approx(ours.nll)
    vae = number(result, "plain VAE", f"NLL, {where}")
    difference = row(result, "plain VAE less VMA", f"difference, {where}")
    assert difference.ours == pytest.approx(vae - ours.nll, abs=1e-4)
    assert difference.se is not None
    assert "over classes" in difference.note
    cost = row(result, "VMA, KL_a + KL_z")
    assert cost.ours == pytest.approx(ours.kl_address + ours.kl_latent)
    assert row(result, "plain VAE", f"NLL, {where}").paper == 90.8
    assert row(result, "plain VAE", "NLL, 2 × 3 in memory, K = 6").paper is None  # the paper's K is 4


def test_unequal_steps_are_not_compared(make_lab: MakeLab) -> None:
    make_lab(steps=STEPS + 2).trained(systems.VMA.plan)
    make_lab().trained(*(system.plan for system in baselines.SYSTEMS))
    result = run("baselines", make_lab(steps=10, training=False))
    differences = [one for one in result.rows if "less" in one.label]
    assert len(differences) == 10
    assert {one.ours for one in differences} == {None}
    assert {one.note for one in differences} == {"not compared: trained for 4 and 6 updates"}
    assert len({one.group for one in differences}) == 2


def test_baselines_over_seeds(make_lab: MakeLab) -> None:
    lab = make_lab(seeds=2)
    result = run("baselines", lab)
    test = lab.dataset("digits").test.binarised(0)
    sampler = EpisodeSampler(test, n_way=4, n_shot=2, n_target=4, seed=0)
    each = [
        score_episodes(model(lab, name), sampler, samples=4, episodes=3).nll
        for name in ("omniglot-1e-4", "omniglot-1e-4-seed1")
    ]
    assert number(result, "VMA", "NLL, 4 × 2 in memory, K = 4") == pytest.approx(sum(each) / 2)
    assert any("2 training seeds" in note for note in result.notes)
