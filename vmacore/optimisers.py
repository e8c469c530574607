"""What moves the weights: Adam, or Muon for the matrices among them, and how their rates rise and fall.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) steps along the momentum's nearest orthogonal
matrix, so that no direction of a matrix is left behind. Its steps are scaled to the size of Adam's (Liu et al. 2025,
arXiv:2502.16982), and a kernel is a matrix with a row for each slice of its first dimension.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmacore import checkpoint as ckpt
from vmacore.config import OptimiserConfig
from vmacore.errors import VmaError
from vmacore.models.base import GenerativeModel

SMALLEST_SIDE = 16  # of a matrix that Muon moves; a thinner one has too few directions to balance


def rate_factor(config: OptimiserConfig, step: int, steps: int) -> float:
    """What every rate is multiplied by in update `step` (from 0) of `steps`, in [0, 1]; 1 without warm-up and decay.

    It rises linearly over the first `warmup` updates and falls linearly to 0 over the last `decay` · `steps`. Nothing
    else matters, so a run that was stopped goes on as if it never had been; to ask for more steps moves the fall.
    """
    rise = (step + 1) / (config.warmup + 1)
    fall = (steps - step) / (config.decay * steps) if config.decay else 1.0
    return max(0.0, min(1.0, rise, fall))


class Matrix:
    """A weight [A, …] as the matrix [A, B] in the same memory, which is what torch's Muon takes.

    The columns come in the order of memory. Any order would do: the orthogonal matrix nearest to one with permuted
    columns is permuted alike.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        self.weight = weight
        self.order = (0, *sorted(range(1, weight.ndim), key=weight.stride, reverse=True))
        ordered = weight.detach().permute(self.order)
        self.parameter = nn.Parameter(ordered.view(len(weight), -1))  # a view, or an error
        self._ordered = ordered.shape

    def flat(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as the matrix [A, B], contiguous whatever its strides."""
        return tensor.permute(self.order).flatten(1).contiguous()

    def folded(self, matrix: Tensor) -> Tensor:
        """The inverse of `flat`, as a view."""
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return matrix.view(self._ordered).permute(inverse)


class Optimiser:
    """Adam with L2 as configured; with "muon", Muon for the matrices and Adam for the rest.

    capturable: steps may be recorded in a CUDA graph. Muon's may not, since it reads its rate on the host.

    Raises:
        VmaError: Muon is asked for, and no weight is a matrix for it.
    """

    def __init__(self, model: GenerativeModel, config: OptimiserConfig, *, capturable: bool = False) -> None:
        self.config = config
        memory = model.learned_memory
        slots = set() if memory is None else set(memory.parameters())
        named = dict(model.named_parameters())
        self.matrices: dict[str, Matrix] = {}
        if config.name == "muon":
            if capturable:
                raise ValueError("Muon's steps cannot be recorded")
            kept = slots | {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
            chosen = {name: weight for name, weight in named.items() if weight not in kept and _is_matrix(weight)}
            self.matrices = {name: Matrix(weight) for name, weight in chosen.items()}
            if not self.matrices:
                raise VmaError(
                    f"no weight of this model is a matrix of {SMALLEST_SIDE} by {SMALLEST_SIDE} or more: "
                    "set optimiser.name to adam"
                )
        self.rest = {name: weight for name, weight in named.items() if name not in self.matrices}
        # Learned slots are what a memory holds, not weights: L2 spares them (section 4.2).
        groups: list[dict[str, Any]] = [{"params": [weight for weight in self.rest.values() if weight not in slots]}]
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
        self.muon: torch.optim.Muon | None = None
        if self.matrices:
            self.muon = torch.optim.Muon(
                [matrix.parameter for matrix in self.matrices.values()],
                lr=config.matrix_rate,
                weight_decay=config.matrix_decay,
                momentum=0.95,
                nesterov=True,
                adjust_lr_fn="match_rms_adamw",
            )

    def set_rates(self, step: int, steps: int) -> None:
        """The rates of update `step` (from 0) of `steps`. To be called before it, outside of what is recorded."""
        if not self.scheduled:
            return
        factor = rate_factor(self.config, step, steps)
        rates = [(group, self.config.learning_rate) for group in self.adam.param_groups]
        rates += [(group, self.config.matrix_rate) for group in self.muon.param_groups] if self.muon else []
        for group, rate in rates:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(factor * rate)
            else:
                group["lr"] = factor * rate

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.adam.zero_grad()
        for matrix in self.matrices.values():
            matrix.weight.grad = matrix.parameter.grad = None

    def step(self) -> None:
        """Move the weights by their gradients."""
        self.adam.step()
        if self.muon is None:
            return
        for matrix in self.matrices.values():
            gradient = matrix.weight.grad
            matrix.parameter.grad = None if gradient is None else matrix.flat(gradient)
        self.muon.step()

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Everything that later steps depend on, by file of a checkpoint and weight, in the weight's shape."""
        found = {}
        for moment, file in ckpt.MOMENTS.items():
            states = {name: (weight, self.adam.state[weight]) for name, weight in self.rest.items()}
            found[file] = {
                name: state.get(moment, torch.zeros_like(weight)) for name, (weight, state) in states.items()
            }
        if self.muon is not None:
            momentum = {}
            for name, matrix in self.matrices.items():
                state = self.muon.state[matrix.parameter]
                momentum[name] = matrix.folded(state.get("momentum_buffer", torch.zeros_like(matrix.parameter)))
            found[ckpt.MOMENTUM] = momentum
        return found

    def restore(self, folder: Path, step: int) -> None:
        """Take up the state that a checkpoint of `step` holds.

        Raises:
            VmaError: a file or a weight in it is missing, damaged or of another shape.
        """
        moments = {moment: _stored(folder / file, self.rest) for moment, file in ckpt.MOMENTS.items()}
        for name, weight in self.rest.items():
            state: dict[str, Tensor] = {"step": torch.tensor(float(step), device=weight.device)}
            for moment, stored in moments.items():
                # The strides of the weight, without which the fused optimiser would take another path.
                state[moment] = torch.empty_like(weight).copy_(stored[name])
            self.adam.state[weight] = state
        if self.muon is None:
            return
        momentum = _stored(folder / ckpt.MOMENTUM, {name: matrix.weight for name, matrix in self.matrices.items()})
        for name, matrix in self.matrices.items():
            buffer = matrix.flat(momentum[name]).to(matrix.weight.device)
            self.muon.state[matrix.parameter] = {"momentum_buffer": buffer}


def _is_matrix(weight: Tensor) -> bool:
    return weight.ndim >= 2 and min(weight.flatten(1).shape) >= SMALLEST_SIDE


def _stored(file: Path, weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    stored = ckpt.read_tensors(file)
    for name, weight in weights.items():
        if name not in stored or stored[name].shape != weight.shape:
            raise VmaError(f"{file}: {name} is missing or of another shape")
    return stored
