"""The tasks that `vma bench` measures: training in two precisions, scoring, classifying, sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.bench.flops import Layers, Work, total, vma_flops
from vmacore.bench.steps import (
    EPISODES,
    draw_addresses,
    images,
    reference_model,
    reference_step,
    scoring,
    training_step,
    vma_model,
)
from vmacore.bench.timing import Call
from vmacore.config import Config
from vmacore.data.characters import Characters
from vmacore.episodes import few_shot
from vmacore.evaluation.rules import class_log_prob
from vmacore.evaluation.sampling import sample_grid
from vmacore.models.reference import ReferenceModel
from vmacore.models.vma import VariationalMemoryAddressing

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True)
class Task:
    """Something done by us and by the reference.

    count: units that `ours` does in a call; reference_count: those of each of `references`, one for every memory
    format. flops: operations that a unit needs.
    """

    name: str
    unit: str
    what: str
    ours: Call
    count: int
    references: Mapping[str, Call]
    reference_count: int
    flops: float


@dataclass(frozen=True)
class Sizes:
    """How large the tasks are.

    score_samples: K of a score, for score_targets targets in each of its episodes. way, shot, queries: of a
    classification, the queries of each class. columns: images made from each slot; reference_images: made by the
    reference, from as many slots drawn at random.
    """

    score_samples: int = 1000
    score_targets: int = 2
    way: int = 20
    shot: int = 5
    queries: int = 15
    columns: int = 16
    reference_images: int = 128


def tasks(config: Config, sizes: Sizes | None = None, device: torch.device | str = "cpu") -> list[Task]:
    """All of them, of the network and the episodes of a configuration."""
    sizes = sizes or Sizes()
    model = vma_model(config, device)
    evaluated = vma_model(config, device).eval().requires_grad_(False)
    return [
        _training(config, model, device),
        replace(
            _training(config.with_overrides(["training.precision=bfloat16"]), model, device), name="train-step-bf16"
        ),
        _scoring(config, evaluated, sizes, device),
        _classifying(config, evaluated, sizes, device),
        _sampling(config, evaluated, sizes, device),
    ]


def _training(config: Config, model: VariationalMemoryAddressing, device: torch.device | str) -> Task:
    targets, slots = _targets(config), _slots(config)
    K = config.objective.samples
    x, m = images(targets, config, device, seed=1), images(slots, config, device, seed=2)
    with torch.no_grad():
        work = _work(model, x, m, K)
    return Task(
        name="train-step",
        unit="steps/s",
        what=f"B = {targets}, K = {K}, |M| = {slots}",
        ours=training_step(model, config, targets=targets, slots=slots, device=device),
        count=1,
        references={
            name: reference_step(
                reference_model(model, device, memory_format),
                config,
                targets=targets,
                slots=slots,
                memory_format=memory_format,
                device=device,
            )
            for name, memory_format in FORMATS.items()
        },
        reference_count=1,
        flops=total(vma_flops(config.model, work).values()).training,
    )


def _scoring(config: Config, model: VariationalMemoryAddressing, sizes: Sizes, device: torch.device | str) -> Task:
    B, K, S = sizes.score_targets, sizes.score_samples, _slots(config)
    x, m = images(B, config, device, seed=1), images(S, config, device, seed=2)

    def theirs(reference: ReferenceModel, memory_format: torch.memory_format) -> Call:
        target, slots = x[:1].to(memory_format=memory_format), m.to(memory_format=memory_format)

        @torch.no_grad()
        def score() -> None:
            address = draw_addresses(reference, target, slots, K)
            reference(target, slots, address, torch.randn(K, config.model.latent, device=device))

        return score

    work = _work(model, x, m, K)
    return Task(
        name="score",
        unit="samples/s",
        what=f"K = {K}, |M| = {S}",
        ours=scoring(model, config, targets=B, slots=S, samples=K, device=device),
        count=EPISODES * B * K,
        references=_references(model, theirs, device),
        reference_count=K,
        flops=total(vma_flops(config.model, work).values()).forward / (B * K),
    )


def _classifying(config: Config, model: VariationalMemoryAddressing, sizes: Sizes, device: torch.device | str) -> Task:
    """A task of which no drawing was embedded before."""
    way, S, Q = sizes.way, sizes.way * sizes.shot, sizes.way * sizes.queries
    x, m = images(Q, config, device, seed=1), images(S, config, device, seed=2)

    @torch.no_grad()
    def ours() -> None:
        class_log_prob(model.address(x, model.read(m)).log_q, way).argmax(1)

    def theirs(reference: ReferenceModel, memory_format: torch.memory_format) -> Call:
        queries, slots = x.to(memory_format=memory_format), m.to(memory_format=memory_format)

        @torch.no_grad()
        def classify() -> None:
            keys = F.normalize(reference.embed(reference.key_network, slots), dim=1)
            q = (reference.embed(reference.h_q, queries) @ keys.T).softmax(1)
            q.view(Q, way, -1).sum(2).argmax(1)

        return classify

    parts = vma_flops(config.model, Work(targets=Q, slots=S, used=0, pairs=0, samples=0))
    return Task(
        name="classify",
        unit="queries/s",
        what=f"{way}-way {sizes.shot}-shot, {Q} queries, from pixels",
        ours=ours,
        count=Q,
        references=_references(model, theirs, device),
        reference_count=Q,
        flops=sum(parts[name].forward for name in ("keys", "queries", "similarities")) / Q,
    )


def _sampling(config: Config, model: VariationalMemoryAddressing, sizes: Sizes, device: torch.device | str) -> Task:
    episode, R, C = few_shot.Options.of(config.episode), _slots(config), sizes.columns
    classes, shots = episode.classes, episode.shots
    drawings = images(R, config, seed=2)[:, 0].to(torch.uint8)
    labels = torch.arange(classes).repeat_interleave(shots)
    characters = Characters(drawings, labels, tuple(map(str, range(classes))))

    def ours() -> None:
        sample_grid(model, characters, classes=classes, shots=shots, columns=C, device=device, candidates=1)

    P = sizes.reference_images

    def theirs(reference: ReferenceModel, memory_format: torch.memory_format) -> Call:
        slots = images(R, config, device, seed=2).to(memory_format=memory_format)

        @torch.no_grad()
        def sample() -> None:
            prior, maps = reference.encode_template(slots[torch.randint(R, (P,), device=device)])
            mean, log_scale = prior.chunk(2, 1)
            z = mean + log_scale.exp() * torch.randn_like(mean)
            reference.decode(z, maps).sigmoid()

        return sample

    layers = Layers(config.model)
    once = layers.first + layers.template + layers.prior
    return Task(
        name="sample",
        unit="images/s",
        what=f"{R} slots, {C} images of each",
        ours=ours,
        count=R * C,
        references=_references(model, theirs, device),
        reference_count=P,
        flops=(R * once + R * C * layers.decoder).forward / (R * C),
    )


def _references(
    model: VariationalMemoryAddressing,
    task: Callable[[ReferenceModel, torch.memory_format], Call],
    device: torch.device | str,
) -> dict[str, Call]:
    """The task done by the reference in every memory format."""
    return {
        name: task(reference_model(model, device, memory_format).requires_grad_(False), memory_format)
        for name, memory_format in FORMATS.items()
    }


@torch.no_grad()
def _work(model: VariationalMemoryAddressing, targets: Tensor, slots: Tensor, samples: int, draws: int = 20) -> Work:
    """How often each part runs, a mean over draws of the addresses."""
    addressing = model.address(targets, model.read(slots))
    used, pairs, B, S = 0, 0, len(targets), len(slots)
    for _ in range(draws):
        address = addressing.draw(samples)
        used += len(address.unique())
        pairs += len((address + S * torch.arange(B, device=address.device)[:, None]).unique())
    return Work(targets=B, slots=S, used=used / draws, pairs=pairs / draws, samples=B * samples)


def _targets(config: Config) -> int:
    return config.episode.classes * config.episode.targets


def _slots(config: Config) -> int:
    return config.episode.classes * few_shot.Options.of(config.episode).shots
