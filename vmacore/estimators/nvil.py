"""NVIL: REINFORCE with a baseline that depends on the input."""

from __future__ import annotations

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.distributed import everyone, own_rows
from vmacore.estimators.base import Addresses, log_weights
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, neighbours, reinforce


class Nvil:
    """K addresses from q(a|x), the ELBO, a prediction of log w from x as baseline. Unbiased for the ELBO.

    Mnih & Gregor, *Neural variational inference and learning in belief networks* (2014). Their baseline is a network
    with a moving average beside it. Here it is the mean log w of the minibatch's other targets, weighted by how likely
    they are to address the same slot (`neighbours`): it depends on x through h_q, is never out of date, and has no
    state of its own to train and save. Their division by a moving standard deviation makes the gradient that of no
    objective, and is left out. A minibatch of one target has no baseline.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """a ~ q(a|x), [B, K]."""
        return Addresses(addressing.draw(self.samples, generator))

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The K-sample bound to report, the gradient of the ELBO [B]."""
        log_w, log_qa = log_weights(log_terms, addressing, drawn)
        baseline = neighbours(everyone(log_w), everyone(addressing.log_q))  # of the whole minibatch
        return reinforce(log_w, log_qa, own_rows(baseline))


def make(config: ObjectiveConfig) -> Nvil:
    """As configured."""
    return Nvil(config.samples)
