"""Measuring gradient estimators: bias, variance and time of the gradients that decide where to look.

Those are the gradients of h (key_network), h_q (query_network) and e_p (query_point). They pass through log q(a|x)
and log p(a) alone. So estimators are run on a table of log weights with several z for every (target, slot), and only
their gradient in those two is sent back through the networks: as many repetitions as one likes, and the exact gradient
of the ELBO beside them. Relaxed addresses, which are not in the table, go through the model.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.episodes.base import Episode
from vmacore.errors import VmaError
from vmacore.estimators import Addresses, Estimator, estimator_for
from vmacore.estimators.vimco import Vimco
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.terms import LogTerms
from vmacore.models.vma import VariationalMemoryAddressing

GROUPS = {"h": "key_network", "h_q": "query_network", "e_p": "query_point"}
# What an estimator's expected gradient is held against first; of a relaxed bound it is exact by construction.
OBJECTIVES = {
    "vimco": "bound", "vimco-geometric": "bound", "nvil": "ELBO", "rloo": "ELBO", "rws": "wake", "rws-pathwise": "wake",
    "gumbel": "relaxed", "st-gumbel": "bound", "enumeration": "ELBO", "top-k": "ELBO",
}  # fmt: skip


@dataclass(frozen=True)
class Bias:
    """|E g − reference| / |reference|: 0 where the repetitions cannot tell it from 0; and what it is at most (95 %)."""

    value: float
    at_most: float


@dataclass(frozen=True)
class GradientQuality:
    """An estimator at one checkpoint; each by group (h, h_q, e_p), pooled over episodes.

    bias: by reference: its "own" objective, the K-sample "bound", the "ELBO". variance: trace of Cov(g) of a step.
    noise: variance / |E g|², which counts for no less than its standard error. seconds: of a training step.
    """

    estimator: str
    objective: str
    bias: dict[str, dict[str, Bias]]
    variance: dict[str, float]
    noise: dict[str, float]
    seconds: float

    def noise_at_equal_time(self, other: GradientQuality) -> dict[str, float]:
        """noise · seconds as a multiple of another estimator's: what is left after averaging for the same time."""
        return {group: self.noise[group] * self.seconds / (other.noise[group] * other.seconds) for group in self.noise}


@dataclass(frozen=True)
class CheckpointQuality:
    """All estimators at one checkpoint; entropy: of q(a|x), nats, mean over the episodes' targets."""

    entropy: float
    estimators: list[GradientQuality]


