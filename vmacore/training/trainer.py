"""What training moves: weights, averages and moments, and their checkpoints."""

from __future__ import annotations

import math
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from vmacore import distributed
from vmacore.data.characters import Dataset
from vmacore.episodes import validation_sampler
from vmacore.episodes.base import Episode, Sampler
from vmacore.episodes.labels import LabelBatches
from vmacore.errors import Diverged, VmaError
from vmacore.estimators import estimator_for
from vmacore.evaluation.classification import classify
from vmacore.evaluation.likelihood import score_episodes
from vmacore.files import sweep
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs import metrics
from vmacore.runs.directory import STATE, WEIGHTS, RunDirectory, read_state
from vmacore.runs.weights import build_model, load_weights, newest_whole
from vmacore.training.graphs import Graphed, Update, can_record
from vmacore.training.optimiser import Optimiser
from vmacore.training.step import METRICS, Step, address_metrics


@dataclass(frozen=True)
class ValidationReport:
    """The averaged weights on validation classes: nats, and the accuracy of 5-way 1-shot by q(a|x).

    accuracy: None of fewer classes. idle: the latents finer than z that hold less than IDLE nats of kl_latent, coarse
    to fine.
    """

    step: int
    nll: float
    nll_se: float
    kl_address: float
    kl_latent: float
    accuracy: float | None
    is_best: bool
    idle: tuple[str, ...] = ()

    def numbers(self) -> dict[str, Any]:
        """What metrics.jsonl keeps."""
        return {name: value for name, value in asdict(self).items() if name != "idle"}


WAY = 5  # of the tasks at validation
IDLE = 0.1  # nats, over all places of a latent
EMBEDDING = "key_network."  # names of the weights of h begin so


