"""Training: the loop on one screen, and what it needs around it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vmacore import checkpoint as ckpt
from vmacore.checkpoint import Location, RunDirectory
from vmacore.config import Config
from vmacore.data.characters import Characters, Dataset
from vmacore.data.episodes import EpisodeSampler, MinibatchSampler, RecallSampler, Sampler
from vmacore.data.sequences import SequenceSampler
from vmacore.errors import VmaError
from vmacore.estimators import estimator_for
from vmacore.evaluation.classification import classify
from vmacore.evaluation.likelihood import score_episodes
from vmacore.loading import build_model, weights_file
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

METRICS = ("nll", "elbo", "reconstruction", "kl_address", "kl_latent", "prior_entropy", "posterior_entropy")


@dataclass(frozen=True)
class StepReport:
    """Means over the steps since the last report, in nats."""

    step: int
    steps: int
    nll: float
    elbo: float
    reconstruction: float
    kl_address: float
    kl_latent: float
    prior_entropy: float
    posterior_entropy: float
    steps_per_second: float


@dataclass(frozen=True)
class ValidationReport:
    """The averaged weights on validation classes: nats, and the accuracy of 5-way 1-shot by q(a|x)."""

    step: int
    nll: float
    nll_se: float
    kl_address: float
    kl_latent: float
    accuracy: float | None
    is_best: bool


@dataclass(frozen=True)
class TrainingSummary:
    """Where a run stands when `train` returns; nats are those reported last, NaN if there are none."""

    run: Path
    step: int
    steps_per_second: float
    nll: float
    kl_address: float
    kl_latent: float
    interrupted: bool


def prepare(config: Config, dataset: Dataset, init: Location | None = None) -> Config:
    """The configuration with what follows from the data filled in: protocol and image size.

    init: the weights that the run is to start from, if any.

    Raises:
        VmaError: a split cannot hold the episodes, or `init` has other networks.
    """
    size = dataset.train.size
    filled = config.model_copy(
        update={
            "data": config.data.model_copy(update={"protocol": dataset.protocol}),
            "model": config.model.model_copy(update={"size": size}),
        }
    )
    if init is not None:
        theirs, ours = init.config.model.model_dump(), filled.model.model_dump()
        differ = [key for key in ours if ours[key] != theirs[key]]
        if differ:
            raise VmaError(f"{init.run} has another model.{differ[0]}: {theirs[differ[0]]}, not {ours[differ[0]]}")
    _sampler(filled, dataset.train, "cpu")
    _validation_sampler(filled, dataset.validation, "cpu")  # now, or a run would end at its first validation
    return filled


def train(
    run: RunDirectory,
    dataset: Dataset,
    *,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
    init: Location | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    on_validation: Callable[[ValidationReport], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainingSummary:
    """Train a run made by `RunDirectory.create(path, prepare(config, dataset))` up to `steps`.

    steps: where to end; None: as configured. With `resume`, on from the latest checkpoint, bit for bit as if never
    stopped on the same CPU with the same threads. init: weights to start from. stop: polled every step; when true the
    state is saved and the summary says `interrupted`.

    Raises:
        VmaError: a loss that is not finite, shapes that differ, nothing to resume, or a disk that cannot be written.
    """
    stored = run.config
    if steps is not None:
        run = RunDirectory(run.path, stored.with_overrides([f"training.steps={steps}"]))
    config, device = run.config, torch.device(device)
    trainer = _Trainer(run, dataset, device)
    if resume:
        trainer.restore()
    elif init is not None:
        ckpt.load_weights(trainer.model, weights_file(init, "averaged"))
        ckpt.load_weights(trainer.averaged.module, weights_file(init, "averaged"))
        trainer.save()  # so that a run killed before its first checkpoint still resumes from these weights
    if config != stored:
        run.with_config(config)

    seed, schedule = config.training.seed, config.training
    sampler = _sampler(config, dataset.train, device, seed)
    report: StepReport | None = None
    started, first = time.perf_counter(), trainer.step
    total, count = torch.zeros(len(METRICS), device=device), 0
    interrupted = False
    while trainer.step < schedule.steps:
        noise = generator(seed, trainer.step, Stream.NOISE, device)
        total += trainer.update(sampler, noise)
        count += 1
        step, last = trainer.step, trainer.step == schedule.steps
        interrupted = stop() and not last
        validating = step % schedule.validate_every == 0 or last
        saving = step % schedule.checkpoint_every == 0 or last or interrupted
        if step % schedule.metrics_every == 0 or validating or saving:
            rate = (step - first) / (time.perf_counter() - started)
            values = dict(zip(METRICS, (total / count).tolist(), strict=True))
            if not math.isfinite(values["nll"]):
                raise VmaError(_diverged(run, step))
            report = StepReport(step=step, steps=schedule.steps, steps_per_second=rate, **values)
            total.zero_()
            count = 0
            trainer.log("train", asdict(report))
            if on_step:
                on_step(report)
        if validating:
            pause = time.perf_counter()
            validation = trainer.validate(dataset)
            saving = saving or validation.is_best
            trainer.log("validation", asdict(validation))
            if on_validation:
                on_validation(validation)
            started += time.perf_counter() - pause
        if saving:
            trainer.save()
        if interrupted:
            break
    shown = asdict(report) if report else trainer.last_reported()
    rate, nll, kl_a, kl_z = (shown.get(key, math.nan) for key in ("steps_per_second", "nll", "kl_address", "kl_latent"))
    return TrainingSummary(run.path, trainer.step, rate, nll, kl_a, kl_z, interrupted)


class _Trainer:
    """Model, averaged weights, optimiser and the step they have reached."""

    def __init__(self, run: RunDirectory, dataset: Dataset, device: torch.device) -> None:
        config = run.config
        if config.model.size != dataset.train.size:
            raise VmaError(f"{run.path} reads images of {config.model.size}, {dataset.name} has {dataset.train.size}")
        self.run, self.device = run, device
        self.model = build_model(config, device)
        self.averaged = AveragedModel(self.model, multi_avg_fn=_averaging(config.optimiser.average))
        memory = self.model.learned_memory
        slots = set() if memory is None else set(memory.parameters())
        weights = [weight for weight in self.model.parameters() if weight not in slots]
        # Learned slots are what a memory holds, not weights: L2 spares them (section 4.2).
        groups: list[dict[str, Any]] = [{"params": weights}]
        if slots:
            groups.append({"params": list(slots), "weight_decay": 0.0})
        self.optimiser = torch.optim.Adam(
            groups,
            lr=config.optimiser.learning_rate,
            betas=(0.9, config.optimiser.beta2),
            weight_decay=config.optimiser.weight_decay,
            fused=True,
        )
        self.estimator = estimator_for(config.objective, self.model.addressed)
        self.step = 0
        self.best: dict[str, Any] = {}

    def update(self, sampler: Sampler, noise: torch.Generator) -> Tensor:
        """One step of the optimiser; means over the targets of the METRICS, still on the device."""
        model = self.model
        episode = sampler.at(self.step)
        targets = episode.targets
        slots = episode.memory if model.learned_memory is None else model.learned_memory()
        memory = model.read(slots, episode.mask)
        addressing = model.address(targets, memory)
        drawn = self.estimator.draw(addressing, noise)
        draws = drawn.terms(model, targets, memory, noise)
        objective = self.estimator.objective(draws, addressing, drawn)
        self.optimiser.zero_grad()
        (-objective.surrogate.mean()).backward()
        clip = self.run.config.optimiser.clip
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        self.optimiser.step()
        self.averaged.update_parameters(model)
        self.step += 1
        with torch.no_grad():
            reconstruction, kl_z = -drawn.mean(draws.log_px).mean(), drawn.mean(draws.kl_z).mean()
            kl_a = addressing.kl().mean()
            entropies = [addressing.prior_entropy(), addressing.posterior_entropy().mean()]
            elbo = -(reconstruction + kl_a + kl_z)
            return torch.stack([-objective.bound.mean(), elbo, reconstruction, kl_a, kl_z, *entropies])

    def validate(self, dataset: Dataset) -> ValidationReport:
        """The K-sample bound and 5-way 1-shot accuracy of the averaged weights on validation classes."""
        config, model = self.run.config, self.averaged.module
        assert isinstance(model, GenerativeModel)
        characters = dataset.validation.binarised(config.data.seed)
        result = score_episodes(
            model,
            _validation_sampler(config, characters, self.device),
            samples=config.objective.samples,
            episodes=config.training.validation_episodes,
            device=self.device,
        )
        accuracy = None
        labelled = model.learned_memory is None and config.episode.memory == "few-shot"
        if labelled and isinstance(model, VariationalMemoryAddressing):
            way = min(5, characters.n_classes)
            accuracy = classify(model, characters, way=way, shot=1, episodes=100, device=self.device).accuracy
        is_best = result.nll < self.best.get("nll", math.inf)
        if is_best:
            self.best = {"step": self.step, "nll": result.nll, "accuracy": accuracy}
        return ValidationReport(
            self.step, result.nll, result.nll_se, result.kl_address, result.kl_latent, accuracy, is_best
        )

    def save(self) -> None:
        """Save the state as the latest checkpoint."""
        if self.run.pointed("latest") == self.step:
            return
        moments = {
            file: {
                name: self.optimiser.state[weight].get(moment, torch.zeros_like(weight))
                for name, weight in self.model.named_parameters()
            }
            for moment, file in ckpt.MOMENTS.items()
        }
        tensors = {
            ckpt.WEIGHTS["raw"]: self.model.state_dict(),
            ckpt.WEIGHTS["averaged"]: self.averaged.module.state_dict(),
            **moments,
        }
        self.run.save(self.step, tensors, {"best": self.best, "torch": torch.__version__})

    def restore(self) -> None:
        """Take up the latest checkpoint; metrics written after it are cut off."""
        step = self.run.newest()
        if (step is None and any(self.run.path.glob("checkpoints/step-*"))) or (self.run.path / ckpt.STATE).exists():
            raise VmaError(f"{self.run.path} has no whole checkpoint to resume from: start a new run (--init RUN)")
        if step is None:  # stopped before its first checkpoint: it begins again
            self._cut_metrics(0)
            return
        if step > self.run.config.training.steps:
            raise VmaError(f"{self.run.path} stands at step {step} already: ask for more --steps")
        folder = self.run.checkpoint(step)
        ckpt.load_weights(self.model, folder / ckpt.WEIGHTS["raw"])
        ckpt.load_weights(self.averaged.module, folder / ckpt.WEIGHTS["averaged"])
        self.averaged.n_averaged.fill_(step)
        moments = {moment: ckpt.read_tensors(folder / file) for moment, file in ckpt.MOMENTS.items()}
        for name, weight in self.model.named_parameters():
            state: dict[str, Tensor] = {"step": torch.tensor(float(step), device=self.device)}
            for moment, stored in moments.items():
                if name not in stored or stored[name].shape != weight.shape:
                    raise VmaError(f"{folder / ckpt.MOMENTS[moment]}: {name} is missing or of another shape")
                # The strides of the weight, without which the fused optimiser would take another path.
                state[moment] = torch.empty_like(weight).copy_(stored[name])
            self.optimiser.state[weight] = state
        self.step, self.best = step, ckpt.read_state(folder)["best"]
        self._cut_metrics(step)

    def _cut_metrics(self, step: int) -> None:
        metrics = self.run.path / "metrics.jsonl"
        if metrics.exists():
            kept = [line for line in metrics.read_text("utf-8").splitlines() if _step_of(line) <= step]
            ckpt.replace_file(metrics, "".join(line + "\n" for line in kept).encode())

    def last_reported(self) -> dict[str, Any]:
        """The training means reported last, of a run that has nothing left to do."""
        metrics = self.run.path / "metrics.jsonl"
        rows = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()] if metrics.exists() else []
        return next((row for row in reversed(rows) if row["kind"] == "train"), {})

    def log(self, kind: str, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        path = self.run.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **row}) + "\n")
        except OSError as error:
            raise VmaError(f"cannot write {path}: {error.strerror or error}") from error


def _averaging(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential averaging whose window is a ninth of the steps so far, until it is as long as `decay` says.

    Without that, a short run's average would still be made of its first weights.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        reached = (1 + float(count)) / (10 + float(count))
        torch._foreach_lerp_(averaged, current, 1 - min(decay, reached))

    return update


def _sampler(config: Config, characters: Characters, device: torch.device | str, seed: int = 0) -> Sampler:
    """Episodes as configured."""
    episode = config.episode
    n_target = episode.classes * episode.targets
    if config.model.learned_slots or episode.memory == "none":
        return MinibatchSampler(characters, n_target=n_target, seed=seed, device=device)
    if episode.memory == "recall":
        return RecallSampler(characters, n_slots=episode.slots, n_target=n_target, seed=seed, device=device)
    if episode.memory == "sequence":
        return SequenceSampler(
            characters,
            n_sequences=episode.sequences,
            length=episode.length,
            max_classes=episode.classes,
            seed=seed,
            replacement=episode.replacement,
            device=device,
        )
    return EpisodeSampler(
        characters,
        n_way=episode.classes,
        n_shot=episode.shots,
        n_target=episode.targets,
        seed=seed,
        device=device,
        n_memories=episode.memories,
    )


def _validation_sampler(config: Config, characters: Characters, device: torch.device | str) -> Sampler:
    """Episodes as in training, with fewer classes where the validation split has fewer."""
    memories = config.episode.memories
    classes = min(config.episode.classes, characters.n_classes // memories * memories)
    episode = config.episode.model_copy(update={"classes": classes})
    return _sampler(config.model_copy(update={"episode": episode}), characters, device)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line cut short by a crash


def _diverged(run: RunDirectory, step: int) -> str:
    latest = run.pointed("latest")
    kept = f"the checkpoint of step {latest} is kept" if latest is not None else "nothing was saved yet"
    return f"the loss was not finite before step {step}: stopped, {kept}; try a lower optimiser.learning_rate or a clip"
