"""Trainings that experiments need: taken up, resumed, made, brought to equal steps within a budget."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import synthetic
from tests.experiments.conftest import STEPS, TINY, Recorder
from tests.small_runs import change_state
from vmacore.errors import VmaError
from vmacore.experiments.lab import plans, systems
from vmacore.experiments.lab.lab import Lab, Stopped
from vmacore.experiments.lab.plans import Job, Plan, Trained, comparable, next_mark, reachable
from vmacore.experiments.lab.result import Row
from vmacore.experiments.lab.systems import System
from vmacore.runs.directory import RunDirectory
from vmacore.runs.shipped import shipped_weights
from vmacore.runs.weights import read_tensors
from vmacore.training.loop import prepare, train

DIGITS = Plan("digits", "one", TINY)
OTHER = Plan("digits", "other", (*TINY, "model.address_prior=flat"))


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    assert trained.location is not None
    return read_tensors(trained.location.path / "averaged.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_missing_is_trained_and_then_found(lab: Lab, recorder: Recorder) -> None:
    (first,) = lab.trained(DIGITS)
    assert (first.step, first.full) == (STEPS, plans.FULL)
    assert first.model is not None
    assert not first.model.training
    assert first.source == f"run one, step {STEPS}"
    assert [row["step"] for row in first.metrics("train")] == [1, 2, 3, 4]
    assert any(line.startswith("training one from step 0") for line in recorder.lines)

    recorder.lines.clear()
    (again,) = lab.trained(DIGITS)
    assert recorder.lines == [f"one: run one, step {STEPS}"]
    assert same(weights(first), weights(again))


def test_a_run_trained_by_hand_is_taken_up(lab: Lab) -> None:
    config, dataset = DIGITS.config(), lab.dataset("digits")
    run = RunDirectory.create(lab.runs_dir / "one", prepare(config, dataset))
    train(run, dataset)
    (trained,) = lab.trained(DIGITS)
    assert trained.step == STEPS
    assert trained.location is not None
    assert trained.location.path == run.checkpoint(STEPS)


def test_what_is_half_done_is_resumed_to_the_same_bits(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    (whole,) = make_lab().trained(DIGITS)
    lab = make_lab(runs_dir=tmp_path / "again")
    make_lab(runs_dir=tmp_path / "again", steps=1).trained(DIGITS)
    (resumed,) = lab.trained(DIGITS)
    assert resumed.step == STEPS
    assert same(weights(whole), weights(resumed))


def test_more_steps_go_on(make_lab: Callable[..., Lab]) -> None:
    make_lab().trained(DIGITS)
    (further,) = make_lab(steps=STEPS + 2).trained(DIGITS)
    assert further.step == STEPS + 2
    assert RunDirectory.open(make_lab().runs_dir / "one").config.training.steps == STEPS + 2


def test_fewer_steps_keep_what_the_run_was_meant_for(make_lab: Callable[..., Lab]) -> None:
    make_lab(steps=2).trained(DIGITS)
    assert RunDirectory.open(make_lab().runs_dir / "one").config.training.steps == STEPS


def test_a_plan_starts_from_the_weights_of_another(lab: Lab) -> None:
    first = Plan("digits", "first", tuple(TINY))
    second = Plan("digits", "second", tuple(TINY), init=first)
    (trained,) = lab.trained(second)
    assert trained.config is not None
    assert trained.config.init == f"first, step {STEPS}"
    assert second.starts_alike(trained.config)
    assert not first.starts_alike(trained.config)
    seeded = second.seeded(1)
    assert seeded.init is not None
    assert (seeded.run, seeded.init.run) == ("second-seed1", "first-seed1")


def test_seeds_have_runs_of_their_own(lab: Lab) -> None:
    first, second = lab.trained(DIGITS, DIGITS.seeded(1))
    assert second.source == f"run one-seed1, step {STEPS}"
    assert not same(weights(first), weights(second))


def test_a_plan_with_overrides_needs_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        Plan("digits", overrides=("model.latent=3",))


def test_a_run_with_other_settings_is_refused(lab: Lab) -> None:
    lab.trained(DIGITS)
    with pytest.raises(VmaError, match=r"another model\.latent \(4, not 5\)"):
        lab.trained(Plan("digits", "one", (*TINY, "model.latent=5")))
    lab.trained(Plan("digits", "one", (*TINY, "training.validate_every=3")))  # how often it looks is all the same
    (lab.runs_dir / "one").rename(lab.runs_dir / "one-seed1")
    with pytest.raises(VmaError, match=r"another training\.seed \(0, not 1\)"):
        lab.trained(DIGITS.seeded(1))


def test_no_training_when_told_so(make_lab: Callable[..., Lab]) -> None:
    (trained,) = make_lab(training=False).trained(DIGITS)
    assert trained.model is None
    assert (trained.step, trained.config, trained.metrics()) == (0, None, [])
    assert trained.source == "nothing trained: there is no run one yet"
    assert not (make_lab().runs_dir / "one").exists()


def test_a_budget_that_is_used_up_trains_nothing(make_lab: Callable[..., Lab]) -> None:
    (trained,) = make_lab(budget=0.0).trained(DIGITS)
    assert trained.model is None
    assert not (make_lab().runs_dir / "one").exists()


def test_within_a_budget_steps_are_equal(make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "PROBE", 2)
    many = tuple(setting for setting in TINY if "steps" not in setting)
    both = [Plan("digits", name, (*many, f"model.latent={n}"), steps=10**6) for name, n in (("a", 3), ("b", 4))]
    found = make_lab(budget=6.0).trained(*both)
    assert comparable(found)
    assert 2 <= found[0].step < 10**6

    (alone,) = make_lab(steps=found[0].step + 3).trained(both[0])
    uneven = [alone, make_lab(training=False).trained(both[1])[0]]
    assert not comparable(uneven)
    # Asked for again, the one that is behind catches up with the other.
    assert [one.step for one in make_lab(steps=alone.step).trained(*both)] == [alone.step] * 2


@pytest.fixture
def best_at_two(make_lab: Callable[..., Lab]) -> RunDirectory:
    """A run of DIGITS that ended and was best on validation at step 2."""
    lab = make_lab(steps=2)
    lab.trained(DIGITS)
    run = RunDirectory.open(lab.runs_dir / "one")
    change_state(run.checkpoint(2), best={"step": 2, "nll": -1.0, "accuracy": None})
    (run.path / "best").write_text("2")
    make_lab().trained(DIGITS)
    return run


def test_a_training_that_ended_counts_at_its_best_on_validation(
    best_at_two: RunDirectory, make_lab: Callable[..., Lab]
) -> None:
    (trained,) = make_lab().trained(DIGITS)
    assert (trained.step, trained.updates, trained.ended) == (2, STEPS, True)
    assert trained.source == f"run one, step 2, the best on validation of {STEPS}"
    assert [row["step"] for row in trained.metrics("train")] == [1, 2, 3, 4]
    row = Row.of(trained, "NLL", 1.0, note="K = 4")
    assert (row.steps, row.note) == (STEPS, "K = 4; weights of step 2")
    (last,) = make_lab().trained(replace(DIGITS, last=True))
    assert (last.step, last.updates, Row.of(last, "NLL", 1.0).note) == (STEPS, STEPS, "")
    # A longer plan has not ended: its newest weights count, and those of the same step where they were kept.
    assert make_lab(steps=9, training=False).trained(DIGITS)[0].step == STEPS
    (best_at_two.path / "best").unlink()
    assert make_lab().trained(DIGITS)[0].step == STEPS


def test_trainings_that_ended_are_compared_whatever_their_length(
    best_at_two: RunDirectory, make_lab: Callable[..., Lab]
) -> None:
    found = make_lab(steps=2).trained(OTHER, DIGITS)
    assert [(one.step, one.updates) for one in found] == [(2, 2), (2, STEPS)]
    assert comparable(found)
    # Of two that have not ended both count at the step that they have in common.
    early = make_lab(steps=9, training=False).trained(OTHER, DIGITS)
    assert [(one.step, one.updates) for one in early] == [(2, 2), (2, 2)]
    assert comparable(early)
    (best_at_two.path / "best").unlink()
    assert not comparable(make_lab(steps=9, training=False).trained(OTHER, DIGITS))


def test_a_plan_starts_from_anothers_weights(lab: Lab) -> None:
    tuned = Plan("digits", "tuned", (*TINY, "episode.shots=2", "optimiser.learning_rate=1e-30"), steps=1, init=DIGITS)
    (trained,) = lab.trained(tuned)
    assert trained.step == 1
    (first,) = lab.trained(DIGITS)
    for name, tensor in weights(first).items():
        torch.testing.assert_close(weights(trained)[name], tensor)
    shutil.rmtree(lab.runs_dir / "one")  # not needed any more
    lab.trained(tuned)
    assert not (lab.runs_dir / "one").exists()


def test_a_plan_whose_start_is_missing_is_left_out(make_lab: Callable[..., Lab]) -> None:
    tuned = Plan("digits", "tuned", (*TINY, "episode.shots=2"), steps=1, init=DIGITS)
    (trained,) = make_lab(training=False).trained(tuned)
    assert trained.model is None
    assert "it starts from one" in trained.source


def test_stopping_keeps_what_was_trained(make_lab: Callable[..., Lab]) -> None:
    asked = iter([False, False, False, True, True, True, True])
    lab = make_lab(stop=lambda: next(asked))
    with pytest.raises(Stopped):
        lab.trained(DIGITS)
    assert 0 < (RunDirectory.open(lab.runs_dir / "one").newest() or 0) < STEPS


def test_a_training_that_fails_leaves_no_empty_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object, **more: object) -> None:
        raise VmaError("no")

    monkeypatch.setattr(plans, "train", failing)
    with pytest.raises(VmaError, match="no"):
        lab.trained(DIGITS)
    assert not (lab.runs_dir / "one").exists()


def shipped_in_place_of_runs(lab: Lab, trained: Trained, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those weights come with the package, and there are no runs."""
    assert trained.location is not None
    folder.mkdir()
    for file in ("averaged.safetensors", "state.json"):
        shutil.copy(trained.location.path / file, folder)
    shutil.copy(lab.runs_dir / trained.plan.run / "config.toml", folder)
    monkeypatch.setattr(plans, "shipped_weights", lambda data_dir: {"shipped": folder})
    shutil.rmtree(lab.runs_dir)


