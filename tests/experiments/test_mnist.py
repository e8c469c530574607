"""The experiments on MNIST, on tiny models and digits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from tests import synthetic
from tests.experiments.conftest import STEPS
from vmacore.config import Config, load_recipe
from vmacore.episodes.none import MinibatchSampler
from vmacore.episodes.recall import RecallSampler
from vmacore.evaluation.likelihood import score_episodes
from vmacore.experiments import fig2a, mnist_learned, run
from vmacore.experiments.lab import learned_slots, plans, recall, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.models.vma import VariationalMemoryAddressing

MakeLab = Callable[..., Lab]
TINY = (
    "data.dataset=digits",
    "model.layers=[8,6]",
    "model.latent=3",
    "model.embedding=4",
    f"training.steps={STEPS}",
    "training.metrics_every=1",
    "training.validate_every=2",
    "training.validation_episodes=2",
    "training.checkpoint_every=1000000",
)
SLOTS, LARGE = 256, 300


def _tiny(name: str) -> Config:
    config = load_recipe(name)
    return config.with_overrides(synthetic.read(config, [*TINY, "model.slot=5"]))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small memories, few targets, recipes on digits."""
    monkeypatch.setattr(plans, "load_recipe", _tiny)
    small: dict[Any, dict[str, Any]] = {
        fig2a: {
            "SIZES": (33, SLOTS, LARGE),
            "TIED_SIZES": (33, SLOTS, LARGE),
            "TIED_STEPS": STEPS,
            "TEST_SIZES": (3, SLOTS, 100_000),
            "MOST": SLOTS,
            "EPISODES": 3,
            "TARGETS": 8,
            "MAINS": tuple(_small_plan(one, steps=STEPS) for one in fig2a.MAINS),
            "SKIPS": tuple(_small_plan(one, steps=STEPS) for one in fig2a.SKIPS),
            "LARGE": LARGE,
            "LARGE_SEEDS": 2,
            "LARGE_STEPS": STEPS,
            "LARGES": tuple(_small_plan(one, f"episode.slots={LARGE}", steps=STEPS) for one in fig2a.LARGES),
        },
        mnist_learned: {
            "SIZES": (4, SLOTS),
            "TARGETS": 9,
            "BATCHES": 3,
            "FULL": STEPS,
        },
    }
    sized = {4: Plan("mnist-learned", "mnist-learned-4", ("model.learned_slots=4",)), SLOTS: Plan("mnist-learned")}
    vae = systems.System("vae", "plain VAE", Plan("mnist-vae", full=STEPS))
    learned = (systems.System(str(n), f"|M| = {n}", replace(plan, full=STEPS)) for n, plan in sized.items())
    small[mnist_learned] |= {"VAE": vae, "SYSTEMS": (*learned, vae)}
    for module, constants in small.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


def _small_plan(variant: fig2a.Variant, *slots: str, steps: int) -> fig2a.Variant:
    plan = variant.plan
    kept = tuple(setting for setting in plan.overrides if not setting.startswith("episode.slots"))
    return replace(variant, plan=replace(plan, overrides=(*slots, *kept), steps=steps))


def row(result: Result, label: str, group: str = "") -> Row:
    (one,) = [one for one in result.rows if one.label == label and one.group.startswith(group)]
    return one


@pytest.mark.parametrize("experiment", ["fig2a", "mnist-learned"])
def test_with_nothing_trained_no_number_is_made_up(make_lab: MakeLab, experiment: str) -> None:
    result = run(experiment, make_lab(training=False))
    assert result.rows
    assert {one.ours for one in result.rows} == {None}
    assert all("nothing trained" in one.note and one.steps == 0 for one in result.rows)
    assert not result.figures


