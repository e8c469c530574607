"""How a slot enters at the pixels of the fully connected decoder."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from vmacore.config import ModelConfig
from vmacore.latents import Prior
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.networks.fully_connected import Decoder, PixelGain, SlotEncoder
from vmacore.networks.layers import initialise

SKIPS = ("matrix", "gain", "none")


def _made(skip: str) -> tuple[SlotEncoder, Decoder]:
    torch.manual_seed(0)
    slot_encoder, decoder = SlotEncoder(64, (16, 12)), Decoder(64, 64, (16, 12), 5, skip)
    for network in (slot_encoder, decoder):
        initialise(network)
        network.double()
    return slot_encoder, decoder


def _slots(count: int) -> Tensor:
    return (torch.rand(count, 64, generator=torch.Generator().manual_seed(1)) < 0.3).double()


@pytest.mark.parametrize("skip", SKIPS)
def test_the_decoder_is_the_plain_formula(skip: str) -> None:
    slot_encoder, decoder = _made(skip)
    if skip == "gain":
        torch.nn.init.normal_(decoder.layers[-1].log_gain)  # type: ignore[arg-type]
    m, z = _slots(4), torch.randn(4, 5, dtype=torch.float64)
    first = F.relu(slot_encoder.layers[0](m))
    second = F.relu(slot_encoder.layers[1](first))
    x = F.relu(F.linear(torch.cat([z, second], 1), decoder.start.weight, decoder.start.bias))
    layer, last = decoder.layers
    x = F.relu(F.linear(torch.cat([x, first], 1), layer.weight, layer.bias))  # type: ignore[arg-type]
    if skip == "gain":
        gain = last.log_gain.exp()  # type: ignore[operator]
        plain = F.linear(x, last.weight, last.bias) + gain * (2 * m - 1)  # type: ignore[arg-type]
    else:
        beside = torch.cat([x, m], 1) if skip == "matrix" else x
        plain = F.linear(beside, last.weight, last.bias)  # type: ignore[arg-type]
    maps = slot_encoder(m)
    memory = decoder.slot_side(slot_encoder.top(maps), maps)
    torch.testing.assert_close(decoder(z, memory, torch.arange(4), Prior()), plain)
    torch.testing.assert_close(decoder(z, memory, None, Prior()), plain)


@pytest.mark.parametrize("skip", SKIPS)
def test_a_pixel_of_the_slot_enters_at_its_own_pixel_at_all_or_at_none(skip: str) -> None:
    """With the hidden layers held fixed, the derivative of the logits by the slot: a matrix, a diagonal, nothing."""
    _, decoder = _made(skip)
    hidden, top = torch.randn(1, 16, dtype=torch.float64), torch.randn(1, 12, dtype=torch.float64)
    z = torch.randn(1, 5, dtype=torch.float64)

    def logits(m: Tensor) -> Tensor:
        pixels: Tensor = decoder(z, decoder.slot_side(top, [m, hidden, top]), None, Prior())
        return pixels[0]

    jacobian = torch.autograd.functional.jacobian(logits, _slots(1))[:, 0]
    off_diagonal = jacobian - torch.diag(jacobian.diag())
    if skip == "matrix":
        assert float(jacobian.abs().min()) > 0
    else:
        assert float(off_diagonal.abs().max()) == 0
        # A gain of exp(0) at first; each pixel counts twice, as ink and as its absence.
        torch.testing.assert_close(jacobian.diag(), torch.full((64,), 2.0 if skip == "gain" else 0.0).double())


def test_a_gain_that_grows_draws_the_slot_again() -> None:
    layer = PixelGain(3, 64).double()
    torch.nn.init.constant_(layer.log_gain, 3.0)
    slots = _slots(5)
    assert bool(((layer.left(torch.randn(5, 3).double()) + layer.right(slots) > 0) == (slots > 0)).all())


def test_a_vector_has_no_pixels_to_gain() -> None:
    with pytest.raises(ValueError, match="no gain"):
        Decoder(64, 20, (16, 12), 5, "gain")
    with pytest.raises(ValidationError, match="set skip to matrix or none"):
        ModelConfig(network="fully-connected", learned_slots=4, skip="gain")


@pytest.mark.parametrize("skip", SKIPS)
def test_the_model_decodes_as_configured(skip: str) -> None:
    config = ModelConfig.model_validate(
        {"network": "fully-connected", "size": (8, 8), "layers": (16, 12), "latent": 5, "skip": skip}
    )
    model = VariationalMemoryAddressing(config)
    assert isinstance(model.decoder, Decoder)
    assert model.decoder.skip == skip
    slots = _slots(6).float().view(6, 1, 8, 8)
    log_terms = model.log_terms(slots[:3], model.read(slots), torch.tensor([[0, 1], [2, 2], [5, 0]]))
    (-log_terms.log_px.sum()).backward()
    assert all(weight.grad is not None for weight in model.decoder.parameters())