def test_shipped_weights_stand_in(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped_in_place_of_runs(lab, lab.trained(DIGITS)[0], tmp_path / "shipped", monkeypatch)
    (shipped,) = lab.trained(DIGITS)
    assert shipped.source == f"shipped weights shipped, step {STEPS}"
    assert shipped.metrics() == []
    assert not (lab.runs_dir / "one").exists()
    assert lab.trained(OTHER)[0].source.startswith("run other")  # of another configuration


@pytest.mark.parametrize(
    ("system", "name"),
    [(systems.VMA, "omniglot-45-5"), (systems.VAE, "omniglot-vae"), (systems.SOFT, "omniglot-soft-attention")],
)
def test_the_paper_s_weights_stand_for_its_trainings(system: System, name: str) -> None:
    config = RunDirectory.open(shipped_weights(None)[name]).config
    assert (config.recipe, config.with_overrides(list(system.plan.overrides))) == (system.plan.recipe, config)
    assert system.plan.starts_alike(config)
    assert config.training.steps >= plans.FULL


def test_shipped_weights_chosen_on_validation_stand_for_their_whole_training(
    best_at_two: RunDirectory, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shipped_in_place_of_runs(lab, lab.trained(DIGITS)[0], tmp_path / "shipped", monkeypatch)
    (shipped,) = lab.trained(DIGITS)
    assert shipped.source == f"shipped weights shipped, step 2, the best on validation of {STEPS}"
    assert (shipped.updates, shipped.ended) == (STEPS, True)
    assert not lab.runs_dir.exists()


def test_shipped_weights_stand_for_the_training_they_started_from(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tuned = Plan("digits", "tuned", (*TINY, "episode.shots=2"), steps=1, init=DIGITS)
    shipped_in_place_of_runs(lab, lab.trained(tuned)[0], tmp_path / "shipped", monkeypatch)
    assert lab.trained(tuned)[0].source.startswith("shipped weights shipped, step 1,")
    assert not lab.runs_dir.exists()
    at_once = Plan("digits", "at-once", tuned.overrides, steps=1)
    assert lab.trained(at_once)[0].source == "run at-once, step 1"


def test_shipped_weights_are_passed_over_where_others_cannot_come_as_far(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plans, "PROBE", 2)
    lab = make_lab()
    lab.trained(DIGITS)
    folder = tmp_path / "shipped"
    shutil.copytree(lab.runs_dir / "one" / "checkpoints" / f"step-{STEPS:08d}", folder)
    (folder / "state.json").write_text(json.dumps({"format": 1, "step": 10**6, "best": {}}))
    shutil.copy(lab.runs_dir / "one" / "config.toml", folder)
    monkeypatch.setattr(plans, "shipped_weights", lambda data_dir: {"shipped": folder})
    shutil.rmtree(lab.runs_dir / "one")
    found = make_lab(steps=10**6, budget=4.0).trained(DIGITS, OTHER)
    assert comparable(found)
    assert found[0].source.startswith("run one, step ")
    assert make_lab(steps=10**6, training=False).trained(DIGITS)[0].source == "shipped weights shipped, step 1000000"


class Standing(Job):
    """A job that stands at a step."""

    at = 0

    @property
    def step(self) -> int:
        return self.at


def jobs(*states: tuple[int, int, float | None]) -> list[Job]:
    """Jobs that stand at a step, end at a target and have a speed."""
    made: list[Job] = []
    for at, target, rate in states:
        job = Standing(Plan("digits"), synthetic.config(), synthetic.dataset(), Path("absent"), target, rate=rate)
        job.at = at
        made.append(job)
    return made


def test_whether_an_end_can_be_reached() -> None:
    assert reachable(jobs((0, 100, None)), 1)  # not known yet
    assert not reachable(jobs((0, 100, 1.0), (0, 100, None)), 150)  # the slowest speed stands for what is not known
    assert reachable(jobs((0, 100, 1.0), (0, 100, 4.0)), 150)
    assert reachable(jobs((0, 100, 1.0)), math.inf)


def test_marks() -> None:
    assert next_mark(jobs((0, 100, None), (0, 100, None)), math.inf) == 100
    assert next_mark(jobs((0, 100, 1.0)), 0) is None
    assert next_mark(jobs((0, 100, None), (50, 100, None)), 60) == plans.PROBE  # to learn how fast they are
    assert next_mark(jobs((0, 100, 1.0)), 130) == 100  # all of it fits
    assert next_mark(jobs((0, 10_000, 1.0)), 1000) in (499, 500)  # half of the time
    # Two of different speed get the same step: s/1 + s/4 = 500.
    assert next_mark(jobs((0, 10_000, 1.0), (0, 10_000, 4.0)), 1000) in (399, 400)
    # Whoever is behind catches up first.
    assert next_mark(jobs((0, 10_000, 1.0), (300, 10_000, 1.0)), 400) in (199, 200)
    # Half of the time is not worth a round, most of it is; then nothing is.
    assert next_mark(jobs((0, 10_000, 1.0)), 2 * plans.PROBE - 2) == int(0.8 * (2 * plans.PROBE - 2))
    assert next_mark(jobs((0, 10_000, 1.0)), plans.PROBE) is None
    # What going on takes besides the steps is counted once for each that goes on.
    slow = jobs((0, 10_000, 1.0), (0, 10_000, 1.0))
    for job in slow:
        job.overhead = 100.0
    assert next_mark(slow, 1000) in (149, 150)