def test_fig2a_measures_the_recipe_on_training_and_test_images(lab: Lab) -> None:
    result = run("fig2a", lab)
    dataset = lab.dataset(fig2a.plan().config())
    assert dataset.binarisation.endswith("fixed by seed 0")
    for variant, name in zip(fig2a.MAINS, ("mnist-recall", "mnist-recall-256-tied"), strict=True):
        main = lab.trained(variant.plan)[0]
        assert main.model is not None
        assert main.plan.run == name
        assert main.plan.config().model.tied == name.endswith("tied")
        for group, characters in (
            (f"{variant.label}: |M| = {SLOTS}, training", dataset.train),
            (f"{variant.label}: NLL, test images in memory", dataset.test.binarised(0)),
        ):
            sampler = RecallSampler(characters, n_slots=SLOTS, n_target=8, seed=0)
            expected = score_episodes(main.model, sampler, samples=4, episodes=3)
            label = "NLL" if "training" in group else f"{SLOTS} in memory, log |M| = {math.log(SLOTS):.3f}"
            found = row(result, label, group)
            assert found.ours == pytest.approx(expected.nll)
            assert found.paper == pytest.approx(math.log(SLOTS))
        parts = [row(result, part, f"{variant.label}: |M|").ours for part in ("reconstruction", "KL_a", "KL_z")]
        assert all(part is not None and part > 0 for part in parts)
        assert len(result.data["curves"][variant.label]) == STEPS
    too_large = [one for one in result.rows if one.label.startswith("100000 in memory")]
    assert [one.ours for one in too_large] == [None, None]
    assert {path.name for path in result.figures} == {
        "fig2a.png",
        "fig2a.svg",
        "fig2a-depends.png",
        "fig2a-depends.svg",
    }
    json.dumps(result.data)


def test_fig2a_says_what_did_not_converge(lab: Lab) -> None:
    result = run("fig2a", lab)
    for label in (fig2a.APART, fig2a.TIED):
        size = row(result, "|M| = 33", f"updates until converged, by |M| in training, {label}")
        assert size.ours is None
        assert f"not converged in {STEPS} updates: NLL " in size.note
    large = [one for one in result.rows if one.unit == "seeds"]
    assert [one.label for one in large] == [one.label for one in fig2a.LARGES]
    assert {one.ours for one in large} == {0.0}
    assert all(one.note.count("NLL") == 2 for one in large)  # one of each seed
    started = lab.runs_dir / f"{fig2a.LARGES[2].plan.run}-seed1"
    assert started.exists()


def test_runs_of_each_memory_size_have_names_of_their_own() -> None:
    plans = [
        fig2a.plan(16),
        fig2a.plan(SLOTS),
        fig2a.tied(16),
        fig2a.tied(SLOTS),
        fig2a.large("tied", "model.tied=true"),
    ]
    assert [one.run for one in plans] == [
        "mnist-recall-16",
        "mnist-recall",
        "mnist-recall-16-tied",
        "mnist-recall-256-tied",
        f"mnist-recall-{LARGE}-tied",
    ]
    assert [one.config().episode.slots for one in plans] == [16, SLOTS, 16, SLOTS, LARGE]
    assert [one.config().model.tied for one in plans] == [False, False, True, True, True]


@dataclass
class Stub:
    """A training of which only the validations matter."""

    rows: list[dict[str, float]]
    plan: Plan = field(default_factory=lambda: Plan("mnist-recall"))
    model: object = object()
    step: int = 900
    updates: int = 900
    full: int = 1000
    source: str = "run"

    def metrics(self, kind: str = "validation") -> list[dict[str, float]]:
        return self.rows


def _validation(step: int, nll: float, kl_address: float, kl_latent: float) -> dict[str, float]:
    return {"step": step, "nll": nll, "kl_address": kl_address, "kl_latent": kl_latent}


def test_converged_is_all_three_at_once() -> None:
    best = math.log(1024)
    rows = [
        _validation(100, best + 0.6, best - 0.05, 0.01),  # NLL too high
        _validation(200, best + 0.4, best - 0.11, 0.01),  # KL_a too low
        _validation(300, best + 0.4, best - 0.05, 0.11),  # KL_z too high
        _validation(400, best + 0.49, best - 0.09, 0.09),
        _validation(500, best, best, 0.0),
    ]
    assert recall.converged(rows, 1024) == 400
    assert recall.converged(rows[:3], 1024) is None
    assert recall.converged([], 1024) is None
    assert recall.converged(rows, 512) is None


