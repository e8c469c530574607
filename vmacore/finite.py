"""What comes out of a model is told in one line where it is not finite, before anything is made of it."""

from __future__ import annotations

from torch import Tensor

from vmacore.errors import diverged


def finite(numbers: Tensor, what: str) -> Tensor:
    """The numbers themselves, of any shape. Waits for the device, so it stands where little is computed.

    what: whose numbers they are, in the plural.

    Raises:
        Diverged: one is infinite, or none at all.
    """
    if not bool(numbers.isfinite().all()):
        raise diverged(f"{what} are")
    return numbers
