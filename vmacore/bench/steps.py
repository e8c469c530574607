"""What is timed, on random pixels: training steps of any model and of the plain reference, and scores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.bench.timing import Call
from vmacore.config import Config
from vmacore.episodes.base import Episode
from vmacore.estimators import Addresses, estimator_for
from vmacore.evaluation.likelihood import score_episodes
from vmacore.models import GenerativeModel
from vmacore.models.reference import ReferenceModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.weights import build_model
from vmacore.training.graphs import WARM_UP, Graphed, Update
from vmacore.training.step import Step

INK = 0.1378  # of Omniglot's pixels
EPISODES = 2  # of a score, which has a standard error
LEARNING_RATE = (
    0.0  # so that addresses stay as they are at first, when nearly all pairs differ: the most expensive case
)


def warm_up(device: torch.device | str) -> int:
    """Calls before those that are timed: they make what is made once, such as plans of convolutions and graphs."""
    return WARM_UP + 1 if torch.device(device).type == "cuda" else 1


def images(count: int, config: Config, device: torch.device | str = "cpu", seed: int = 0) -> Tensor:
    """Random binary images [count, 1, H, W] with as much ink as Omniglot."""
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 1, *config.model.size, generator=draw) < INK).float().to(device)


def vma_model(config: Config, device: torch.device | str = "cpu") -> VariationalMemoryAddressing:
    """The model of a configuration, freshly initialised.

    Raises:
        ValueError: the configuration is not of variational memory addressing.
    """
    model = build_model(config, device)
    if not isinstance(model, VariationalMemoryAddressing):
        raise ValueError(f"{config.model.system} has no reference to be measured beside")
    return model


def reference_model(
    model: VariationalMemoryAddressing, device: torch.device | str, memory_format: torch.memory_format
) -> ReferenceModel:
    """The same function with the same weights and nothing shared, its weights in that memory format."""
    reference = ReferenceModel(model.config).to(device)
    reference.load_state_dict(model.state_dict())
    return reference.to(memory_format=memory_format)


def training_step(
    model: GenerativeModel, config: Config, *, targets: int, slots: int, device: torch.device | str = "cpu"
) -> Call:
    """A step as in training: read, address, draw, bound, gradient, Adam; on CUDA as a graph, once warm.

    The configuration's precision decides whether the networks run in bfloat16.
    """
    estimator, optimiser = estimator_for(config.objective, model.addressed), _adam(model, device)
    step, seeds = Step(model, estimator), itertools.count()
    bfloat16 = config.training.precision == "bfloat16"
    episode = _episode(config, targets, slots, device)
    noise = torch.Generator(device)

    def update(episode: Episode, noise: torch.Generator) -> Tensor:
        metrics: Tensor
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bfloat16):
            loss, metrics = step(episode, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return metrics

    advance: Update = update
    if torch.device(device).type == "cuda":
        if isinstance(model, VariationalMemoryAddressing):
            model.shares_passes = False
        advance = Graphed(update, torch.device(device))
    return lambda: advance(episode, noise.manual_seed(next(seeds)))


def reference_step(
    model: ReferenceModel,
    config: Config,
    *,
    targets: int,
    slots: int,
    memory_format: torch.memory_format,
    device: torch.device | str = "cpu",
) -> Call:
    """The same step by the reference."""
    estimator, optimiser = estimator_for(config.objective), _adam(model, device)
    x = images(targets, config, device, seed=1).to(memory_format=memory_format)
    m = images(slots, config, device, seed=2).to(memory_format=memory_format)
    K = config.objective.samples

    def step() -> None:
        address = draw_addresses(model, x, m, K)  # the pass below computes the posterior again, with its gradient
        noise = torch.randn(targets * K, config.model.latent, device=device)
        addressing, log_terms = model(x, m, address, noise)
        loss = -estimator.objective(log_terms, addressing, Addresses(address)).surrogate.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def scoring(
    model: GenerativeModel,
    config: Config,
    *,
    targets: int,
    slots: int,
    samples: int,
    device: torch.device | str = "cpu",
) -> Call:
    """Scoring EPISODES episodes of so many targets, as `vma score` does."""
    sampler = _Same(_episode(config, targets, slots, device))

    def score() -> None:
        score_episodes(model, sampler, samples=samples, episodes=EPISODES, device=device)

    return score


@dataclass(frozen=True)
class _Same:
    """A sampler whose episodes are all the same."""

    episode: Episode

    def at(self, step: int) -> Episode:
        return self.episode


@torch.no_grad()
def draw_addresses(model: ReferenceModel, targets: Tensor, slots: Tensor, samples: int) -> Tensor:
    """a ~ q(a|x) of the reference, int64 [B, K]."""
    keys = model.embed(model.key_network, slots)
    q = (model.embed(model.h_q, targets) @ F.normalize(keys, dim=1).T).softmax(1)
    return q.multinomial(samples, replacement=True)


def _episode(config: Config, targets: int, slots: int, device: torch.device | str) -> Episode:
    none = torch.zeros(0, dtype=torch.int64)
    x, m = images(targets, config, device, seed=1), images(slots, config, device, seed=2)
    return Episode(x, m, none, none, none, none)


def _adam(model: nn.Module, device: torch.device | str) -> torch.optim.Adam:
    capturable = torch.device(device).type == "cuda"
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True, capturable=capturable)
