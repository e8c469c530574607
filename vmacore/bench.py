"""Measuring: what a training step takes, beside the plain reference and beside its floor, all in one run.

Timings on a shared machine drift, so everything compared is measured in turns within one run and reported as ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vmacore.config import Config
from vmacore.estimators import Drawn, estimator_for
from vmacore.models.reference import ReferenceModel
from vmacore.models.vma import VariationalMemoryAddressing


@dataclass(frozen=True)
class StepTimes:
    """Medians over the rounds.

    seconds: of a training step, by implementation. flops: floating-point operations of our step, forward and backward,
    as counted. rate: FLOP/s that a large convolution reached in the same run.
    """

    seconds: dict[str, float]
    flops: int
    rate: float

    @property
    def floor(self) -> float:
        """Seconds that our step's operations would take at that rate."""
        return self.flops / self.rate


def training_step_times(config: Config, *, rounds: int = 15, device: torch.device | str = "cpu") -> StepTimes:
    """Time a training step, optimiser included, of the model and of the reference in both memory formats.

    Random images of Omniglot's ink fraction and fresh weights: nearly all (target, address) pairs differ, the most
    expensive case.
    """
    torch.manual_seed(config.training.seed)
    ours = VariationalMemoryAddressing(config.model).to(device).to(memory_format=torch.channels_last)
    steps: dict[str, Callable[[], None]] = {"vma": _our_step(ours, config, device)}
    for name, memory_format in (
        ("reference, channels_last", torch.channels_last),
        ("reference, contiguous", torch.contiguous_format),
    ):
        reference = ReferenceModel(config.model).to(device)
        reference.load_state_dict(ours.state_dict())
        reference = reference.to(memory_format=memory_format)
        steps[name] = _reference_step(reference, config, device, memory_format)
    convolution, flops_of_convolution = _large_convolution(device)

    for step in (*steps.values(), convolution):
        step()
    with FlopCounterMode(display=False) as counter:
        steps["vma"]()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    rates = []
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(_timed(step, device))
        rates.append(flops_of_convolution / _timed(convolution, device))
    medians = {name: _median(times) for name, times in seconds.items()}
    return StepTimes(medians, counter.get_total_flops(), _median(rates))


def _images(count: int, config: Config, device: torch.device | str) -> torch.Tensor:
    return (torch.rand(count, 1, *config.model.size, device=device) < 0.1378).float()


def _our_step(model: VariationalMemoryAddressing, config: Config, device: torch.device | str) -> Callable[[], None]:
    episode, optimiser = config.episode, _adam(model, config)
    targets = _images(episode.classes * episode.targets, config, device)
    slots = _images(episode.classes * episode.shots, config, device)
    estimator = estimator_for(config.objective)

    def step() -> None:
        memory = model.read(slots)
        addressing = model.address(targets, memory)
        drawn = estimator.draw(addressing)
        draws = drawn.terms(model, targets, memory)
        loss = -estimator.objective(draws, addressing, drawn).surrogate.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _reference_step(
    model: ReferenceModel, config: Config, device: torch.device | str, memory_format: torch.memory_format
) -> Callable[[], None]:
    episode, optimiser = config.episode, _adam(model, config)
    B, K = episode.classes * episode.targets, config.objective.samples
    targets = _images(B, config, device).to(memory_format=memory_format)
    slots = _images(episode.classes * episode.shots, config, device).to(memory_format=memory_format)
    estimator = estimator_for(config.objective)

    def step() -> None:
        with torch.no_grad():  # drawing addresses needs the posterior; the pass below computes it again with gradient
            keys = model.embed(model.key_network, slots)
            log_q = (model.embed(model.query_network, targets) @ F.normalize(keys, dim=1).T).softmax(1)
            address = log_q.multinomial(K, replacement=True)
        noise = torch.randn(B * K, config.model.latent, device=device)
        addressing, draws = model(targets, slots, address, noise)
        loss = -estimator.objective(draws, addressing, Drawn(address)).surrogate.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _adam(model: nn.Module, config: Config) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=config.optimiser.learning_rate, fused=True)


def _large_convolution(device: torch.device | str) -> tuple[Callable[[], None], int]:
    """A forward convolution of 128 maps at 26×26, and its floating-point operations."""
    N, C, side = 64, 128, 26
    x = torch.randn(N, C, side, side, device=device).to(memory_format=torch.channels_last)
    weight = torch.randn(C, C, 3, 3, device=device).to(memory_format=torch.channels_last)

    def convolve() -> None:
        with torch.no_grad():
            F.conv2d(x, weight, padding=1)

    return convolve, 2 * 9 * N * C * C * side * side


def _timed(step: Callable[[], None], device: torch.device | str) -> float:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
