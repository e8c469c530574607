"""Several processes on one run, as torchrun starts them: each takes its part of a step's targets.

Every process draws the same episode and reads the same memory, keeps its own rows of the targets and of the noise, and
the gradients are averaged by torch's DistributedDataParallel: those of one process on all targets. So a run's numbers
and its checkpoints do not depend on how many processes made them. The first process alone writes, prints and validates.
Without a process group there is one process, and all of this is the identity.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vmacore.config import Config
from vmacore.episodes import sequence
from vmacore.episodes.base import Episode
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator, shared_generator

# As long as the others may have to wait for the first one's validation; a process that has ended is noticed at once.
PATIENCE = timedelta(hours=2)


class AnotherFailed(VmaError):
    """Another process failed first, and it is that one which says why."""


def launched() -> bool:
    """Whether torchrun, or another launcher that sets the same variables, started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Joins the other processes and parts with them; yields the device that this one is to use.

    A process that fails ends all. Processes that end without a failure wait for one another.

    Raises:
        VmaError: more processes than GPUs, or another process ended without a word.
        AnotherFailed: another failed before this one; nothing is left to say.
    """
    # Not in every build of torch. The first optimiser imports torch.distributed.nn, whose functions keep the group they
    # then find, and with it its threads; with those still there, a process that exits may abort.
    import torch.distributed.nn.functional
    from torch.distributed.rendezvous import rendezvous

    if device.type == "cuda":
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise VmaError(f"this machine has {there} GPUs: start at most so many processes (--nproc-per-node {there})")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    store, number, size = next(iter(rendezvous("env://", timeout=PATIENCE)))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=size, timeout=PATIENCE)
    try:
        yield device
        anyone(False)  # all are done; the launcher ends all others as soon as one ends with a code that is not 0
    except BaseException as error:
        if not _first_to_fail(store):
            raise AnotherFailed("another process failed") from error
        if _lost(error):
            raise VmaError("another process of this run ended without a word: go on with --resume") from error
        raise
    finally:
        dist.destroy_process_group()
        gc.collect()  # DistributedDataParallel is part of cycles, and keeps the group and its threads


def _first_to_fail(store: Any) -> bool:
    try:
        return bool(store.add("failed", 1) == 1)
    except RuntimeError:
        return True  # torchrun keeps the store; with another launcher it is gone with the process that held it


def _lost(error: BaseException) -> bool:
    """Whether this is how torch says that another process is gone."""
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in ("gloo", "nccl", "peer"))


def check_shares(config: Config) -> None:
    """Check that the processes can share a step.

    Raises:
        VmaError: the targets of a step cannot be shared evenly.
    """
    episode, size = config.episode, world_size()
    count, what = episode.classes * episode.targets, "targets"
    if isinstance(episode, sequence.Options) and not config.model.learns_slots:
        count, what = episode.sequences, "sequences"
    if count % size:
        raise VmaError(
            f"{size} processes cannot share {count} {what} a step evenly: start a number that divides {count}"
        )


def own_part(episode: Episode) -> Episode:
    """The episode with this process's own part of the targets; the memory stays whole.

    Of sequences, where the targets are the memory and see nothing of another sequence, the part has its own memory.
    """
    size = world_size()
    if size == 1:
        return episode
    count = len(episode.targets) // size
    own = slice(count * rank(), count * (rank() + 1))
    part = replace(
        episode,
        targets=episode.targets[own],
        target_labels=episode.target_labels[own],
        target_index=episode.target_index[own],
        mask=None if episode.mask is None else episode.mask[own],
    )
    if episode.targets is not episode.memory or part.mask is None:
        return part
    return replace(
        part,
        memory=part.targets,
        memory_labels=part.target_labels,
        memory_index=part.target_index,
        mask=part.mask[:, own],
    )


def own_noise(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The noise of a step, this process's own rows of it."""
    if world_size() == 1:
        return generator(seed, step, Stream.NOISE, device)
    return shared_generator(seed, step, Stream.NOISE, device, rank(), world_size())


def everyone(rows: Tensor) -> Tensor:
    """The rows [B, …] of all processes, in their order [size · B, …], without a gradient."""
    if world_size() == 1:
        return rows.detach()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows.detach().contiguous())
    return torch.cat(parts)


def own_rows(rows: Tensor) -> Tensor:
    """This process's own part [B, …] of rows for all [size · B, …]."""
    return rows.chunk(world_size())[rank()]


def total(values: Tensor) -> Tensor:
    """The sum over the processes of values of any shape, without a gradient."""
    whole = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(whole)
    return whole


def mean(values: Tensor) -> Tensor:
    """The mean over the processes of values of any shape, without a gradient."""
    return total(values) / world_size()


def anyone(asks: bool) -> bool:
    """Whether any process asks; all wait for the answer."""
    if world_size() == 1:
        return asks
    flag = torch.tensor(int(asks))
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def from_first(text: str | None) -> str:
    """What the first process says; the others' own text does not count."""
    said = [text]
    if world_size() > 1:
        dist.broadcast_object_list(said)
    assert said[0] is not None
    return said[0]
