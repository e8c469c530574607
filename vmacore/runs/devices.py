"""Where to compute."""

from __future__ import annotations

import torch

from vmacore.errors import VmaError


def find_device(name: str = "auto") -> torch.device:
    """The device of that name, cuda, mps or cpu; `auto` takes CUDA, else Apple's, else the processor.

    Raises:
        VmaError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there.get(name, False):
        raise VmaError(f"this machine has no {name} device that torch can use: try --device auto")
    return torch.device(name)


def device_names() -> list[str]:
    """The names of all devices of this machine, accelerators first."""
    found = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]
