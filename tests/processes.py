"""Functions run in several processes at once, joined by gloo as torchrun would join them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

# Imported once, by the server that all processes are forked from.
multiprocessing.set_forkserver_preload(["tests.processes", "tests.synthetic", "vmacore.training.loop"])


def together(size: int, folder: Path, work: Callable[..., None], *arguments: Any) -> None:
    """Calls `work(*arguments)` in `size` processes of one group; what one of them raises is raised here."""
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    start_processes(_join, args=(size, meeting, work, arguments), nprocs=size, start_method="forkserver")


def _join(rank: int, size: int, meeting: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    try:
        work(*arguments)
    finally:
        dist.destroy_process_group()


def launched(size: int, work: Callable[..., None], *arguments: Any) -> None:
    """Calls `work(*arguments)` in `size` processes that are told what torchrun tells, and join by themselves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start_processes(_launch, args=(size, port, work, arguments), nprocs=size, start_method="forkserver")


def _launch(rank: int, size: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work(*arguments)
