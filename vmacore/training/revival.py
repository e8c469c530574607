"""Bringing parts of a trained residual network back into use: units that are never active, latents that carry nothing.

Under Adam many ReLUs end up never active, and coarse latents that the finest one made superfluous stay at their prior.
Neither has a gradient to come back by. What is out of use is drawn anew and what reads it starts at zero, so that the
network computes what it did, but where such a unit was active after all: at most in one place of a thousand (recycling
of dormant units: Sokar et al. 2023, arXiv:2302.12902). A latent drawn anew adds noise; what it added in the mean stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from vmacore.episodes.base import Episode
from vmacore.errors import VmaError
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.networks import residual
from vmacore.networks.patches import Block, Head, Trunk
from vmacore.networks.residual import Decoder, Level, Recognition, SlotEncoder

RARELY = 1e-3  # share of places below which a unit or map counts as never active
UNUSED = 0.05  # KL in nats below which a latent counts as unused
NOISE = 0.3  # standard deviation of what a latent drawn anew adds to a map, for maps of root mean square 1


@dataclass
class Revived:
    """How many were drawn anew."""

    units: int = 0
    maps: int = 0
    latents: list[int] = field(default_factory=list)  # their stages


@dataclass
class _Seen:
    """What was seen of the networks, means over the episodes.

    units: of each block, the shares of places [C] where its hidden units are above zero; maps: the same of its input or
    its result, and of what a level reads. sizes: of each block, the root mean square of its input. latents: of each
    level, the mean of its latent [c].
    """

    units: dict[nn.Module, Tensor]
    maps: dict[nn.Module, Tensor]
    sizes: dict[nn.Module, Tensor]
    latents: dict[nn.Module, Tensor]


@torch.no_grad()
def revive(
    model: VariationalMemoryAddressing, episodes: Sequence[Episode], samples: int, generator: torch.Generator
) -> Revived:
    """Draw anew what no target or slot of the episodes puts to use in the generative half of a residual model.

    Hidden units of blocks; maps below the finest stage that are hardly ever positive, of networks that are not
    normalised, in which every reader takes their ReLU; latents below the finest stage with a KL under 0.05 nats, and
    what of the recognition's pyramid serves them alone. h and h_q stay. generator: on the CPU; the noise of the look is
    of the model's device.

    Raises:
        VmaError: the model's networks are not residual.
    """
    if model.config.network != "residual":
        raise VmaError("only residual networks can be revived: leave --revive out")
    normalised = residual.Options.of(model.config).normalised
    seen, kl = _look(model, episodes, samples, generator)
    found = Revived()
    decoder, recognition = cast(Decoder, model.decoder), cast(Recognition, model.recognition)
    found.latents = sorted(at for at, nats in zip(decoder.down, kl[1:], strict=True) if at and nats < UNUSED)
    for trunk in (cast(SlotEncoder, model.slot_encoder).trunk, recognition.trunk):
        for at, blocks in enumerate(trunk.stages):
            if at and not normalised:
                maps = _unused_maps(blocks, seen)
                _redraw(trunk.merges[at - 1], maps, generator)
                _silence(blocks, _readers(model, trunk, at), maps)
                found.maps += len(maps)
            found.units += _revive_units(blocks, seen, generator)
    for at, blocks in enumerate(decoder.stages):
        level = decoder.levels[str(at)] if decoder.latents[at] else None
        if at and not normalised:
            maps = _unused_maps(blocks, seen, level)
            _redraw(decoder.skips[at], maps, generator)
            # From below comes a row for each of four neighbours, or for each place, and each map.
            below = decoder.expansions[at] if at < len(decoder.expansions) else decoder.expand
            if below is not None:
                expansion, C = cast(nn.Linear, below), decoder.skips[at].out_channels
                expansion.weight.unflatten(0, (-1, cast(int, C)))[:, maps] = 0
                expansion.bias.unflatten(0, (-1, cast(int, C)))[:, maps] = 0
            readers: list[Tensor] = [cast(nn.Linear, decoder.expansions[at - 1]).weight]
            if level is not None:
                _clear(level.entry, maps)
                readers += [layer.weight for layer in level.reading_decoder()]
            _silence(blocks, readers, maps)
            found.maps += len(maps)
        found.units += _revive_units(blocks, seen, generator)
        if level is not None and at in found.latents:
            size = [seen.sizes[block] for block in blocks.children()]  # of the maps that the latent enters
            _restart(level, seen.latents[level], NOISE * float(size[0] if size else 1.0), generator)
    for at in reversed(range(1, len(decoder.stages))):
        if model.config.latent or (decoder.latents[at] and at not in found.latents):
            break
        merge = cast(nn.Linear, recognition.trunk.merges[at - 1])
        _redraw(merge, torch.arange(merge.out_features), generator)
        for block in recognition.trunk.stages[at].children():
            assert isinstance(block, Block)
            _redraw(block.first, torch.arange(block.first.out_channels), generator)
            _clear(block.second, torch.arange(block.second.out_channels))
    return found


def _look(
    model: VariationalMemoryAddressing, episodes: Sequence[Episode], samples: int, generator: torch.Generator
) -> tuple[_Seen, list[float]]:
    """Activity of the networks, and the mean KL of the latent of every stage."""
    kl: list[Tensor] = []
    device = next(model.parameters()).device
    noise = torch.Generator(device).manual_seed(generator.initial_seed())
    with _watched(model) as noted:
        for episode in episodes:
            memory = model.read(episode.memory)
            address = model.address(episode.targets, memory).draw(samples, noise)
            log_terms = model.log_terms(episode.targets, memory, address, noise)
            kl.append(log_terms.kl.mean((1, 2)))
    means = ({module: torch.stack(rows).mean(0) for module, rows in part.items() if rows} for part in noted)
    return _Seen(*means), torch.stack(kl).mean(0).tolist()


_Rows = defaultdict[nn.Module, list[Tensor]]
_Noted = tuple[_Rows, _Rows, _Rows, _Rows]


@contextmanager
def _watched(model: nn.Module) -> Iterator[_Noted]:
    """Hooks that note, whenever a block or a level runs, what `_Seen` tells of it."""
    noted: _Noted = (defaultdict(list), defaultdict(list), defaultdict(list), defaultdict(list))
    units, maps, sizes, latents = noted
    handles = []

    def positive(features: Tensor, channel: int) -> Tensor:
        return (features > 0).float().movedim(channel, -1).flatten(0, -2).mean(0)

    def watch_block(block: Block) -> None:
        def first(_: nn.Module, __: object, out: Tensor) -> None:
            units[block].append(positive(out, 1))

        def whole(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            maps[block].append(torch.maximum(positive(inputs[0], 1), positive(out, 1)))
            sizes[block].append(inputs[0].square().mean().sqrt())

        handles.extend([block.first.register_forward_hook(first), block.register_forward_hook(whole)])

    def watch_level(level: Level) -> None:
        def read(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
            maps[level].append(positive(inputs[0], -1))

        def entered(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
            latents[level].append(inputs[0].flatten(0, -2).mean(0))

        handles.extend([level.both.register_forward_hook(read), level.entry.register_forward_hook(entered)])

    for module in model.modules():
        if isinstance(module, Block):
            watch_block(module)
        elif isinstance(module, Level):
            watch_level(module)
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


def _unused_maps(blocks: nn.Module, seen: _Seen, level: Level | None = None) -> Tensor:
    """Maps [n] of a stage that are hardly ever positive, before or after any of its blocks, or where a level reads."""
    shares = [seen.maps[module] for module in (*blocks.children(), level) if module in seen.maps]
    if not any(isinstance(block, Block) for block in blocks.children()):
        return torch.zeros(0, dtype=torch.int64)
    return (torch.stack(shares).amax(0) < RARELY).nonzero()[:, 0]


def _revive_units(blocks: nn.Module, seen: _Seen, generator: torch.Generator) -> int:
    """Draw the first layers of idle hidden units anew; what they add starts at zero."""
    count = 0
    for block in blocks.children():
        assert isinstance(block, Block)
        idle = (seen.units[block] < RARELY).nonzero()[:, 0]
        _redraw(block.first, idle, generator)
        block.second.weight[:, idle] = 0
        count += len(idle)
    return count


def _readers(model: VariationalMemoryAddressing, trunk: Trunk, at: int) -> list[Tensor]:
    """Weights that take the maps of a stage of a pyramid in, besides those of its own blocks."""
    decoder, recognition = cast(Decoder, model.decoder), cast(Recognition, model.recognition)
    of_slot, last = trunk is not recognition.trunk, at == len(decoder.stages) - 1
    layers = [] if last else [trunk.merges[at]]
    if of_slot:
        layers.append(decoder.skips[at])
    elif decoder.latents[at]:
        layers += decoder.levels[str(at)].reading_evidence()
    if last and model.config.latent:  # the coarsest maps as vectors
        layers.append(cast(Head, model.prior if of_slot else recognition.head).hidden)
    weights = [cast(Tensor, layer.weight) for layer in layers]
    if last and of_slot and decoder.start is not None:
        weights.append(decoder.start.weight[:, decoder.start.split :])
    return weights


def _silence(blocks: nn.Module, readers: Sequence[Tensor], maps: Tensor) -> None:
    """Blocks add nothing to these maps, and nothing is taken in from them, at first."""
    C = 0
    for block in blocks.children():
        assert isinstance(block, Block)
        C = block.first.in_channels
        _clear(block.second, maps)
        block.first.weight[:, maps] = 0
    for weight in readers if C else ():
        if weight.dim() == 4:
            weight[:, maps] = 0
        else:  # of vectors that hold all maps of one place or of several, maps last
            weight.unflatten(1, (-1, C))[:, :, maps] = 0


def _redraw(layer: nn.Module, rows: Tensor, generator: torch.Generator) -> None:
    """He's initialisation of some rows of a layer."""
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    drawn = torch.randn(layer.weight.shape, generator=generator).to(layer.weight)
    layer.weight[rows] = drawn[rows] * (2 / layer.weight[0].numel()) ** 0.5
    if layer.bias is not None:
        layer.bias[rows] = 0


def _clear(layer: nn.Linear | nn.Conv2d, rows: Tensor) -> None:
    layer.weight[rows] = 0
    if layer.bias is not None:
        layer.bias[rows] = 0


def _restart(level: Level, mean: Tensor, noise: float, generator: torch.Generator) -> None:
    """p = N(0, I), q = p, and a way in that adds a little noise to what the latent's mean [c] has added so far."""
    for layer in level.starting_at_zero():
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
    entry = level.entry.weight
    level.entry.bias.add_(entry @ mean.to(entry.dtype))
    entry.copy_(torch.randn(entry.shape, generator=generator).to(entry) * noise / entry.shape[1] ** 0.5)