class _Episode:
    """One minibatch with everything that estimators repeat on it."""

    def __init__(
        self, model: VariationalMemoryAddressing, episode: Episode, latents: int, noise: torch.Generator
    ) -> None:
        if model.query_point is None or model.config.tied or model.learned_memory is not None:
            raise VmaError(
                "gradients of h, h_q and e_p are compared on a few-shot model, untied and with a learned p(a)"
            )
        self.model, self.targets, self.noise = model, episode.targets, noise
        self.parameters = {
            group: [weight for name, weight in model.named_parameters() if name.startswith(prefix)]
            for group, prefix in GROUPS.items()
        }
        for weight in model.parameters():
            weight.requires_grad_(False)
        for weight in (weight for weights in self.parameters.values() for weight in weights):
            weight.requires_grad_(True)
        self.memory: EncodedMemory = model.read(episode.memory)
        self.attached = model.address(episode.targets, self.memory)
        self.leaf = Addressing(*(term.detach().requires_grad_() for term in (self.attached.log_q, self.attached.log_p)))
        B, S = self.leaf.log_q.shape
        self.latents = latents
        with torch.no_grad():
            every = torch.arange(S, device=self.targets.device).repeat_interleave(latents).expand(B, -1)
            self.table = model.log_terms(self.targets, self.memory, every, noise, chunk=2048)  # each [B, S · latents]

    def gradient(self, estimator: Estimator) -> Tensor:
        """One step's gradient in log q(a|x) and log p(a), of the mean over targets, flat [B · S + S]."""
        drawn = estimator.draw(self.leaf, self.noise)
        if drawn.relaxed is None:
            which = torch.randint(self.latents, drawn.address.shape, generator=self.noise, device=drawn.address.device)
            log_terms = self._looked_up(drawn.address * self.latents + which)
        else:
            log_terms = drawn.terms(self.model, self.targets, self.memory, self.noise)
        return self._in_addressing(estimator.objective(log_terms, self.leaf, drawn).surrogate.mean())

    def bound(self, samples: int, repetitions: int) -> Tensor:
        """The gradient of the K-sample bound, as `gradient` has it: VIMCO's, repeated so often that it is exact."""
        estimator, found = Vimco(samples), []
        B, at_once = len(self.targets), 500
        for _ in range(repetitions // at_once):
            rows = Addressing(self.leaf.log_q.repeat(at_once, 1), self.leaf.log_p)
            address = rows.draw(samples, self.noise)
            which = torch.randint(self.latents, address.shape, generator=self.noise, device=address.device)
            log_terms = self._looked_up(
                address * self.latents + which, torch.arange(len(address), device=address.device) % B
            )
            surrogate = estimator.objective(log_terms, rows, Addresses(address)).surrogate
            found.append(self._in_addressing(surrogate.mean()))
        return torch.stack(found).mean(0)

    def elbo(self) -> Tensor:
        """The gradient of the ELBO, exact: a sum over slots."""
        B, S = self.leaf.log_q.shape
        log_weight = self.table.log_weight.view(B, S, -1).mean(2)
        log_w = log_weight + self.leaf.log_p - self.leaf.log_q
        return self._in_addressing((self.leaf.log_q.exp() * log_w).sum(1).mean())

    def wake(self, bound: Tensor) -> Tensor:
        """What reweighted wake-sleep follows with infinitely many samples in q, and with K in p."""
        B, S = self.leaf.log_q.shape
        log_joint = self.table.log_weight.view(B, S, -1).logsumexp(2) + self.leaf.log_p
        own = self._in_addressing((log_joint.softmax(1).detach() * self.leaf.log_q).sum(1).mean())
        own[B * S :] = bound[B * S :]
        return own

    def in_weights(self, gradient: Tensor) -> dict[str, Tensor]:
        """A gradient in log q(a|x) and log p(a) sent back into the networks, flat by group."""
        B, S = self.attached.log_q.shape
        weights = [weight for group in self.parameters.values() for weight in group]
        found = torch.autograd.grad(
            (self.attached.log_q, self.attached.log_p),
            weights,
            (gradient[: B * S].view(B, S), gradient[B * S :]),
            retain_graph=True,
        )
        by_weight = dict(zip(map(id, weights), found, strict=True))
        return {
            group: torch.cat([by_weight[id(weight)].flatten() for weight in members])
            for group, members in self.parameters.items()
        }

    def _looked_up(self, index: Tensor, target: Tensor | None = None) -> LogTerms:
        table = self.table
        terms = (table.log_px, table.log_pz, table.log_qz, table.kl_z)
        return LogTerms(*((term if target is None else term[target]).gather(1, index) for term in terms))

    def _in_addressing(self, surrogate: Tensor) -> Tensor:
        leaves = (self.leaf.log_q, self.leaf.log_p)
        found = torch.autograd.grad(surrogate, leaves, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(leaf) if one is None else one).flatten()
                for leaf, one in zip(leaves, found, strict=True)
            ]
        )