def test_seeds_that_converge_are_counted() -> None:
    best = math.log(1024)
    good, bad = Stub([_validation(400, best, best, 0.0)]), Stub([_validation(400, 100.0, 0.2, 20.0)])
    found = recall.seeds_row("x", 1024, [good, bad, good], STEPS)  # type: ignore[list-item]
    assert found.ours == 2
    assert found.note.startswith("3 of 3 seeds trained; converged after 400, 400 updates; at last NLL 6.93")
    missing = Stub([], model=None, step=0, updates=0, source="nothing trained")
    found = recall.seeds_row("x", 1024, [good, missing], STEPS)  # type: ignore[list-item]
    assert (found.ours, found.steps) == (1, 0)  # so never complete
    assert found.note.startswith("1 of 2 seeds trained")
    assert recall.seeds_row("x", 1024, [missing], STEPS).ours is None  # type: ignore[list-item]


def test_the_slot_is_found_before_the_pixels_are() -> None:
    best = math.log(64)
    rows = [_validation(100, 90.0, best - 0.2, 3.0), _validation(200, 50.0, best - 0.09, 2.0)]
    assert recall.found_slot(rows, 64) == 200
    assert recall.found_slot(rows[:1], 64) is None
    found = recall.size_row("tied", 64, Stub(rows), "")  # type: ignore[arg-type]
    assert found.ours is None
    assert found.note == ("KL_a near log |M| after 200; not converged in 900 updates: NLL 50.00, KL_a 4.07, KL_z 2.00")
    found = recall.size_row("tied", 64, Stub([*rows, _validation(300, best + 0.1, best, 0.0)]), "")  # type: ignore[arg-type]
    assert (found.ours, found.note) == (300, "KL_a near log |M| after 200")


def test_the_memory_takes_over_once_it_carries_most() -> None:
    rows = [_validation(1, 150.0, 1.0, 0.5), _validation(2, 120.0, 4.0, 9.0), _validation(3, 80.0, 4.5, 1.0)]
    assert recall.taken_over(rows, 256) == 3
    assert recall.taken_over(rows[:2], 256) is None


def test_learned_memories_are_scored_on_both_splits(lab: Lab) -> None:
    result = run("mnist-learned", lab)
    dataset = lab.dataset(load_recipe("mnist-learned").with_overrides(["data.dataset=digits"]))
    for name, label in (("mnist-learned-4", "|M| = 4"), ("mnist-vae", "plain VAE")):
        (trained,) = [one for one in lab.trained(*(s.plan for s in mnist_learned.SYSTEMS)) if one.plan.run == name]
        assert trained.model is not None
        scores = [
            score_episodes(trained.model, MinibatchSampler(split, n_target=9, seed=0), samples=4, episodes=3)
            for split in (dataset.train, dataset.test.binarised(0))
        ]
        assert row(result, f"{label}, test", "NLL").ours == pytest.approx(scores[1].nll)
        gap = row(result, f"{label}, test less training", "NLL").ours
        assert gap == pytest.approx(scores[1].nll - scores[0].nll, abs=1e-5)
        if label != "plain VAE":
            for split, score in zip(("training", "test"), scores, strict=True):
                found = row(result, f"KL_a, {split}", label)
                assert found.ours == pytest.approx(score.kl_address, abs=1e-6)
                assert found.paper == 2.5
            assert row(result, "entropy of p(a)", label).ours == pytest.approx(scores[1].prior_entropy, abs=1e-5)
    assert {one.full for one in result.rows} == {STEPS}
    assert result.complete
    assert {path.stem for path in result.figures} == {"mnist-learned", "mnist-learned-posteriors"}
    json.dumps(result.data)


def test_slots_in_use_are_those_that_lead_some_posterior(lab: Lab) -> None:
    run("mnist-learned", lab)
    (trained,) = lab.trained(Plan("mnist-learned", "mnist-learned-4", ("model.learned_slots=4",), full=STEPS))
    model = trained.model
    assert isinstance(model, VariationalMemoryAddressing)
    test = lab.dataset(trained.plan.config()).test.binarised(0)
    q = learned_slots.posterior(model, test.images)
    torch.testing.assert_close(q.sum(1), torch.ones(len(test.images)))
    assert learned_slots.usage(model, test, count=len(test.images)) == len(q.argmax(1).unique())


def test_plans_that_others_draw_from() -> None:
    assert mnist_learned.plan(SLOTS).run == "mnist-learned"
    assert mnist_learned.plan(64, seed=2).run == "mnist-learned-64-seed2"
