"""The bound and the VIMCO gradient against enumeration, finite differences and quadrature, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vmacore.objectives import (
    importance_bound,
    leave_one_out,
    leave_one_out_geometric,
    mean_of_others,
    neighbours,
    reinforce,
    rloo,
    stratified,
    vimco,
    wake,
    wake_address,
)

SLOTS, K = 4, 3


def _logits() -> tuple[Tensor, Tensor, Tensor]:
    """Parameters of q(a|x) and p(a) and the log-likelihood of each slot, so far apart that the bound is loose."""
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(SLOTS, dtype=torch.float64, generator=draw) * scale for scale in (1.0, 0.5, 2.0))  # type: ignore[return-value]


def _log_w(q: Tensor, p: Tensor, likelihood: Tensor, address: Tensor) -> Tensor:
    return (likelihood + p.log_softmax(0) - q.log_softmax(0))[address]


def _expected_bound(parameters: Tensor) -> Tensor:
    """The exact expectation of the K-sample bound over all SLOTS^K address tuples."""
    q, p, likelihood = parameters.split(SLOTS)
    tuples = torch.tensor(list(itertools.product(range(SLOTS), repeat=K)))  # [SLOTS^K, K]
    probability = q.log_softmax(0)[tuples].sum(1).exp()
    return (probability * importance_bound(_log_w(q, p, likelihood, tuples))).sum()


def _finite_difference(parameters: Tensor, width: float = 1e-5) -> Tensor:
    gradient = torch.zeros_like(parameters)
    for index in range(len(parameters)):
        shift = torch.zeros_like(parameters)
        shift[index] = width
        gradient[index] = (_expected_bound(parameters + shift) - _expected_bound(parameters - shift)) / (2 * width)
    return gradient


def _right(log_w_detached_q: Tensor, log_w: Tensor, log_qa: Tensor) -> Tensor:
    return vimco(log_w_detached_q, log_qa).surrogate


def _without_the_term(log_w_detached_q: Tensor, log_w: Tensor, log_qa: Tensor) -> Tensor:
    """−ω̄ left out, with log q(a) detached inside w."""
    signal = (importance_bound(log_w)[:, None] - leave_one_out(log_w)).detach()
    return importance_bound(log_w_detached_q) + (signal * log_qa).sum(1)


def _with_it_twice(log_w_detached_q: Tensor, log_w: Tensor, log_qa: Tensor) -> Tensor:
    """−ω̄ written out, with log q(a) not detached."""
    return vimco(log_w, log_qa).surrogate


def _estimator_bias(estimator) -> float:  # type: ignore[no-untyped-def]
    """Largest difference between the expectation of the estimator over all tuples and the exact gradient."""
    parameters = torch.cat(_logits()).requires_grad_()
    q, p, likelihood = parameters.split(SLOTS)
    tuples = torch.tensor(list(itertools.product(range(SLOTS), repeat=K)))
    log_qa = q.log_softmax(0)[tuples]
    probability = log_qa.sum(1).exp().detach()
    surrogate = estimator(_log_w(q.detach(), p, likelihood, tuples), _log_w(q, p, likelihood, tuples), log_qa)
    (expected,) = torch.autograd.grad((probability * surrogate).sum(), parameters)
    return float((expected - _finite_difference(parameters.detach())).abs().max())


def test_vimco_is_unbiased_over_all_address_tuples() -> None:
    assert _estimator_bias(_right) < 1e-6


@pytest.mark.parametrize("wrong", [_without_the_term, _with_it_twice])
def test_the_same_check_finds_both_wrong_forms(wrong) -> None:  # type: ignore[no-untyped-def]
    assert _estimator_bias(wrong) > 1e-2


def test_leave_one_out_does_not_cancel_where_one_weight_dominates() -> None:
    log_w = torch.tensor([[0.0, -100.0, -101.0]], dtype=torch.float64)
    expected = [math.log((math.exp(-100) + math.exp(-101)) / 2), math.log((1 + math.exp(-101)) / 2)]
    torch.testing.assert_close(leave_one_out(log_w)[0, :2], torch.tensor(expected, dtype=torch.float64))


def test_the_other_leave_one_out_means() -> None:
    w = torch.tensor([[0.5, 2.0, 4.0]], dtype=torch.float64)
    geometric = [(math.sqrt(8) + 2 + 4) / 3, (math.sqrt(2) + 0.5 + 4) / 3, (1 + 0.5 + 2) / 3]
    torch.testing.assert_close(leave_one_out_geometric(w.log()).exp()[0].tolist(), geometric)
    assert mean_of_others(w)[0].tolist() == [3.0, 2.25, 1.25]


@pytest.mark.parametrize("changes", [{}, {"geometric": False}, {"geometric": True}], ids=str)
def test_the_signal_of_each_baseline(changes: dict[str, bool]) -> None:
    """Both are unbiased, so that only numbers tell one from the other. The default is the paper's, equation 10."""
    w = [0.5, 2.0, 4.0]
    means = [3.0, 2.25, 1.25]
    if changes.get("geometric"):
        means = [(math.sqrt(8) + 2 + 4) / 3, (math.sqrt(2) + 0.5 + 4) / 3, (1 + 0.5 + 2) / 3]
    log_qa = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    objective = vimco(torch.tensor([w], dtype=torch.float64).log(), log_qa, **changes)
    (signal,) = torch.autograd.grad(objective.surrogate.sum(), log_qa)
    expected = [math.log(6.5 / 3) - math.log(mean) - each / 6.5 for each, mean in zip(w, means, strict=True)]
    assert signal[0].tolist() == pytest.approx(expected)


