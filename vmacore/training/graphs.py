"""Training on a GPU that never waits: an update recorded once as a CUDA graph and replayed, and its precision.

A graph replays the same kernels on the same memory. So every shape is fixed beforehand, whatever changes from step to
step is copied into tensors that stay, and random numbers come from one generator whose state is set before each replay:
noise stays a pure function of (seed, step).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from vmacore import distributed
from vmacore.config import Config
from vmacore.episodes.base import Episode

Update = Callable[[Episode, torch.Generator], Tensor]

WARM_UP = 3  # updates before the recording: they allocate what stays, Adam's moments among it, and choose algorithms


class Recorder(Protocol):
    """Runs, records and replays what works on one device."""

    def aside(self, call: Callable[[], Tensor]) -> Tensor:
        """Run a call as it will be recorded."""

    def record(self, call: Callable[[], Tensor], noise: torch.Generator) -> Tensor:
        """Record a call that draws from `noise`; its result is written anew by every replay."""

    def replay(self) -> None:
        """Do again what was recorded."""


def can_record(config: Config, device: torch.device) -> bool:
    """Whether updates are to be recorded: where that is configured, on one CUDA device, and all shapes are fixed."""
    alone = distributed.world_size() == 1
    changing = config.episode.varies or config.labels.weight > 0
    return config.training.cuda_graph and device.type == "cuda" and alone and not changing


class Graphed:
    """An update that is recorded after WARM_UP calls and replayed from then on; shapes must never change.

    The update returns a tensor, and sees of an episode targets, memory and mask alone.
    """

    def __init__(self, update: Update, device: torch.device, recorder: Recorder | None = None) -> None:
        self.update = update
        self.recorder: Recorder = recorder or CudaGraph(device)
        self.noise = torch.Generator(device)
        self.calls = 0
        self._episode: Episode | None = None

    def __call__(self, episode: Episode, noise: torch.Generator) -> Tensor:
        """The update's result for this episode, with the random numbers of `noise`, which was seeded for it."""
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.recorder.aside(lambda: self.update(episode, noise))
        self.noise.manual_seed(noise.initial_seed())
        if self._episode is None:
            still = self._episode = _still(episode)
            self._result = self.recorder.record(lambda: self.update(still, self.noise), self.noise)
        _copy(episode, self._episode)
        self.recorder.replay()
        return self._result.clone()


class CudaGraph:
    """A CUDA graph, recorded on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.graph = torch.cuda.CUDAGraph()

    def aside(self, call: Callable[[], Tensor]) -> Tensor:
        """Run a call on the stream of the recording; the current stream goes on after it."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = call()
        current.wait_stream(self.stream)
        return result

    def record(self, call: Callable[[], Tensor], noise: torch.Generator) -> Tensor:
        """Record a call; nothing is computed."""
        self.graph.register_generator_state(noise)
        with torch.cuda.graph(self.graph, stream=self.stream):
            return call()

    def replay(self) -> None:
        """Launch the graph on the current stream."""
        self.graph.replay()


def _still(episode: Episode) -> Episode:
    """An episode in tensors of its own. Targets that are the memory stay so: models ask."""
    targets = episode.targets.clone()
    memory = targets if episode.memory is episode.targets else episode.memory.clone()
    return replace(episode, targets=targets, memory=memory, mask=None if episode.mask is None else episode.mask.clone())


def _copy(episode: Episode, into: Episode) -> None:
    one = into.memory is into.targets
    if one != (episode.memory is episode.targets) or (episode.mask is None) != (into.mask is None):
        raise ValueError("an episode of another kind than the one that was recorded")
    into.targets.copy_(episode.targets, non_blocking=True)
    if not one:
        into.memory.copy_(episode.memory, non_blocking=True)
    if episode.mask is not None and into.mask is not None:
        into.mask.copy_(episode.mask, non_blocking=True)


def bfloat16_units(device: torch.device) -> bool:
    """Whether the device is a processor with instructions for products of bfloat16."""
    flags: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every PyTorch
    return device.type == "cpu" and any(flags.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def matmul_precision(device: torch.device, precision: str) -> Iterator[None]:
    """While this lasts, products and convolutions in float32 on CUDA may round their inputs to TF32.

    precision: "highest" does not allow it; anything else does. On other devices nothing changes.
    """
    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
