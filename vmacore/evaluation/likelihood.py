"""Likelihood bounds of held-out drawings, and where the nats go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.episodes.base import Sampler
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.episodes.none import MinibatchSampler
from vmacore.errors import VmaError
from vmacore.evaluation.errors import clustered_se, target_classes
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.objectives import importance_bound
from vmacore.seeds import Stream, generator


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Means over targets, in nats per image.

    nll: minus the K-sample bound; nll_se: its standard error. −elbo = reconstruction + kl_address + kl_latent, where
    kl_address is exact and kl_latent in closed form for each of the addresses drawn.
    """

    nll: float
    nll_se: float
    reconstruction: float
    kl_address: float
    kl_latent: float
    prior_entropy: float
    posterior_entropy: float
    targets: int
    slots: int

    @property
    def elbo(self) -> float:
        return -(self.reconstruction + self.kl_address + self.kl_latent)


@dataclass(frozen=True, kw_only=True)
class Score(Parts):
    """The parts over episodes; nll_se is over episodes, the drawings held fixed.

    nll_class_se: the standard error over the classes of the targets, None where all are of one; other classes would
    differ so much. kl_levels: what each latent has of kl_latent, coarse to fine, as the model's `latent_names`. For
    paired comparisons, per_episode: the NLL of each episode; per_target: of each target in it.
    """

    episodes: int
    nll_class_se: float | None = None
    kl_levels: tuple[float, ...] = ()
    per_episode: tuple[float, ...]
    per_target: tuple[tuple[float, ...], ...] = ()


def score(
    model: GenerativeModel,
    characters: Characters,
    *,
    classes: int,
    shots: int,
    samples: int,
    episodes: int,
    targets: int = 4,
    seed: int = 0,
    device: torch.device | str = "cpu",
    budget_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """The K-sample bound and its parts, over episodes that `seed` fixes.

    Every episode draws `classes` classes, `shots` slots and `targets` other drawings of each. Of a model with a learned
    memory the targets are drawings of all classes alike, classes · targets of them, and `shots` is not used.
    `budget_bytes` limits what decoding holds at a time, not the result (`decoded_at_once`). progress(done, total)
    counts episodes.

    Raises:
        VmaError: a split that cannot hold the episodes, images of another size, or counts below 1.
    """
    if min(samples, targets, shots, classes) < 1 or episodes < 2:
        raise VmaError("classes, shots, targets and samples must be at least 1, and episodes at least 2")
    check_size(model, characters)
    sampler: Sampler
    if model.learned_memory is not None:
        sampler = MinibatchSampler(characters, n_target=classes * targets, seed=seed, device=device)
    else:
        sampler = EpisodeSampler(characters, n_way=classes, n_shot=shots, n_target=targets, seed=seed, device=device)
    found = score_episodes(
        model,
        sampler,
        samples=samples,
        episodes=episodes,
        seed=seed,
        device=device,
        budget_bytes=budget_bytes,
        progress=progress,
    )
    drawn = target_classes(sampler, characters, episodes)
    if len(set(drawn)) < 2:
        return found
    each = torch.tensor(found.per_target, dtype=torch.float64).flatten()
    return replace(found, nll_class_se=clustered_se(each, drawn))


@torch.no_grad()
def score_episodes(
    model: GenerativeModel,
    sampler: Sampler,
    *,
    samples: int,
    episodes: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    budget_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """The K-sample bound and its parts over episodes 0 … episodes − 1 of a sampler.

    A learned memory takes the place of the episode's. `seed` decides the noise; the rest is as in `score`.
    """
    chunk = decoded_at_once(model, device, budget_bytes)
    rows, per_target = [], []
    for index in range(episodes):
        episode = sampler.at(index)
        slots = episode.memory if model.learned_memory is None else model.learned_memory()
        noise = generator(seed, index, Stream.NOISE, device)
        row, each = score_targets(model, episode.targets, model.read(slots, episode.mask), samples, noise, chunk)
        rows.append(row)
        per_target.append(tuple(each.tolist()))
        if progress:
            progress(index + 1, episodes)
    table = torch.stack(rows).cpu().double()  # [episodes, 6 + latents]
    means = table.mean(0).tolist()
    nll, reconstruction, kl_address, kl_latent, prior_entropy, posterior_entropy = means[:6]
    return Score(
        nll=nll,
        nll_se=float(table[:, 0].std()) / math.sqrt(episodes),
        reconstruction=reconstruction,
        kl_address=kl_address,
        kl_latent=kl_latent,
        prior_entropy=prior_entropy,
        posterior_entropy=posterior_entropy,
        targets=len(episode.targets) * episodes,
        episodes=episodes,
        slots=len(slots),
        kl_levels=tuple(means[6:]),
        per_episode=tuple(table[:, 0].tolist()),
        per_target=tuple(per_target),
    )


def score_targets(
    model: GenerativeModel,
    targets: Tensor,
    memory: EncodedMemory,
    samples: int,
    noise: torch.Generator,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Means over the targets [6 + latents]: the `Parts`, and the KL of each latent. And minus the bound of each [B]."""
    addressing = model.address(targets, memory)
    address = addressing.draw(samples, noise)
    log_terms = model.log_terms(targets, memory, address, noise, chunk)
    log_w = log_terms.log_weight + addressing.log_weight(address)
    nll = -importance_bound(log_w)
    means = torch.stack(
        [
            nll.mean(),
            -log_terms.log_px.mean(),
            addressing.kl().mean(),
            log_terms.kl_z.mean(),
            addressing.prior_entropy(),
            addressing.posterior_entropy().mean(),
            *log_terms.kl.mean((1, 2)),
        ]
    )
    return means, nll


def decoded_at_once(model: GenerativeModel, device: torch.device | str, budget_bytes: int | None = None) -> int:
    """How many samples fit into a budget: by default 64 MiB on a processor, whose caches that suits, else 1 GiB."""
    budget = budget_bytes or (2**26 if torch.device(device).type == "cpu" else 2**30)
    return max(1, budget // model.bytes_per_sample)


def check_size(model: GenerativeModel, characters: Characters) -> None:
    """Check that the model reads such images.

    Raises:
        VmaError: the model reads images of another size, or in another view.
    """
    if model.size != characters.size:
        have, want = characters.size, model.size
        raise VmaError(f"images are {have[0]}×{have[1]}, but the model reads {want[0]}×{want[1]}: use its own data set")
    if model.config.view != characters.view:
        raise VmaError(
            f"images are in the view {characters.view!r}, but the model reads {model.config.view!r}: "
            f"load the data set with view={model.config.view!r}"
        )
