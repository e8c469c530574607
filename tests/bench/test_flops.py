"""Counts of operations against those that torch counts of plain models."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vmacore.bench import flops
from vmacore.bench.flops import Work, soft_attention_flops, taps, total, vma_flops
from vmacore.bench.steps import images, reference_model, vma_model
from vmacore.config import Config
from vmacore.models.reference import ReferenceModel
from vmacore.networks.layers import MLP


@pytest.mark.parametrize("side", range(3, 15))
@pytest.mark.parametrize("stride", [1, 2])
def test_taps_are_those_that_fall_on_pixels(side: int, stride: int) -> None:
    on_pixels = F.conv1d(torch.ones(1, 1, side), torch.ones(1, 1, 3), stride=stride, padding=1)
    assert taps(side, stride) == int(on_pixels.sum())


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taps on padding counted too, as torch does."""
    monkeypatch.setattr(flops, "taps", lambda side, stride: 3 * -(-side // stride))


def _backward(loss: Tensor) -> None:
    loss.backward()


@pytest.mark.usefixtures("padded")
def test_a_step_of_vma_needs_what_the_reference_does_where_nothing_can_be_shared(config: Config) -> None:
    # One sample a target, and every target at a slot of its own.
    B = 6
    model = reference_model(vma_model(config), "cpu", torch.contiguous_format)
    targets, slots = images(B, config, seed=1), images(B, config, seed=2)
    with FlopCounterMode(display=False) as counter:
        addressing, log_terms = model(targets, slots, torch.arange(B)[:, None], torch.randn(B, config.model.latent))
    counted = config.model.model_copy(update={"address_prior": "flat"})  # torch counts no product with a vector
    needed = total(vma_flops(counted, Work(targets=B, slots=B, used=B, pairs=B, samples=B)).values())
    assert needed.forward == counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        _backward(log_terms.log_weight.sum() + log_terms.kl_z.sum() + (addressing.log_q + addressing.log_p).sum())
    assert needed.training == needed.forward + counter.get_total_flops()


@pytest.mark.usefixtures("padded")
@pytest.mark.parametrize("read", ["features", "pixels"])
def test_a_step_of_soft_attention_needs_what_a_plain_one_does(config: Config, read: str) -> None:
    B, K, Z = 3, 2, config.model.latent
    S = B * K  # with as many slots as samples, encoding every slot is what a plain decoder does for every sample
    plain = ReferenceModel(config.model)
    recognition = ReferenceModel(config.model.model_copy(update={"embedding": 2 * Z}))
    query = MLP(Z, config.model.hidden, config.model.embedding)
    targets, slots = images(B, config, seed=1), images(S, config, seed=2)
    with FlopCounterMode(display=False) as counter:
        mean, _ = recognition.embed(recognition.query_network, targets).chunk(2, 1)
        z = mean.repeat_interleave(K, 0)
        weights = (query(z) @ plain.embed(plain.key_network, slots).T).softmax(1)
        seen = slots if read == "features" else (weights @ slots.flatten(1)).view(slots.shape)
        maps = []
        for convolution in plain.slot_encoder.get_submodule("pyramid.convolutions").children():
            maps.append(seen := F.relu(convolution(seen)))
        _backward(plain.decode(z, maps).sum() + weights.square().sum())
    parts = soft_attention_flops(
        config.model.changed(system="soft-attention", read=read), Work(targets=B, slots=S, used=0, pairs=0, samples=S)
    )
    if read == "features":
        mixing = parts.pop("mixing")  # left out above: a product of weights and of all that the decoder takes of a slot
        shares = [config.model.hidden, *(one[0].numel() for one in _skips(config))]
        assert mixing.training == 3 * 2 * S * S * sum(shares)
    assert total(parts.values()).training == counter.get_total_flops()


def _skips(config: Config) -> list[Tensor]:
    """What each layer of the plain decoder gives."""
    model, given = ReferenceModel(config.model), []
    for layer in model.decoder.get_submodule("layers").children():
        layer.register_forward_hook(lambda module, inputs, output: given.append(output))
    slots = images(1, config)
    model.decode(torch.zeros(1, config.model.latent), model.encode_template(slots)[1])
    return given


def test_expected_work_is_that_of_a_flat_posterior() -> None:
    torch.manual_seed(0)
    B, S, K, repeats = 3, 5, 4, 4000
    address = torch.randint(S, (repeats, B, K))
    used = sum(len(one.unique()) for one in address) / repeats
    pairs = sum(len(row.unique()) for one in address for row in one) / repeats
    work = Work.expected(B, S, K)
    assert (work.targets, work.slots, work.samples) == (B, S, B * K)
    assert work.used == pytest.approx(used, abs=0.05)
    assert work.pairs == pytest.approx(pairs, abs=0.1)