class _Pooled:
    """Sums over episodes of one estimator's squared distances, variances and squared means, by group."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sums: dict[tuple[str, str], float] = {}

    def add(self, what: str, group: str, value: Tensor | float) -> None:
        self.sums[what, group] = self.sums.get((what, group), 0.0) + float(value)

    def ratio(self, above: str, below: str) -> dict[str, float]:
        return {group: self.sums[above, group] / self.sums[below, group] for group in GROUPS}

    def bias(self, to: str) -> dict[str, Bias]:
        squares = self.ratio(f"distance {to}", f"square {to}")
        found = {}
        for group in GROUPS:
            square = squares[group]
            # Errors of episodes are independent: their variances add.
            error = 2 * math.sqrt(self.sums[f"error {to}", group]) / self.sums[f"square {to}", group]
            found[group] = Bias(math.sqrt(square) if square > error else 0.0, math.sqrt(max(0.0, square) + error))
        return found


@dataclass(frozen=True)
class Repetitions:
    """How often what is random is drawn.

    latents: z of each (target, slot). steps: whose mean gradient stands for an expectation; relaxed: fewer, where every
    one needs the decoder's gradient. variance: steps that give the variance. bound: steps of VIMCO, by which the
    gradient of the K-sample bound is known; a multiple of 500.
    """

    latents: int = 16
    steps: int = 500
    relaxed: int = 60
    variance: int = 48
    bound: int = 20_000


def gradient_quality(
    model: VariationalMemoryAddressing,
    episodes: Sequence[Episode],
    objective: ObjectiveConfig,
    seconds: Mapping[str, float],
    *,
    repetitions: Repetitions | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda name: None,
) -> CheckpointQuality:
    """Bias and variance of estimators at a model's weights, over episodes that are given.

    seconds: of a training step, by name of the estimators. `model` is left without gradients.

    Raises:
        VmaError: a model whose memory is learned, or without one of h, h_q and e_p of its own.
    """
    repetitions = repetitions or Repetitions()
    noise = torch.Generator(episodes[0].targets.device).manual_seed(seed)
    pooled = [_Pooled(name) for name in seconds]
    entropy = 0.0
    for episode in episodes:
        on = _Episode(model, episode, repetitions.latents, noise)
        entropy += float(on.leaf.posterior_entropy().mean().detach()) / len(episodes)
        bound = on.bound(objective.samples, repetitions.bound)
        references = {"bound": bound, "ELBO": on.elbo(), "wake": on.wake(bound)}
        in_weights = {name: on.in_weights(reference) for name, reference in references.items()}
        for one in pooled:
            progress(one.name)
            often = repetitions.relaxed if one.name in ("gumbel", "st-gumbel") else repetitions.steps
            estimator = estimator_for(objective.changed(estimator=one.name))
            steps = torch.stack([on.gradient(estimator) for _ in range(often)])
            _add(one, on, steps, in_weights, repetitions.variance)
    model.requires_grad_(False)
    qualities = [
        GradientQuality(
            one.name,
            OBJECTIVES[one.name],
            {to: one.bias(to) for to in ("own", "bound", "ELBO")},
            one.ratio("variance", "episodes"),
            one.ratio("variance", "mean"),
            seconds[one.name],
        )
        for one in pooled
    ]
    return CheckpointQuality(entropy, qualities)


def _add(
    pooled: _Pooled, on: _Episode, steps: Tensor, references: Mapping[str, dict[str, Tensor]], measured: int
) -> None:
    """One episode's share: gradients of many steps [N, …], of which the first `measured` give the variance."""
    blocks = [on.in_weights(block.mean(0)) for block in steps.chunk(10)]
    alone = [on.in_weights(step) for step in steps[:measured]]
    own = OBJECTIVES[pooled.name]
    for group in GROUPS:
        means = torch.stack([block[group] for block in blocks]).double()
        mean = means.mean(0)
        for to, name in (("own", own), ("bound", "bound"), ("ELBO", "ELBO")):
            true = references[name][group].double() if name in references else mean
            distance, error = squared_norm(means - true) if name in references else (0.0, 0.0)
            pooled.add(f"distance {to}", group, distance)
            pooled.add(f"error {to}", group, error**2)
            pooled.add(f"square {to}", group, true @ true)
        centred = torch.stack([step[group] for step in alone]) - mean
        pooled.add("variance", group, centred.square().sum() / len(alone))
        pooled.add("mean", group, max(squared_norm(means)))  # no less than its error, or it could be 0
        pooled.add("episodes", group, 1.0)


def squared_norm(samples: Tensor) -> tuple[float, float]:
    """|E v|² from independent samples v [N, D], without the bias of their noise, and its standard error (jackknife).

    The products of different samples alone count, so that what is 0 is found negative as often as positive.
    """
    products = samples @ samples.T
    N, itself, rows = len(products), products.diagonal().sum(), products.sum(1)
    total = products.sum() - itself
    without = (total - 2 * (rows - products.diagonal())) / ((N - 1) * (N - 2))  # each left out in turn
    error = ((N - 1) / N * (without - without.mean()).square().sum()).sqrt()
    return float(total / (N * (N - 1))), float(error)


def step_seconds(
    model: VariationalMemoryAddressing,
    episode: Episode,
    objective: ObjectiveConfig,
    names: Sequence[str],
    rounds: int = 5,
) -> dict[str, float]:
    """Seconds of a training step, optimiser included: medians, all estimators in turns.

    On a CPU, seconds of its own time, which other processes on the machine disturb less. `model` is not changed.
    """
    trained = copy.deepcopy(model).requires_grad_(True)
    optimiser = torch.optim.Adam(trained.parameters(), lr=0.0, fused=True)
    on_gpu = episode.targets.is_cuda

    def step(estimator: Estimator) -> None:
        memory = trained.read(episode.memory)
        addressing = trained.address(episode.targets, memory)
        drawn = estimator.draw(addressing)
        log_terms = drawn.terms(trained, episode.targets, memory)
        optimiser.zero_grad()
        (-estimator.objective(log_terms, addressing, drawn).surrogate.mean()).backward()
        optimiser.step()

    def now() -> float:
        if on_gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time() / torch.get_num_threads()

    estimators = {name: estimator_for(objective.changed(estimator=name)) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):  # the first is not counted
        for name, estimator in estimators.items():
            start = now()
            step(estimator)
            if turn:
                times[name].append(now() - start)
    return {name: sorted(taken)[len(taken) // 2] for name, taken in times.items()}
