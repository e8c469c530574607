"""What comes out of a model is told in one line where it is no number, before anything is made of it."""

from __future__ import annotations

from torch import Tensor

from vmacore.errors import Diverged

WAY_OUT = "take another checkpoint, or train again with a lower optimiser.learning_rate or a clip"


def finite(numbers: Tensor, what: str) -> Tensor:
    """The numbers themselves, of any shape. Waits for the device, so it stands where little is computed.

    what: whose numbers they are, in the plural.

    Raises:
        Diverged: one is infinite, or none at all.
    """
    if not bool(numbers.isfinite().all()):
        raise Diverged(f"{what} are not finite, the training of these weights diverged: {WAY_OUT}")
    return numbers
