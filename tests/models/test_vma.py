"""The model against the same network written plainly, and what each of its parts must be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests import synthetic
from vmacore.config import ModelConfig
from vmacore.estimators import Addresses
from vmacore.estimators.vimco import Vimco
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.reference import ReferenceModel
from vmacore.models.terms import LogTerms
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.objectives import vimco

CONVOLUTIONAL = ModelConfig(channels=(6, 7, 8, 9, 10, 11), hidden=20, latent=5, embedding=12)
CONFIGS = {
    "convolutional 26": CONVOLUTIONAL,
    "convolutional 28": CONVOLUTIONAL.model_copy(update={"size": (28, 28)}),
    "convolutional 8": CONVOLUTIONAL.model_copy(update={"size": (8, 8)}),
    "fully connected": ModelConfig(network="fully-connected", size=(8, 8), layers=(24, 16), latent=5, embedding=12),
}


def _ready(config: ModelConfig, dtype: torch.dtype) -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(config)
    with torch.no_grad():  # away from where it starts, so that no term hides behind a zero
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.to(dtype, memory_format=torch.channels_last)


def _images(count: int, config: ModelConfig, seed: int, dtype: torch.dtype) -> Tensor:
    return (torch.rand(count, 1, *config.size, generator=torch.Generator().manual_seed(seed)) < 0.3).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_values_and_gradients_equal_the_reference(config: ModelConfig, dtype: torch.dtype) -> None:
    model = _ready(config, dtype)
    reference = ReferenceModel(config).to(dtype)
    reference.load_state_dict(model.state_dict(), strict=True)
    targets, slots = _images(6, config, 1, dtype), _images(9, config, 2, dtype)
    address = torch.randint(9, (6, 4), generator=torch.Generator().manual_seed(3))
    address[0] = 5  # equal pairs, which the model computes once
    noise = torch.randn(24, config.latent, dtype=dtype, generator=torch.Generator().manual_seed(4))

    memory = model.read(slots)
    ours = model.address(targets, memory)
    our_log_terms = model.log_terms(targets, memory, address, torch.Generator().manual_seed(4))
    theirs, their_log_terms = reference(targets, slots, address, noise)

    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(ours.log_q, theirs.log_q, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(ours.log_p, theirs.log_p, rtol=tolerance, atol=tolerance)
    for name in ("log_px", "log_pz", "log_qz", "kl_z"):
        mine, other = getattr(our_log_terms, name), getattr(their_log_terms, name)
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")

    estimator = Vimco(4)
    estimator.objective(our_log_terms, ours, Addresses(address)).surrogate.mean().backward()
    log_qa = theirs.log_q.gather(1, address)
    log_w = their_log_terms.log_weight + theirs.log_p[address] - log_qa.detach()
    vimco(log_w, log_qa).surrogate.mean().backward()
    names = [name for name, _ in model.named_parameters()]
    theirs_by_name = dict(reference.named_parameters())
    mine, other = [model.get_parameter(n).grad for n in names], [theirs_by_name[n].grad for n in names]
    norm = torch.stack([gradient.norm() for gradient in other if gradient is not None]).norm()
    for name, one, two in zip(names, mine, other, strict=True):
        assert one is not None, name
        assert two is not None, name
        # Against the whole gradient: the signal of a single precision bound of 300 nats is itself rounded to 3e-5.
        assert float((one - two).norm() / norm) <= tolerance, name


@pytest.mark.parametrize("chunk", [1, 5, 7, 24])
def test_chunks_do_not_change_the_draws(chunk: int) -> None:
    model = _ready(CONVOLUTIONAL, torch.float64)
    targets, slots = _images(6, CONVOLUTIONAL, 1, torch.float64), _images(9, CONVOLUTIONAL, 2, torch.float64)
    memory = model.read(slots)
    address = model.address(targets, memory).draw(4, torch.Generator().manual_seed(3))
    whole = model.log_terms(targets, memory, address, torch.Generator().manual_seed(4))
    parts = model.log_terms(targets, memory, address, torch.Generator().manual_seed(4), chunk=chunk)
    for name in ("log_px", "log_pz", "log_qz", "kl_z"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize(("chunk", "slots"), [(1, 1), (5, 2), (24, 12)])
def test_chunks_limit_what_is_held_at_a_time(chunk: int, slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples decoded, pairs recognised, and slots encoded: half as many, since a slot holds about twice as much."""
    model = _ready(CONFIGS["fully connected"], torch.float32)
    targets, memory = (
        _images(6, model.config, 1, torch.float32),
        model.read(_images(15, model.config, 2, torch.float32)),
    )
    held: dict[str, list[int]] = {}

    def counted(name: str, of: int) -> None:
        inner = getattr(model, name)

        def count(*arguments: Any) -> Any:
            held.setdefault(name, []).append(len(arguments[of]))
            return inner(*arguments)

        monkeypatch.setattr(model, name, count)

    for name, of in (("encode_slots", 0), ("recognise", 2), ("decode", 2)):
        counted(name, of)
    address = torch.arange(6 * 10).view(6, 10) % 15  # every slot by four targets
    model.log_terms(targets, memory, address, chunk=chunk)
    assert {name: max(counts) for name, counts in held.items()} == {
        "encode_slots": slots, "recognise": chunk, "decode": chunk
    }  # fmt: skip
    assert sum(held["encode_slots"]) == 15  # none of them twice


