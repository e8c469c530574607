"""What each step of a training and each validation is made of: which episode, noise, weights and split."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from tests.small_runs import DATASET, create_run, metrics_of
from vmacore.data.characters import Characters
from vmacore.episodes import training_sampler, validation_sampler
from vmacore.episodes.base import Episode, Sampler
from vmacore.errors import VmaError
from vmacore.estimators import estimator_for
from vmacore.evaluation.classification import classify
from vmacore.evaluation.likelihood import score_episodes
from vmacore.runs.directory import STATE, WEIGHTS, RunDirectory, read_state
from vmacore.runs.finding import find_run
from vmacore.runs.weights import build_model, load_model
from vmacore.seeds import Stream, generator
from vmacore.training.loop import ValidationReport, train
from vmacore.training.step import Step
from vmacore.training.trainer import Trainer

STILL: dict[str, Any] = {"learning_rate": 1e-20}  # too small to move any weight
SEED = 5


class Repeated:
    """One episode at every step."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode

    def at(self, step: int) -> Episode:
        """The episode, whatever the step."""
        return self.episode


def _updates(path: Path, sampler: Sampler | None, count: int = 4) -> tuple[list[float], list[list[float]]]:
    """The NLL that each of the first updates reports, weights standing still, and what it is [step][noise of step]."""
    run = create_run(path, optimiser=STILL, training={"seed": SEED})
    trainer = Trainer(run, DATASET, torch.device("cpu"))
    sampler = sampler or training_sampler(run.config, DATASET.train, "cpu", SEED)
    reported = [float(trainer.update(sampler)[0]) for _ in range(count)]
    objective = run.config.objective
    step = Step(build_model(run.config), estimator_for(objective, True), objective)
    expected = [
        [float(step(sampler.at(at), generator(SEED, noise, Stream.NOISE))[1][0]) for noise in range(count)]
        for at in range(count)
    ]
    return reported, expected


def test_every_step_trains_on_its_own_episode(tmp_path: Path) -> None:
    reported, expected = _updates(tmp_path / "run", None)
    assert reported == pytest.approx([expected[step][step] for step in range(4)], rel=1e-6)
    assert reported != pytest.approx(expected[0], rel=1e-3)  # as the first episode with these noises would be


def test_every_step_has_its_own_noise(tmp_path: Path) -> None:
    """One episode and one set of weights: only the noise differs."""
    episode = training_sampler(create_run(tmp_path / "a").config, DATASET.train, "cpu").at(0)
    reported, expected = _updates(tmp_path / "run", Repeated(episode))
    assert reported == pytest.approx(expected[0], rel=1e-6)
    assert len({round(nll, 4) for nll in reported}) == 4


def test_a_resumed_run_goes_on_with_the_next_episode(tmp_path: Path) -> None:
    asked: list[int] = []
    run = create_run(tmp_path / "run", training={"steps": 2})
    train(run, DATASET)
    trainer = Trainer(run, DATASET, torch.device("cpu"))
    trainer.restore()

    class Asked(Repeated):
        def at(self, step: int) -> Episode:
            asked.append(step)
            return self.episode

    sampler = Asked(training_sampler(run.config, DATASET.train, "cpu").at(0))
    for _ in range(3):
        trainer.update(sampler)
    assert asked == [2, 3, 4]


# Validation

RESIDUAL: dict[str, Any] = {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2)}


def _validated(run: RunDirectory) -> list[ValidationReport]:
    reports: list[ValidationReport] = []
    train(run, DATASET, on_validation=reports.append)
    return reports


def _measured(run: RunDirectory, characters: Characters, weights: str) -> tuple[float, float]:
    """NLL and accuracy of the last weights, on the episodes that validation would draw from these characters."""
    model = load_model(find_run(run.checkpoint(8), runs_dir=run.path.parent), weights=weights)
    sampler = validation_sampler(run.config, characters, "cpu")
    nll = score_episodes(model, sampler, samples=run.config.objective.samples, episodes=4).nll
    return nll, classify(model, characters, way=5, shot=1, episodes=100).accuracy


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, ValidationReport]:
    """A run of 8 steps with what its one validation says."""
    training = {"steps": 8, "validation_episodes": 4}
    run = create_run(tmp_path_factory.mktemp("validated") / "run", training=training, optimiser={"average": 0.9})
    (report,) = _validated(run)
    return run, report


