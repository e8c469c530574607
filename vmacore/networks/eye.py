"""h and h_q over the finer view: a small residual network (He et al. 2016) with group normalisation (Wu & He 2018).

The first layer takes 8×8 pixels with stride 4, so that the finest maps are as large as those of the residual networks
over pixels: 52 → 13 → 7 → 4. All is normalised by the image alone, so an embedding does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.networks.convolutional import Size
from vmacore.networks.layers import nhwc_flat, output
from vmacore.networks.patches import at_least_float32, exact, sizes_of

GROUPS = 8


class Eye(nn.Module):
    """Finer views [N, 1, 2H, 2W] → embeddings [N, E] (equation 5).

    size: H and W of x. stages, blocks: maps of each size, finest first, and how many blocks stand there.
    """

    def __init__(self, size: Size, stages: Sequence[int], blocks: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, stages[0], 8, stride=4, padding=2, bias=False)
        self.norm = _norm(stages[0])
        layers, maps = [], stages[0]
        for stage, (wide, count) in enumerate(zip(stages, blocks, strict=True)):
            for block in range(max(count, 1)):
                layers.append(Block(maps, wide, stride=2 if stage and not block else 1))
                maps = wide
        self.blocks = nn.Sequential(*layers)
        height, width = sizes_of(size, len(stages))[-1]
        self.out = output(nn.Linear(maps * height * width, embedding))

    def forward(self, images: Tensor) -> Tensor:
        H, W = images.shape[2:]
        x = self.stem(F.pad(images, (0, W % 4, 0, H % 4)))
        embeddings: Tensor = exact(self.out, nhwc_flat(self.blocks(F.relu_(self.norm(x)))))
        return embeddings


class Block(nn.Module):
    """relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)): [N, C, H, W] → [N, D, ⌈H/stride⌉, ⌈W/stride⌉]."""

    def __init__(self, maps: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(maps, wide, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.first_norm, self.second_norm = _norm(wide), _norm(wide)
        self.shortcut: nn.Module = nn.Identity()
        if maps != wide or stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(maps, wide, 1, stride=stride, bias=False), _norm(wide))

    def forward(self, x: Tensor) -> Tensor:
        added = self.second_norm(self.second(F.relu_(self.first_norm(self.first(x)))))
        return F.relu_(added + self.shortcut(x))


class GroupNorm(nn.GroupNorm):
    """In float32 at least, as autocast has it on CUDA: on a processor, bfloat16 maps take three times as long."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(at_least_float32(x)).to(x.dtype)


def _norm(maps: int) -> nn.GroupNorm:
    """Of GROUPS groups, or as many as divide the maps."""
    return GroupNorm(next(groups for groups in range(GROUPS, 0, -1) if maps % groups == 0), maps)
