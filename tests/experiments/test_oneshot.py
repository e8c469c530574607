"""The one-shot challenge by a model whose embeddings are rigged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests import synthetic
from tests.experiments.conftest import ADDRESSES
from vmacore.config import Config
from vmacore.data.characters import Characters, Dataset
from vmacore.experiments import oneshot
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.oneshot import ALONE, TOGETHER, errors, mean_and_error
from vmacore.models.vma import VariationalMemoryAddressing

WAY, RUNS = 20, 2


class OneHot(VariationalMemoryAddressing):
    """A drawing's first pixels name the class that it is taken for, the last one how sure that is."""

    def _embeddings(self, network: torch.nn.Module, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :WAY] * (1 + images.flatten(1)[:, -1:])


def challenge() -> Characters:
    """All right in the first run; in the second, query 0 is taken for 1, less surely than 1 is."""
    images = torch.zeros(RUNS * WAY * 2, 64)
    for run in range(RUNS):
        for c in range(WAY):
            first = 2 * (run * WAY + c)
            images[first, c] = 1  # memory
            images[first + 1, c] = images[first + 1, -1] = 1  # query
    wrong = images[2 * WAY + 1]
    wrong.zero_()[1] = 1
    labels = torch.arange(RUNS * WAY).repeat_interleave(2)
    return Characters(images.view(-1, 8, 8).byte(), labels, tuple(f"run/{c}" for c in range(RUNS * WAY)))


def test_errors_alone_and_matched_one_to_one(lab: Lab) -> None:
    found = errors(OneHot(synthetic.MODEL.model_copy(update={"embedding": WAY})), challenge(), lab)
    assert found[ALONE].tolist() == [0, pytest.approx(1 / WAY)]
    assert found[TOGETHER].tolist() == [0, 0]


def test_every_seed_has_its_rows_and_then_the_mean(
    make_lab: Callable[..., Lab], tiny_recipes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Plan("omniglot-addresses", "h", ADDRESSES)
    monkeypatch.setattr(oneshot, "H", replace(oneshot.H, plan=small))
    of_runs = replace(synthetic.dataset(), name="omniglot-oneshot", test=challenge())

    def dataset(lab: Lab, which: Config, protocol: str | None = None) -> Dataset:
        return of_runs if which.data.dataset == "omniglot-oneshot" else found(lab, which, protocol)

    found = Lab.dataset
    monkeypatch.setattr(Lab, "dataset", dataset)
    result = oneshot.run(make_lab(steps=4, seeds=2))
    rows = [one for one in result.rows if one.group == ALONE]
    assert [one.label for one in rows] == ["seed 0", "seed 1", "mean of 2 seeds"]
    numbers = [one.ours for one in rows]
    assert None not in numbers
    assert numbers[2] == pytest.approx((numbers[0] + numbers[1]) / 2)  # type: ignore[operator]
    assert len(result.rows) == 6


def test_the_error_is_over_the_runs() -> None:
    mean, error = mean_and_error(torch.tensor([0.0, 0.1, 0.2, 0.1]).double())
    assert (mean, error) == (pytest.approx(10), pytest.approx(100 * (0.02 / 3) ** 0.5 / 2))
