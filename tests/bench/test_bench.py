"""What `vmacore.bench` measures: tasks that do the work they are said to do, and floors that follow from it."""

from collections.abc import Callable

import pytest
import torch

from vmacore.bench import Sizes, measure
from vmacore.bench import rate as rate_module
from vmacore.bench.growth import growth
from vmacore.bench.operations import operations
from vmacore.bench.rate import candidates
from vmacore.bench.steps import training_step, vma_model
from vmacore.bench.tasks import tasks
from vmacore.bench.timing import in_turns, medians
from vmacore.config import Config

SMALL = Sizes(score_samples=6, score_targets=1, way=2, shot=2, queries=3, columns=2, reference_images=4)


@pytest.fixture
def small_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_module, "CONVOLUTIONS", ((2, 4, 5),))
    monkeypatch.setattr(rate_module, "PRODUCTS", (16,))


@pytest.mark.usefixtures("small_rates")
def test_all_tasks_beside_the_reference_and_the_floor(config: Config) -> None:
    seen: list[tuple[int, int]] = []
    report = measure(config, seconds=0.0, sizes=SMALL, progress=lambda done, rounds: seen.append((done, rounds)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [one.name for one in report.results] == ["train-step", "train-step-bf16", "score", "classify", "sample"]
    best = report.rates[report.best]
    assert best == max(report.rates.values())
    for one in report.results:
        assert one.floor == pytest.approx(best / one.flops)
        assert one.times_floor == pytest.approx(one.floor / one.value)
        assert one.ratio == pytest.approx(one.value / one.reference)
        assert min(one.value, one.reference) > 0


def test_a_task_calls_what_it_counts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmacore.models.vma import VariationalMemoryAddressing

    decoded = 0
    decode: Callable[..., torch.Tensor] = VariationalMemoryAddressing.decode

    def counted(*given: object) -> torch.Tensor:
        nonlocal decoded
        logits = decode(*given)
        decoded += len(logits)
        return logits

    monkeypatch.setattr(VariationalMemoryAddressing, "decode", counted)
    for task in tasks(config, SMALL):
        decoded = 0
        task.ours()
        # Four targets with four samples each; a score and a grid as they count themselves; classifying decodes nothing.
        expected = {"train-step": 16, "train-step-bf16": 16, "score": task.count, "sample": task.count, "classify": 0}
        assert decoded == expected[task.name]
        for reference in task.references.values():
            reference()


def test_weights_stay_while_a_step_is_timed(config: Config) -> None:
    model = vma_model(config)
    before = [weight.detach().clone() for weight in model.parameters()]
    step = training_step(model, config, targets=4, slots=4)
    step()
    step()
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_step_in_bfloat16_computes_in_bfloat16(config: Config) -> None:
    gradients = []
    for precision in ("high", "bfloat16"):
        model = vma_model(config)
        training_step(model, config.with_overrides([f"training.precision={precision}"]), targets=4, slots=4)()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    assert not torch.equal(*gradients)
    torch.testing.assert_close(*gradients, rtol=0.1, atol=0.1 * float(gradients[0].abs().max()))


def test_rates_count_convolutions_without_padding() -> None:
    one = candidates()[1]
    assert "13×13" in one.name
    images, maps, side = rate_module.CONVOLUTIONS[1]
    assert one.flops == 2 * images * maps**2 * (3 * side - 2) ** 2


def test_turns_go_round() -> None:
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = in_turns(calls, rounds=2, repeats={"b": 2})
    assert called == list("abbabb")
    assert {key: len(times) for key, times in seconds.items()} == {"a": 2, "b": 2}
    assert medians({"x": [3.0, 1.0, 2.0]}) == {"x": 2.0}


def test_growth_along_an_axis(config: Config) -> None:
    points = growth(config, steps={"B": (2, 4)}, scores={"side": (8, 9)}, rounds=1)
    assert [(one.task, one.axis, one.value) for one in points] == [
        ("step", "B", 2),
        ("step", "B", 4),
        ("score", "side", 8),
        ("score", "side", 9),
    ]
    assert points[0].flops < points[1].flops < 2 * points[0].flops  # keys of the slots are there for both
    assert points[2].flops < points[3].flops
    assert min(one.seconds for one in points) > 0


@pytest.mark.parametrize("by_shape", [False, True])
def test_operations_of_a_call(by_shape: bool) -> None:
    a = torch.randn(64, 32)
    found = operations(lambda: torch.relu(a @ a.T), repeats=2, by_shape=by_shape)
    names = {one.name: one for one in found}
    assert names["aten::mm"].calls == 1
    assert names["aten::mm"].shapes == ("64×32 32×64" if by_shape else "")
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert [one.seconds for one in found] == sorted((one.seconds for one in found), reverse=True)