def test_validation_is_of_the_validation_classes(validated: tuple[RunDirectory, ValidationReport]) -> None:
    run, report = validated
    assert (report.nll, report.accuracy) == pytest.approx(_measured(run, DATASET.validation, "averaged"), rel=1e-6)
    for other in (DATASET.test, DATASET.train):
        assert report.nll != pytest.approx(_measured(run, other, "averaged")[0], rel=1e-4)


def test_validation_is_of_the_averaged_weights(validated: tuple[RunDirectory, ValidationReport]) -> None:
    run, report = validated
    assert (report.nll, report.accuracy) == pytest.approx(_measured(run, DATASET.validation, "averaged"), rel=1e-6)
    assert report.nll != pytest.approx(_measured(run, DATASET.validation, "raw")[0], rel=1e-4)


def test_the_test_classes_choose_nothing(tmp_path: Path) -> None:
    """With other test classes a run reports the same and keeps the same best step."""
    rows, best = [], []
    for name, test in (("own", DATASET.test), ("other", DATASET.train)):
        run = create_run(tmp_path / name, training={"steps": 6, "validate_every": 2})
        train(run, replace(DATASET, test=test))
        rows.append(metrics_of(run))
        best.append(run.pointed("best"))
    assert rows[0] == rows[1]
    assert best[0] == best[1]
    validations = [row for row in rows[0] if row["kind"] == "validation"]
    assert best[0] == min(validations, key=lambda row: row["nll"])["step"]


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({}, True),
        ({"episode": {"memory": "recall", "slots": 20}}, False),
        ({"model": {"learned_slots": 6}}, False),
        ({"model": {"system": "soft-attention"}}, False),
    ],
    ids=["few-shot", "recall", "learned memory", "no addresses"],
)
def test_accuracy_is_told_where_slots_have_classes_and_are_addressed(
    sections: dict[str, dict[str, Any]], told: bool, tmp_path: Path
) -> None:
    trainer = Trainer(create_run(tmp_path / "run", **sections), DATASET, torch.device("cpu"))
    report = trainer.validate(DATASET)
    assert (report.accuracy is not None) is told
    assert math.isfinite(report.nll)


