"""Whether samples keep their class and vary as people's drawings do (after Boutin et al. 2022).

A judge, h of a model that saw none of the classes, embeds images. A sample is recognised if the nearest of the classes'
means is that of the class of its slot; the mean of a class is of real drawings that were neither slot nor sample.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.data.views import pixels_of
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.sampling import draw_means
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

WAY = 20  # classes that a sample is recognised among
REFERENCES = 5  # real drawings in a class's mean
EACH = 4  # samples, and real drawings beside them, of a class


class Recognition(NamedTuple):
    """The part recognised, and the spread, 1 − the mean cosine of two of one class: each [episodes]."""

    recognised: Tensor
    spread: Tensor


@torch.no_grad()
def recognise(
    judge: VariationalMemoryAddressing,
    characters: Characters,
    model: GenerativeModel | None = None,
    *,
    temperature: float = 1.0,
    candidates: int = 1,
    episodes: int = 25,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Recognition:
    """Samples of a model that has a drawing of each of WAY classes in memory; real drawings in their place if None.

    A pixel is ink where its mean is above a half. A model that draws no address samples without regard to the class.
    judge: reads pixels. characters: in the view of the model; the same episodes in each view.

    Raises:
        VmaError: the split has fewer than WAY classes, or a class too few drawings.
    """
    sampler = EpisodeSampler(characters, n_way=WAY, n_shot=1, n_target=REFERENCES + EACH, seed=seed, device=device)
    rows = []
    for index in range(episodes):
        episode = sampler.at(index)
        real = pixels_of(episode.targets) if characters.finer else episode.targets
        drawings = real.unflatten(0, (WAY, REFERENCES + EACH))
        shown = drawings[:, REFERENCES:].flatten(0, 1)
        if model is not None:
            noise = generator(seed, index, Stream.NOISE, device)
            slot = torch.arange(WAY, device=shown.device).repeat_interleave(EACH)
            means = draw_means(model, model.read(episode.memory), slot, noise, temperature, candidates)
            shown = (means > 0.5).float().view_as(shown)
        references = embedded(judge, drawings[:, :REFERENCES].flatten(0, 1)).unflatten(0, (WAY, REFERENCES)).mean(1)
        found = embedded(judge, shown)
        nearest = (found @ F.normalize(references, dim=1).T).argmax(1)
        own = torch.arange(WAY, device=nearest.device).repeat_interleave(EACH)
        of_class = found.unflatten(0, (WAY, EACH))
        cosines = of_class @ of_class.transpose(1, 2)  # [WAY, EACH, EACH]
        apart = (EACH**2 - cosines.sum((1, 2))) / (EACH * (EACH - 1))  # each has cosine 1 with itself
        rows.append(torch.stack([(nearest == own).float().mean(), apart.mean()]))
    return Recognition(*torch.stack(rows, 1).cpu().double())


def embedded(judge: VariationalMemoryAddressing, images: Tensor) -> Tensor:
    """Embeddings by h at unit length [N, E] of pixels [N, 1, H, W]."""
    return F.normalize(judge.keys(images), dim=1)
