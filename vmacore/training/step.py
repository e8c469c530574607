"""The training step up to its loss: read, address, draw, bound; and what labels add to it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vmacore.addressing import Addressing, address_posterior
from vmacore.config import LabelsConfig, ObjectiveConfig
from vmacore.episodes.base import Episode
from vmacore.estimators import Estimator
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing

METRICS = ("nll", "elbo", "reconstruction", "kl_address", "kl_latent", "prior_entropy", "posterior_entropy")


class Step(nn.Module):
    """A step up to its loss, as one module, so that torch can wrap it: read, address, draw, bound."""

    def __init__(
        self,
        model: GenerativeModel,
        estimator: Estimator,
        config: ObjectiveConfig | None = None,
        labels: LabelsConfig | None = None,
    ) -> None:
        super().__init__()
        self.model, self.estimator, self.config = model, estimator, config or ObjectiveConfig()
        self.labels = labels or LabelsConfig()

    def forward(self, episode: Episode, noise: torch.Generator, batch: Episode | None = None) -> tuple[Tensor, Tensor]:
        """Minus the surrogate, of which the gradient alone means something, and the METRICS; means over the targets.

        batch: drawings in memory that labels teach h with.
        """
        model, targets, config = self.model, episode.targets, self.config
        taught = None if batch is None else self.labels.weight * self.of_labels(batch)
        if taught is not None and config.trains == "addresses":
            none = taught.new_zeros(())
            return -taught, torch.stack([-taught.detach() / self.labels.weight, *[none] * (len(METRICS) - 1)])
        slots = episode.memory if model.learned_memory is None else model.learned_memory()
        memory = model.read(slots, episode.mask)
        addressing = model.address(targets, memory)
        drawn = self.estimator.draw(addressing, noise)
        log_terms = drawn.terms(model, targets, memory, noise)
        objective = self.estimator.objective(log_terms, addressing, drawn)
        with torch.no_grad():
            reconstruction, kl_z = -drawn.mean(log_terms.log_px).mean(), drawn.mean(log_terms.kl_z).mean()
            kl_a = addressing.kl().mean()
            entropies = [addressing.prior_entropy(), addressing.posterior_entropy().mean()]
            elbo = -(reconstruction + kl_a + kl_z)
            metrics = torch.stack([-objective.bound.mean(), elbo, reconstruction, kl_a, kl_z, *entropies])
        loss = -objective.surrogate.mean()
        return loss if taught is None else loss - taught, metrics

    def of_labels(self, batch: Episode) -> Tensor:
        """The mean log Σ_{a∈c} q(a|x) of a batch's drawings x among the others, c the class of x."""
        model = self.model
        assert isinstance(model, VariationalMemoryAddressing)
        keys = model.key_network(batch.memory)
        return own_class_of_slots(keys, batch.memory_labels, model.config.similarity)


@torch.no_grad()
def address_metrics(addressing: Addressing, episode: Episode) -> Tensor:
    """The METRICS where nothing is decoded: nll is of the class, not of the image, and there is no reconstruction."""
    nll = -own_class(addressing.log_q, episode.target_labels, episode.memory_labels).mean()
    none = torch.zeros_like(nll)
    kl_a, entropies = addressing.kl().mean(), (addressing.prior_entropy(), addressing.posterior_entropy().mean())
    return torch.stack([nll, none, none, kl_a, none, *entropies])


def own_class(log_q: Tensor, labels: Tensor, memory_labels: Tensor) -> Tensor:
    """log Σ_{a∈c} q(a|x) [B] for the class c of each target, labels [B], which has slots in memory."""
    others = labels[:, None] != memory_labels
    return log_q.masked_fill(others, -math.inf).logsumexp(1)


def own_class_of_slots(keys: Tensor, labels: Tensor, similarity: str) -> Tensor:
    """The mean `own_class` of slots, each taken for a target with itself out of the memory, for h_q = h.

    keys: e_a [S, E]. labels: int64 [S].

    Over the slots with another of their class; 0 if there is none. The embeddings are there already, so that this costs
    next to nothing (neighbourhood components analysis, Goldberger et al. 2004).
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    alike = (labels[:, None] == labels) & ~itself
    with_another = alike.any(1)
    scores = address_posterior(keys, keys, similarity)
    # A slot that is alone counts itself, and as the only one of its class has a constant in place of −∞.
    alone = itself & ~with_another[:, None]
    log_q = scores.masked_fill(itself & ~alone, -math.inf).log_softmax(1)
    own = log_q.masked_fill(~(alike | alone), -math.inf).logsumexp(1)
    return own.masked_fill(~with_another, 0.0).sum() / with_another.sum().clamp(min=1)