@pytest.mark.parametrize(("gradient", "expected"), [(True, [257]), (False, [256, 1])])
def test_slots_are_embedded_256_at_a_time_where_no_gradient_is_kept(
    gradient: bool, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _ready(CONFIGS["fully connected"], torch.float32)
    slots, counts = _images(257, model.config, 2, torch.float32), []
    inner = model.key_network.forward

    def counted(images: Tensor) -> Tensor:
        counts.append(len(images))
        result: Tensor = inner(images)
        return result

    monkeypatch.setattr(model.key_network, "forward", counted)
    with torch.set_grad_enabled(gradient):
        assert model.keys(slots).shape == (257, 12)
    assert counts == expected


def test_equal_pairs_share_one_recognition_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _ready(CONVOLUTIONAL, torch.float32)
    targets, slots = _images(3, CONVOLUTIONAL, 1, torch.float32), _images(4, CONVOLUTIONAL, 2, torch.float32)
    address = torch.tensor([[1, 1, 1, 2], [0, 0, 0, 0], [3, 1, 3, 1]])
    passes = []
    inner = model.recognition.forward

    def counted(x: Tensor, side: Tensor, target: Tensor, slot: Tensor) -> Tensor:
        passes.append(len(target))
        result: Tensor = inner(x, side, target, slot)
        return result

    monkeypatch.setattr(model.recognition, "forward", counted)
    model.log_terms(targets, model.read(slots), address)
    assert passes == [5]


def test_every_layer_stays_in_channels_last() -> None:
    """A tensor that slips into NCHW makes the convolutions after it several times slower in backward."""
    model = _ready(CONVOLUTIONAL, torch.float32)
    seen: dict[str, bool] = {}

    def look(name: str):  # type: ignore[no-untyped-def]
        def hook(_: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            for tensor in (*inputs, output):
                seen[name] = seen.get(name, True) and tensor.is_contiguous(memory_format=torch.channels_last)

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and type(module) is torch.nn.Conv2d:
            module.register_forward_hook(look(name))
    targets, slots = _images(6, CONVOLUTIONAL, 1, torch.float32), _images(9, CONVOLUTIONAL, 2, torch.float32)
    memory = model.read(slots)
    model.log_terms(targets, memory, model.address(targets, memory).draw(4))
    assert len(seen) == 4 * 5  # four pyramids, whose first layers are matrix products
    assert all(seen.values()), [name for name, fine in seen.items() if not fine]
    encoded = model.encode_slots(slots)
    assert all(side.is_contiguous(memory_format=torch.channels_last) for side in encoded.decoder[1:])


def test_gradients_stay_in_channels_last() -> None:
    """A view changed in place is enough for autograd to copy its gradient into NCHW."""
    model = _ready(CONVOLUTIONAL, torch.float32)
    targets, slots = _images(6, CONVOLUTIONAL, 1, torch.float32), _images(9, CONVOLUTIONAL, 2, torch.float32)
    memory = model.read(slots)
    log_terms = model.log_terms(targets, memory, model.address(targets, memory).draw(4))
    seen: list[bool] = []

    class Look(TorchDispatchMode):  # type: ignore[no-untyped-call,misc,unused-ignore]
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func in (torch.ops.aten.threshold_backward.default, torch.ops.aten.convolution_backward.default):
                maps = [x for x in args[:2] if x.dim() == 4]
                seen.extend(x.is_contiguous(memory_format=torch.channels_last) for x in maps)
            return func(*args, **(kwargs or {}))

    with Look():  # type: ignore[no-untyped-call]
        (log_terms.log_weight.sum() + memory.keys.sum()).backward()
    assert len(seen) > 50
    assert all(seen)


def test_generated_pixels_follow_the_slot() -> None:
    """Slots differ, so what is decoded from one latent must differ between them."""
    model = _ready(CONVOLUTIONAL, torch.float32)
    with torch.no_grad():
        encoded = model.encode_slots(_images(2, CONVOLUTIONAL, 2, torch.float32))
    with torch.no_grad():
        logits = model.decode(synthetic.Given(torch.zeros(2, 5)), encoded, torch.tensor([0, 1]))
    assert logits.shape == (2, 26 * 26)
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3


def test_slots_of_another_shape_are_refused() -> None:
    model = _ready(CONVOLUTIONAL, torch.float32)
    with pytest.raises(ValueError, match="slots of shape"):
        model.read(torch.zeros(3, 1, 28, 28))


def test_learned_memory_has_a_gradient_in_pixels_and_vectors() -> None:
    for config in (
        CONVOLUTIONAL.model_copy(update={"learned_slots": 6}),
        CONFIGS["fully connected"].model_copy(update={"learned_slots": 6, "slot": 10}),
    ):
        model = _ready(config, torch.float32)
        assert model.learned_memory is not None
        targets = _images(3, config, 1, torch.float32)
        memory: EncodedMemory = model.read(model.learned_memory())
        addressing = model.address(targets, memory)
        drawn = Addresses(addressing.draw(2, torch.Generator().manual_seed(0)))
        log_terms: LogTerms = model.log_terms(targets, memory, drawn.address)
        Vimco(2).objective(log_terms, addressing, drawn).surrogate.sum().backward()
        gradient = model.learned_memory.slots.grad
        assert gradient is not None
        assert bool((gradient.flatten(1).norm(dim=1) > 0).all())


def test_a_flat_prior_has_no_query_point() -> None:
    model = _ready(CONVOLUTIONAL.model_copy(update={"address_prior": "flat"}), torch.float32)
    assert model.query_point is None
    assert "query_point" not in model.state_dict()
    with torch.no_grad():
        log_prior = model.read(_images(5, CONVOLUTIONAL, 2, torch.float32)).log_prior
    torch.testing.assert_close(log_prior, torch.full((5,), 0.2).log())


def test_one_memory_for_all_targets_takes_no_mask() -> None:
    model = _ready(CONVOLUTIONAL, torch.float32)
    with pytest.raises(ValueError, match="no mask"):
        model.read(_images(3, CONVOLUTIONAL, 2, torch.float32), torch.ones(2, 3, dtype=torch.bool))