def test_a_baseline_is_subtracted() -> None:
    """Unbiased whatever its sign; with the wrong one the variance is larger."""
    log_w = torch.tensor([[-1.0, -3.0]], dtype=torch.float64, requires_grad=True)
    log_qa = torch.tensor([[-0.5, -0.7]], dtype=torch.float64, requires_grad=True)
    objective = reinforce(log_w, log_qa, torch.tensor([[-2.0, -5.0]], dtype=torch.float64))
    of_log_w, signal = torch.autograd.grad(objective.surrogate.sum(), (log_w, log_qa))
    assert signal.tolist() == [[0.5, 1.0]]  # (−1 + 2) / 2 and (−3 + 5) / 2
    assert of_log_w.tolist() == [[0.5, 0.5]]
    assert float(objective.bound.detach()) == pytest.approx(math.log((math.exp(-1) + math.exp(-3)) / 2))


def test_two_samples_are_each_others_baseline() -> None:
    log_qa = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    (signal,) = torch.autograd.grad(rloo(torch.tensor([[-1.0, -3.0]]), log_qa).surrogate.sum(), log_qa)
    assert signal.tolist() == [[1.0, -1.0]]


def test_the_mean_of_the_enumerated_centres_the_signal() -> None:
    """Unbiased whatever the centre; another one has a larger variance."""
    log_qa = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    log_w, share = torch.tensor([[-1.0, -3.0, -7.0]]).double(), torch.tensor([[0.2, 0.6, 0.2]]).double()
    objective = stratified(log_w, log_qa, share, 2)
    (signal,) = torch.autograd.grad(objective.surrogate.sum(), log_qa)
    centre = 0.25 * -1 + 0.75 * -3  # −2.5
    assert signal[0].tolist() == pytest.approx([0.2 * (-1 - centre), 0.6 * (-3 - centre), 0.2 * (-7 - centre)])
    assert float(objective.bound) == pytest.approx(0.2 * -1 + 0.6 * -3 + 0.2 * -7)


def test_shares_have_no_gradient_of_their_own() -> None:
    """What is q(a|x) among them counts by log q(a|x): through its share too, it would count twice."""
    share = torch.tensor([[0.6, 0.4]], requires_grad=True)
    log_w = torch.tensor([[-1.0, -3.0]], requires_grad=True)
    objective = stratified(log_w, torch.zeros(1, 2), share, 1)
    (objective.bound + objective.surrogate).sum().backward()
    assert share.grad is None
    torch.testing.assert_close(log_w.grad, 2 * share.detach())