class Trainer:
    """Model, averaged weights, optimiser, and the step they have reached. Of several processes the first one writes."""

    def __init__(self, run: RunDirectory, dataset: Dataset, device: torch.device) -> None:
        config = run.config
        if config.model.size != dataset.train.size:
            raise VmaError(f"{run.path} reads images of {config.model.size}, {dataset.name} has {dataset.train.size}")
        self.run, self.device = run, device
        alone = distributed.world_size() == 1
        graphed = can_record(config, device)
        self.model = build_model(config, device)
        self.averaged = AveragedModel(self.model)
        self.optimiser = Optimiser(self.model, config.optimiser, capturable=graphed)
        objective = config.objective
        estimator = estimator_for(objective, self.model.addressed)
        step = Step(self.model, estimator, objective, config.labels)
        self.batches: LabelBatches | None = None
        if config.labels.weight:
            self.batches = LabelBatches(dataset.train, config.labels, config.training.seed, device)
        if isinstance(self.model, VariationalMemoryAddressing):
            self.model.taught = self.batches is not None and config.labels.alone
        for name, weight in self.model.named_parameters():
            weight.requires_grad_(objective.trains == "all" or name.startswith(EMBEDDING))
        # Every weight has a gradient in every step, and there are no buffers, so DDP's defaults fit.
        self.forward: nn.Module = step if alone else DistributedDataParallel(step)
        self.advance: Update = self._advance
        self.model.shares_passes = not (graphed or self.model.static)  # the averaged model, which evaluates, shares
        if graphed:
            self.advance = Graphed(self._advance, device)
        self.leads = distributed.rank() == 0
        self.step = 0
        self.best: dict[str, Any] = {}

    def update(self, sampler: Sampler) -> Tensor:
        """One step of the optimiser; means over the targets of the METRICS, still on the device."""
        episode = distributed.own_part(sampler.at(self.step))
        noise = distributed.own_noise(self.run.config.training.seed, self.step, self.device)
        self.optimiser.set_rates(self.step, self.run.config.training.steps)
        means = self.advance(episode, noise)
        self._average()
        self.step += 1
        return means

    def _advance(self, episode: Episode, noise: torch.Generator) -> Tensor:
        """The gradient and the optimiser's step. Nothing here may wait for a GPU or depend on what it has computed."""
        bfloat16 = self.run.config.training.precision == "bfloat16"
        batch = () if self.batches is None else (self.batches.at(self.step),)
        means: Tensor
        with torch.autocast(self.device.type, torch.bfloat16) if bfloat16 else nullcontext():
            loss, means = self.forward(episode, noise, *batch)
        self.optimiser.zero_grad()
        loss.backward()
        clip = self.run.config.optimiser.clip
        if clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimiser.step()
        return means

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential averaging whose window is a ninth of the steps so far, until it is as long as configured.

        Without that, a short run's average would still be made of its first weights. AveragedModel would read the count
        of steps back from the device.
        """
        averaged: list[Tensor] = list(self.averaged.module.parameters())
        current: list[Tensor] = list(self.model.parameters())
        if self.step == 0:
            torch._foreach_copy_(averaged, current)
        else:
            decay = min(self.run.config.optimiser.average, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(averaged, current, 1 - decay)

    def validate(self, dataset: Dataset) -> ValidationReport:
        """The K-sample bound and 5-way 1-shot accuracy of the averaged weights on validation classes."""
        config, model = self.run.config, self.averaged.module
        assert isinstance(model, GenerativeModel)
        characters = dataset.validation.binarised(config.data.seed)
        sampler, episodes = validation_sampler(config, characters, self.device), config.training.validation_episodes
        accuracy = None
        idle: tuple[str, ...] = ()
        labelled = model.learned_memory is None and config.episode.by_class
        if labelled and characters.n_classes >= WAY and isinstance(model, VariationalMemoryAddressing):
            with suppress(Diverged):  # the NLL tells it, too
                accuracy = classify(model, characters, way=WAY, shot=1, episodes=100, device=self.device).accuracy
        if config.objective.trains == "addresses":
            numbers = self._score_addresses(model, sampler, episodes)
        else:
            score = score_episodes(
                model, sampler, samples=config.objective.samples, episodes=episodes, device=self.device
            )
            numbers = score.nll, score.nll_se, score.kl_address, score.kl_latent
            levels = zip(model.latent_names, score.kl_levels, strict=True)
            idle = tuple(name for name, level in list(levels)[1:] if level < IDLE)
        is_best = math.isfinite(numbers[0]) and numbers[0] < self.best.get("nll", math.inf)
        if is_best:
            self.best = {"step": self.step, "nll": numbers[0], "accuracy": accuracy}
        return ValidationReport(self.step, *numbers, accuracy, is_best, idle)

    @torch.no_grad()
    def _score_addresses(
        self, model: GenerativeModel, sampler: Sampler, episodes: int
    ) -> tuple[float, float, float, float]:
        """Mean −log Σ_{a∈c} q(a|x) of the targets' classes, its error over episodes, KL_a, and 0 for KL_z."""
        rows = []
        for step in range(episodes):
            episode = sampler.at(step)
            rows.append(address_metrics(model.address(episode.targets, model.read(episode.memory)), episode))
        values = torch.stack(rows).cpu().double()  # [episodes, METRICS]
        means = dict(zip(METRICS, values.mean(0).tolist(), strict=True))
        return means["nll"], float(values[:, 0].std()) / math.sqrt(episodes), means["kl_address"], 0.0

    def save(self) -> None:
        """Save the state as the latest checkpoint."""
        if not self.leads or self.run.pointed("latest") == self.step:
            return
        tensors = {
            WEIGHTS["raw"]: self.model.state_dict(),
            WEIGHTS["averaged"]: self.averaged.module.state_dict(),
            **self.optimiser.state(),
        }
        self.run.save(self.step, tensors, {"best": self.best, "torch": torch.__version__})

    def restore(self, step: int | None = None) -> None:
        """Take up the checkpoint of a step, or the newest that is whole; metrics written after it are cut off.

        Without any checkpoint the run begins again.

        Raises:
            VmaError: none is whole, it cannot be read, it lies past the last step, or the run should have started from
                weights that were never stored.
        """
        if (self.run.path / STATE).exists():
            raise VmaError(f"{self.run.path} has no whole checkpoint to resume from: start a new run (--init RUN)")
        if step is None:
            step, _ = newest_whole(self.run)
        if step is None and any(self.run.path.glob("checkpoints/step-*")):
            raise VmaError(f"{self.run.path} has no whole checkpoint to resume from: start a new run (--init RUN)")
        if step is None and self.run.config.init:
            raise VmaError(f"{self.run.path} was stopped before its first weights were stored: start a new run")
        if step is None:  # stopped before its first checkpoint: it begins again
            step = 0
        else:
            self._load(step)
        if self.leads:
            metrics.cut_after(self.run.path, step)
            sweep(self.run.checkpoint(step).parent)  # no save may follow

    def _load(self, step: int) -> None:
        if step > self.run.config.training.steps:
            raise VmaError(f"{self.run.path} stands at step {step} already: ask for more --steps")
        folder = self.run.checkpoint(step)
        load_weights(self.model, folder / WEIGHTS["raw"])
        load_weights(self.averaged.module, folder / WEIGHTS["averaged"])
        self.optimiser.restore(folder, step)
        self.step, self.best = step, read_state(folder)["best"]
        if self.best and not (self.run.checkpoint(self.best["step"]) / STATE).is_file():
            self.best = {}  # a better one had taken its place: the next that can be stored is the best
        if self.leads and self.run.pointed("latest") != step:
            self.run.go_back(step, self.best.get("step"))  # before metrics are cut: the run goes back as a whole

    def log(self, kind: str, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        if self.leads:
            metrics.append(self.run.path, kind, row)
