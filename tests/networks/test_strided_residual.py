"""The residual networks of the matching network, piece by piece."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vmacore.networks.layers import initialise
from vmacore.networks.strided_residual import Block, Down, ResidualDecoder, ResidualEncoder, Section, Up, sections_of


@pytest.mark.parametrize(
    ("size", "coarse", "kernels"),
    [
        ((28, 28), [(13, 13), (6, 6), (3, 3)], [(4, 4), (3, 3), (2, 2)]),
        ((26, 26), [(12, 12), (5, 5), (2, 2)], [(4, 4), (3, 3), (2, 2)]),
        ((8, 3), [(3, 1), (1, 1), (1, 1)], [(4, 3), (3, 1), (1, 1)]),
    ],
)
def test_sections_halve(size: tuple[int, int], coarse: list[tuple[int, int]], kernels: list[tuple[int, int]]) -> None:
    sections = sections_of(size, 3)
    assert [section.coarse for section in sections] == coarse
    assert [section.kernel for section in sections] == kernels
    assert [section.fine for section in sections] == [size, *coarse[:-1]]


def test_a_section_is_convolution_block_and_shortcut() -> None:
    torch.manual_seed(0)
    down, x = Down(Section((7, 6), (3, 2), (3, 3)), 2, 4).double(), torch.randn(5, 2, 7, 6).double()
    convolution, slope, block = down.main
    assert isinstance(block, Block)
    h = F.prelu(F.conv2d(x, convolution.weight, convolution.bias, stride=2), slope.weight)  # type: ignore[arg-type]
    h = F.prelu(h + F.conv2d(h, block.convolution.weight, block.convolution.bias, padding=1), block.activation.weight)
    averages = F.avg_pool2d(x, 3, 2)
    shortcut = F.conv2d(averages, down.shortcut.weight, down.shortcut.bias)
    torch.testing.assert_close(down(x), h + shortcut)


@pytest.mark.parametrize("size", [(28, 28), (26, 26), (9, 4), (1, 1)])
def test_the_way_up_ends_where_the_way_down_began(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for section in sections_of(size, 3):
        x = torch.randn(2, 3, *section.fine)
        coarse = Down(section, 3, 5)(x)
        assert coarse.shape == (2, 5, *section.coarse)
        assert Up(section, 5, 3)(coarse).shape == x.shape


def test_signals_neither_vanish_nor_explode_at_first() -> None:
    torch.manual_seed(0)
    encoder, decoder = ResidualEncoder((28, 28), (16, 32, 32)), ResidualDecoder(60, (28, 28), (16, 32, 32))
    initialise(encoder)
    initialise(decoder)
    features = encoder((torch.rand(20, 1, 28, 28) < 0.1).float())
    assert features.shape == (20, 288)
    logits = decoder(torch.randn(20, 60))
    assert logits.shape == (20, 784)
    assert 0.05 < features.std() < 5
    assert 0.1 < logits.std() < 5


def test_everything_stays_in_channels_last() -> None:
    encoder = ResidualEncoder((28, 28), (16, 32, 32)).to(memory_format=torch.channels_last)
    decoder = ResidualDecoder(9, (28, 28), (16, 32, 32)).to(memory_format=torch.channels_last)
    strides: list[bool] = []

    def note(_module: object, _given: object, maps: torch.Tensor) -> None:
        strides.append(maps.is_contiguous(memory_format=torch.channels_last))

    for section in (*encoder.sections, *decoder.sections):
        section.register_forward_hook(note)
    encoder(torch.zeros(4, 1, 28, 28))
    decoder(torch.zeros(4, 9))
    assert strides == [True] * 6
