"""Group normalisation of the finer view, in the precision it is given and no less than float32 within."""

import pytest
import torch
import torch.nn.functional as F

from vmacore.networks.eye import GroupNorm


def _maps(dtype: torch.dtype) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return (5 + torch.randn(3, 6, 5, 4, generator=draw)).to(dtype).to(memory_format=torch.channels_last)


def test_bfloat16_maps_are_normalised_in_float32_and_rounded_once() -> None:
    maps, norm = _maps(torch.bfloat16), GroupNorm(2, 6)
    with torch.autocast("cpu", torch.bfloat16):
        normalised = norm(maps)
    assert normalised.dtype == torch.bfloat16
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalised, F.group_norm(maps.float(), 2).bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_autocast_it_is_the_plain_one(dtype: torch.dtype) -> None:
    maps, norm = _maps(dtype), GroupNorm(2, 6).to(dtype)
    assert torch.equal(norm(maps), F.group_norm(maps, 2, norm.weight, norm.bias))
