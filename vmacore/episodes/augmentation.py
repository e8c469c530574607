"""New classes out of those there are: every class of an episode is turned and bent in a way of its own.

All drawings of a class, in memory and as targets, undergo the same change, so what an episode asks for stays the same
and only its characters are ones that nobody drew. Turned characters as classes of their own: Santoro et al. 2016. A
drawing may be jittered and bent besides, by an affine and an elastic change of its own, as if by another hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vmacore.episodes.base import ahead
from vmacore.errors import VmaError

# What a strength of 1 allows in either direction.
ANGLE = math.radians(15)
SLANT = 0.25
STRETCH = 0.15
SHIFT = 1.5  # pixels of x
BEND = 0.75  # pixels of x: standard deviation of how far each of BENDS × BENDS points over the picture is moved
BENDS = 5

Change = Callable[[Tensor, Tensor], Tensor]


class Augmentation:
    """Draws one change for each class of an episode, and one for each drawing.

    turned: probability that a class is turned by one of the square's seven other symmetries, all alike.
    warped: strength in [0, 1] of an affine change: rotation, slant, stretch of each axis, shift.
    jittered: the same of a change that each drawing gets of its own, before its class's affine change.
    bent: strength, 0 or more, of an elastic change of each drawing: BENDS × BENDS points move, the rest between them.
    strokes: probability that all drawings of a class, in the finer view, are thickened or outlined alike.
    size: height and width of x in pixels; finer views are larger, and change alike.
    binary: drawings hold 0 and 1 and stay so; else they hold intensities, which are interpolated.

    Raises:
        VmaError: `turned` of drawings that are not square.
    """

    def __init__(
        self,
        turned: float,
        warped: float,
        size: tuple[int, int],
        *,
        jittered: float = 0.0,
        bent: float = 0.0,
        strokes: float = 0.0,
        binary: bool = True,
    ) -> None:
        if turned and size[0] != size[1]:
            raise VmaError(f"drawings of {size[0]}×{size[1]} cannot be turned: set episode.turned to 0")
        self.turned, self.warped, self.jittered, self.bent, self.strokes = turned, warped, jittered, bent, strokes
        self.size, self.binary = size, binary

    def draw(self, n_classes: int, draw: torch.Generator) -> Change:
        """images [P, 1, H, W], label of each [P] → images changed as their class is; labels are 0 … n_classes − 1.

        `draw` goes on to be drawn from by the change, if there is jitter: six numbers for each image that it is given;
        and if there is bending: two for each point that moves.

        The change is drawn on the CPU; it is applied where the images are. On another device, interpolation rounds
        otherwise, which can move a pixel that lies on the very edge of the ink.
        """
        turn = torch.rand(n_classes, generator=draw) < self.turned
        symmetry = turn * torch.randint(1, 8, (n_classes,), generator=draw)  # 0: as it is
        of_class = affine(2 * torch.rand(n_classes, 6, generator=draw) - 1, self.warped, self.size)
        kinds = stroke_kinds(n_classes, self.strokes, draw) if self.strokes else None

        def change(images: Tensor, labels: Tensor) -> Tensor:
            if not len(images):
                return images
            if kinds is not None:
                images = restroked(images, ahead(kinds, images.device)[labels])
            if self.turned:
                images = turned(images, ahead(symmetry, images.device)[labels])
            if self.warped or self.jittered or self.bent:
                theta = ahead(of_class, images.device)[labels]
                if self.jittered:
                    unit = 2 * torch.rand(len(images), 6, generator=draw) - 1
                    theta = after(theta, ahead(affine(unit, self.jittered, self.size), images.device))
                moved = None
                if self.bent:
                    points = torch.randn(len(images), 2, BENDS, BENDS, generator=draw)
                    moved = ahead(bend(points, self.bent, self.size), images.device)
                images = warp(images, theta, moved)
                # A line of one pixel interpolates to a ridge that is above a half over one pixel's width wherever it
                # falls, so a half keeps lines whole and the mean ink; only the thinnest diagonals may come apart.
                images = (images > 0.5).float() if self.binary else images
            return images

        return change


# How often strokes, if they change, are thickened once, twice, three times, and outlined narrowly and widely.
STROKES = (4, 3, 2, 2, 2)


def stroke_kinds(count: int, probability: float, draw: torch.Generator) -> Tensor:
    """int64 [count]: 0 where strokes stay, with 1 − `probability`, else which of STROKES, from 1 on, they become."""
    changed = torch.rand(count, generator=draw) < probability
    return changed * (1 + torch.multinomial(torch.tensor(STROKES).float(), count, True, generator=draw))


def restroked(images: Tensor, kinds: Tensor) -> Tensor:
    """Finer views [P, 1, H, W], the strokes of each thickened by a pixel on either side or more, or outlined."""
    thicker = [images]
    for _ in range(3):
        thicker.append(F.max_pool2d(thicker[-1], 3, stride=1, padding=1))
    all_kinds = torch.stack([*thicker, thicker[2] - images, thicker[3] - thicker[1]])  # [6, P, 1, H, W]
    return all_kinds[kinds, torch.arange(len(images), device=images.device)]


def turned(images: Tensor, symmetry: Tensor) -> Tensor:
    """images [P, 1, H, H], each turned by one of the `symmetries` [P]."""
    source = symmetries(images.shape[-1], images.device)[symmetry]  # [P, H²]
    return images.flatten(1).gather(1, source).view_as(images)


@lru_cache
def symmetries(side: int, device: torch.device | None = None) -> Tensor:
    """int64 [8, side²]: the pixel that each pixel of a turned square takes its value from; the first leaves all.

    1 … 3 rotate by 90°, 180°, 270° anticlockwise; 4 … 7 transpose and then rotate by 0°, 90°, 180°, 270°.
    """
    pixel = torch.arange(side * side).view(side, side)
    return torch.stack([p.rot90(k).flatten() for p in (pixel, pixel.T) for k in range(4)]).to(device)


def affine(unit: Tensor, strength: float, size: tuple[int, int]) -> Tensor:
    """Affine maps [N, 2, 3] from a changed picture to its drawing, as `warp` takes them.

    unit: numbers in [−1, 1], [N, 6]: rotation, slant, stretch across and down, shift across and down.
    """
    angle, slant, across, down, *shift = (strength * unit).T
    cos, sin = (ANGLE * angle).cos(), (ANGLE * angle).sin()
    rotation = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    across, down = 1 + STRETCH * across, 1 + STRETCH * down
    shear = torch.stack([across, SLANT * slant * down, torch.zeros_like(down), down], 1).view(-1, 2, 2)
    H, W = size
    to_pixels = torch.tensor([W / 2, H / 2])  # coordinates of a picture go from −1 to 1, (x, y)
    back = torch.linalg.inv(rotation @ shear)  # [N, 2, 2], in pixels
    offset = -back @ (SHIFT * torch.stack(shift, 1))[:, :, None]  # [N, 2, 1]
    return torch.cat([back * to_pixels, offset], 2) / to_pixels[:, None]


def after(first: Tensor, second: Tensor) -> Tensor:
    """Affine maps [N, 2, 3] that do the first and then the second, as `warp` takes them: pictures change in reverse."""
    return torch.cat([second[:, :, :2] @ first[:, :, :2], second[:, :, :2] @ first[:, :, 2:] + second[:, :, 2:]], 2)


def bend(points: Tensor, strength: float, size: tuple[int, int]) -> Tensor:
    """How far points move, standard normal [N, 2, BENDS, BENDS] for x and y → the same in parts of half a picture."""
    H, W = size
    return points * (strength * BEND * 2 / torch.tensor([W, H]))[:, None, None]


def warp(images: Tensor, theta: Tensor, moved: Tensor | None = None) -> Tensor:
    """images [P, 1, H, W] at where the affine maps [P, 2, 3] send each pixel, bilinear; outside is paper.

    moved: besides, how far points that span the picture move [P, 2, h, w], bicubic between them.
    """
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    if moved is not None:
        between = F.interpolate(moved, images.shape[2:], mode="bicubic", align_corners=True)
        grid = grid + between.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, align_corners=False)
