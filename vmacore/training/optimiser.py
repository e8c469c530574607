"""Adam, how its rate rises and falls, and its state in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmacore.config import OptimiserConfig
from vmacore.errors import VmaError
from vmacore.models.base import GenerativeModel
from vmacore.runs.directory import MOMENTS
from vmacore.runs.weights import read_tensors


def rate_factor(config: OptimiserConfig, step: int, steps: int) -> float:
    """The factor of the rate in update `step` (from 0) of `steps`, in [0, 1]; 1 without warm-up and decay.

    It rises linearly over the first `warmup` updates and falls linearly to 0 over the last `decay` · `steps`. Nothing
    else matters, so a run that was stopped goes on as if it never had been; to ask for more steps moves the fall.
    """
    rise = (step + 1) / (config.warmup + 1)
    fall = (steps - step) / (config.decay * steps) if config.decay else 1.0
    return max(0.0, min(1.0, rise, fall))


class Optimiser:
    """Adam with L2 as configured. capturable: a CUDA graph may record its steps."""

    def __init__(self, model: GenerativeModel, config: OptimiserConfig, *, capturable: bool = False) -> None:
        self.config = config
        memory = model.learned_memory
        slots = set() if memory is None else set(memory.parameters())
        self.weights = dict(model.named_parameters())
        # Learned slots are what a memory holds, not weights: L2 spares them (section 4.2).
        groups: list[dict[str, Any]] = [{"params": [weight for weight in self.weights.values() if weight not in slots]}]
        if slots:
            groups.append({"params": list(slots), "weight_decay": 0.0})
        self.scheduled = config.warmup > 0 or config.decay > 0
        rate: float | Tensor = config.learning_rate
        if capturable and self.scheduled:  # a number would stay as it was recorded
            rate = torch.tensor(config.learning_rate, device=next(model.parameters()).device)
        self.adam = torch.optim.Adam(
            groups,
            lr=rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
            capturable=capturable,
        )

    def set_rates(self, step: int, steps: int) -> None:
        """The rate of update `step` (from 0) of `steps`. Call it before the update, outside of what is recorded."""
        if not self.scheduled:
            return
        rate = rate_factor(self.config, step, steps) * self.config.learning_rate
        for group in self.adam.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.adam.zero_grad()

    def step(self) -> None:
        """Move the weights by their gradients."""
        self.adam.step()

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Everything that later steps depend on, by file of a checkpoint and weight, in the weight's shape."""
        return {
            file: {
                name: self.adam.state[weight].get(moment, torch.zeros_like(weight))
                for name, weight in self.weights.items()
            }
            for moment, file in MOMENTS.items()
        }

    def restore(self, folder: Path, step: int) -> None:
        """Take up the state that a checkpoint of `step` holds.

        Raises:
            VmaError: a file or a weight in it is missing, damaged or of another shape.
        """
        moments = {moment: _stored(folder / file, self.weights) for moment, file in MOMENTS.items()}
        for name, weight in self.weights.items():
            state: dict[str, Tensor] = {"step": torch.tensor(float(step), device=weight.device)}
            for moment, stored in moments.items():
                # The strides of the weight, without which the fused optimiser would take another path.
                state[moment] = torch.empty_like(weight).copy_(stored[name])
            self.adam.state[weight] = state


def _stored(file: Path, weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    stored = read_tensors(file)
    for name, weight in weights.items():
        if name not in stored or stored[name].shape != weight.shape:
            raise VmaError(f"{file}: {name} is missing or of another shape")
    return stored
