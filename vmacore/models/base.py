"""What trainer and scorer ask of a model, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vmacore.addressing import Addressing
from vmacore.config import ModelConfig
from vmacore.data.views import ZOOM, pixels_of
from vmacore.memory.encoded import EncodedMemory, LearnedMemory
from vmacore.models.terms import LogTerms
from vmacore.networks.base import networks_for


class GenerativeModel(nn.Module, ABC):
    """Reads a memory, addresses it, and ends in the terms of log w for each sample.

    learned_memory: slots that are parameters, if the model has them. latent_names: of its latents, coarse to fine.
    """

    latent_names: tuple[str, ...] = ("z",)

    # Slots that are drawn are encoded once, equal (target, address) pairs recognised once. Without, every slot and
    # every pair is: the same numbers, from tensors whose shapes do not depend on what is drawn, as CUDA graphs need.
    shares_passes = True
    addressed = False  # whether one slot is drawn; if not, `address` has a single alternative and costs nothing

    masked = False  # whether a target may see a part of the memory only
    may_see_nothing = False  # whether a target may see no slot at all

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.size = config.size
        networks = networks_for(config)
        self.slot_shape, self.static = networks.slot_shape, networks.static
        self.image_shape = (1, *(ZOOM * side if config.view == "finer" else side for side in config.size))
        self.bytes_per_sample = 16 * self.size[0] * self.size[1] * networks.widest  # about what decoding one holds
        self.learned_memory: LearnedMemory | None = None

    @abstractmethod
    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        """Read a memory of slots [S, …], once for all targets.

        mask: bool [B, S], the slots that each target may see; None: all.

        Raises:
            ValueError: slots whose shape is not the model's, or a mask for a model that takes none.
        """

    def address(self, targets: Tensor, memory: EncodedMemory) -> Addressing:
        """q(a|x, M) and p(a|M) for targets [B, 1, H, W]; of a model that draws no address, one alternative.

        Raises:
            ValueError: targets whose shape is not the model's.
        """
        self.check_targets(targets)
        return Addressing(targets.new_zeros(len(targets), 1), targets.new_zeros(1))

    @abstractmethod
    def log_terms(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
        pathwise: bool = True,
    ) -> LogTerms:
        """Terms of log w for z ~ q(z|x, ·) at the addresses given.

        targets [B, 1, H, W], address int64 [B, K] → LogTerms of [B, K]. chunk: decode at most so many samples at a
        time, with the same noise whatever the chunk. pathwise: let gradients pass through z; a model that draws no
        address always does.
        """

    @abstractmethod
    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Logits [P, D] of the pixels of P images, z drawn from its prior.

        address: int64 [P], the slots that the images are made from; of a model that draws no address only P counts.
        temperature: factor of the standard deviation of every latent.
        """

    def pixels(self, images: Tensor) -> Tensor:
        """x [N, 1, H, W] of images in the model's view."""
        return pixels_of(images) if self.config.view == "finer" else images

    def check_slots(self, slots: Tensor) -> None:
        """Check that the model reads such slots [S, …].

        Raises:
            ValueError: slots whose shape is not the model's.
        """
        expected = self.image_shape if self.config.view == "finer" else self.slot_shape
        if slots.shape[1:] != expected or not len(slots):
            raise ValueError(f"slots of shape {list(slots.shape)}, but the model reads [S, {expected}]")

    def check_targets(self, targets: Tensor) -> None:
        """Check that the model reads such targets [B, 1, H, W].

        Raises:
            ValueError: targets whose shape is not the model's.
        """
        if targets.shape[1:] != self.image_shape:
            raise ValueError(f"targets of shape {list(targets.shape)}, but the model reads [B, {self.image_shape}]")