def test_a_targets_neighbours_are_those_that_address_the_same_slots() -> None:
    log_q = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.0, 0.75], [0.0, 0.0, 1.0]]).log()
    log_w = torch.tensor([[-1.0, -3.0], [-5.0, -5.0], [-9.0, -7.0], [-40.0, -20.0]])  # means −2, −5, −8, −30
    baseline = neighbours(log_w, log_q)
    assert baseline.shape == (4, 1)
    assert float(baseline[0]) == pytest.approx((0.5 * -5 + 0.25 * -8) / 0.75)
    assert float(baseline[3]) == pytest.approx(-8)  # the others share no slot with it
    moved = log_w.clone()
    moved[0] += 100
    assert float(neighbours(moved, log_q)[0]) == float(baseline[0])  # or it would bias the gradient
    assert float(neighbours(log_w[:1], log_q[:1])) == 0
    assert not neighbours(log_w.requires_grad_(), log_q).requires_grad


def test_targets_without_neighbours_have_the_mean_of_all_others() -> None:
    log_q = torch.eye(3).log()
    found = neighbours(torch.tensor([[-1.0], [-2.0], [-6.0]]), log_q)
    torch.testing.assert_close(found[:, 0], torch.tensor([-4.0, -3.5, -1.5]))


def test_the_bound_is_reported_and_the_surrogate_differentiated() -> None:
    log_w = torch.tensor([[-1.0, -3.0]], dtype=torch.float64)
    objective = vimco(log_w, torch.tensor([[-0.5, -0.7]], dtype=torch.float64))
    assert float(objective.bound) == pytest.approx(math.log((math.exp(-1) + math.exp(-3)) / 2))
    assert float(objective.surrogate) != float(objective.bound)


def test_one_sample_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        vimco(torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"\[B, K\]"):
        vimco(torch.zeros(3, 2), torch.zeros(3, 4))
    for objective in (
        vimco,
        wake,
        wake_address,
        lambda *terms: reinforce(*terms, torch.zeros(3, 1)),
        lambda *terms: stratified(*terms, torch.full((3, 2), 0.5), 1),
    ):
        with pytest.raises(ValueError, match=r"\[B, K\]"):
            objective(torch.zeros(3, 2), torch.zeros(3, 1))
        with pytest.raises(ValueError, match=r"\[B, K\]"):
            objective(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="at least 2 samples"):
        rloo(torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="must be enumerated"):
        stratified(torch.zeros(3, 2), torch.zeros(3, 2), torch.full((3, 2), 0.5), 0)


class _Mixture:
    """p(a), q(a) over slots; z ∈ R Gaussian given the slot, x ∈ R Gaussian given z: log p(x|M) by enumeration over a
    and quadrature over z."""

    slot = torch.tensor([-2.0, 0.3, 1.5], dtype=torch.float64)
    log_p = torch.tensor([0.2, -0.4, 0.1], dtype=torch.float64).log_softmax(0)
    log_q = torch.tensor([-1.0, 0.9, 0.3], dtype=torch.float64).log_softmax(0)
    x = torch.tensor(0.8, dtype=torch.float64)

    def log_joint(self, a: Tensor, z: Tensor) -> Tensor:
        prior = torch.distributions.Normal(self.slot[a], 1.0).log_prob(z)
        return self.log_p[a] + prior + torch.distributions.Normal(z.sin() + z, 0.5).log_prob(self.x)

    def log_marginal(self) -> Tensor:
        z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
        a = torch.arange(3)[:, None]
        return (self.log_joint(a, z).logsumexp((0, 1))) + math.log(24 / 20_000)

    def bound(self, samples: int, count: int, draw: torch.Generator) -> Tensor:
        a = self.log_q.exp().multinomial(samples * count, replacement=True, generator=draw).view(count, samples)
        q = torch.distributions.Normal(self.slot[a] * 0.5, 1.3)
        z = q.mean + 1.3 * torch.randn(count, samples, dtype=torch.float64, generator=draw)
        return importance_bound(self.log_joint(a, z) - self.log_q[a] - q.log_prob(z))


def test_the_bound_lies_below_the_log_likelihood_and_rises_to_it() -> None:
    mixture, draw = _Mixture(), torch.Generator().manual_seed(0)
    exact = float(mixture.log_marginal())
    means, errors = [], []
    for samples in (1, 4, 16, 64, 1024):
        bounds = mixture.bound(samples, 2_000, draw)
        means.append(float(bounds.mean()))
        errors.append(float(bounds.std()) / math.sqrt(2_000))
    for mean, error, following in zip(means, errors, means[1:], strict=False):
        assert mean + 3 * error < following < exact + 3 * error
    assert exact - means[-1] < 0.01