def test_fewer_than_five_classes_have_no_5_way_accuracy(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", episode={"classes": 3})
    few = replace(DATASET, validation=synthetic.characters([10] * 3, seed=1))
    assert Trainer(run, few, torch.device("cpu")).validate(few).accuracy is None


def test_where_addresses_train_validation_is_of_the_classes(tmp_path: Path) -> None:
    """Mean −log Σ_{a∈c} q(a|x) over three episodes and its error; nothing is decoded, so KL_z is 0."""
    sections: dict[str, Any] = {
        "objective": {"trains": "addresses"},
        "labels": {"weight": 1.0},
        "model": {"tied": True},
    }
    run = create_run(tmp_path / "run", **sections, training={"validation_episodes": 3})
    trainer = Trainer(run, DATASET, torch.device("cpu"))
    report, model = trainer.validate(DATASET), trainer.model
    sampler = validation_sampler(run.config, DATASET.validation, "cpu")
    rows = []
    with torch.no_grad():
        for step in range(3):
            episode = sampler.at(step)
            addressing = model.address(episode.targets, model.read(episode.memory))
            q, log_ratio = addressing.log_q.exp(), addressing.log_q - addressing.log_p
            own = (q * (episode.target_labels[:, None] == episode.memory_labels)).sum(1)
            rows.append([-float(own.log().mean()), float((q * log_ratio).sum(1).mean())])
    nll, kl_a = torch.tensor(rows, dtype=torch.float64).unbind(1)
    assert report.nll == pytest.approx(float(nll.mean()), rel=1e-6)
    assert report.nll_se == pytest.approx(float(nll.std()) / math.sqrt(3), rel=1e-2)
    assert report.kl_address == pytest.approx(float(kl_a.mean()), rel=1e-2)
    assert report.kl_latent == 0


def test_validation_names_the_latents_that_are_not_in_use(tmp_path: Path) -> None:
    """At the start q equals p everywhere; then the finest alone is moved from its prior."""
    trainer = Trainer(create_run(tmp_path / "run", model=RESIDUAL), DATASET, torch.device("cpu"))
    averaged: Any = trainer.averaged.module
    _, coarse, fine = averaged.latent_names
    assert trainer.validate(DATASET).idle == (coarse, fine)
    finest = averaged.decoder.stages[0][0].level
    with torch.no_grad():
        finest.both.bias[2 * finest.latent :] += 0.5  # what q adds to the mean and log scale of p
    assert trainer.validate(DATASET).idle == (coarse,)
    assert Trainer(create_run(tmp_path / "z"), DATASET, torch.device("cpu")).validate(DATASET).idle == ()


def test_the_best_is_the_first_of_equals(tmp_path: Path) -> None:
    trainer = Trainer(create_run(tmp_path / "run"), DATASET, torch.device("cpu"))
    trainer.step = 3
    first = trainer.validate(DATASET)
    assert trainer.best == {"step": 3, "nll": first.nll, "accuracy": first.accuracy}
    trainer.step = 4
    second = trainer.validate(DATASET)
    assert (first.is_best, second.is_best) == (True, False)
    assert trainer.best["step"] == 3


# What is written


def test_a_step_is_saved_once_and_by_the_first_process_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(create_run(tmp_path / "run"), DATASET, torch.device("cpu"))
    trainer.leads = False
    trainer.save()
    trainer.log("train", {"step": 0})
    assert trainer.run.pointed("latest") is None
    assert not (trainer.run.path / "metrics.jsonl").exists()
    trainer.leads = True
    trainer.save()
    assert trainer.run.pointed("latest") == 0
    monkeypatch.setattr(RunDirectory, "save", None)
    trainer.save()  # it stands at the same step
    trainer.step = 1
    with pytest.raises(TypeError):
        trainer.save()


def test_a_checkpoint_says_which_torch_wrote_it(tmp_path: Path) -> None:
    trainer = Trainer(create_run(tmp_path / "run"), DATASET, torch.device("cpu"))
    trainer.best = {"step": 0, "nll": 3.5, "accuracy": None}
    trainer.save()
    state = read_state(trainer.run.checkpoint(0))
    assert state["torch"] == torch.__version__
    assert state["best"] == trainer.best


def test_only_the_first_process_cuts_metrics(tmp_path: Path) -> None:
    trainer = Trainer(create_run(tmp_path / "run"), DATASET, torch.device("cpu"))
    rows = [{"kind": "train", "step": step, "nll": 40.0 - step} for step in (5, 10)]
    for row in rows:
        trainer.log("train", {"step": row["step"], "nll": row["nll"]})
    metrics = trainer.run.path / "metrics.jsonl"
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == rows
    trainer.leads = False
    trainer.restore()  # there is no checkpoint: from the beginning
    assert metrics.read_text().count("\n") == 2
    trainer.leads = True
    trainer.restore()
    assert metrics.read_text() == ""


@pytest.mark.parametrize("left", [f"checkpoints/step-00000003/{WEIGHTS['raw']}", STATE], ids=["damaged", "exported"])
def test_a_run_without_a_whole_checkpoint_is_not_resumed(left: str, tmp_path: Path) -> None:
    """Of a checkpoint its state was lost, or the folder holds the state of exported weights and no checkpoints."""
    trainer = Trainer(create_run(tmp_path / "run"), DATASET, torch.device("cpu"))
    (trainer.run.path / left).parent.mkdir(parents=True, exist_ok=True)
    (trainer.run.path / left).write_text("")
    with pytest.raises(VmaError, match="no whole checkpoint to resume from: start a new run"):
        trainer.restore()
