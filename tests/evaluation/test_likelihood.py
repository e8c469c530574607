"""The scorer against the reference model, enumeration over addresses, and its own promises."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import synthetic
from vmacore.config import ModelConfig
from vmacore.data.characters import Characters
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.evaluation import likelihood
from vmacore.evaluation.likelihood import Score, decoded_at_once, score, score_episodes
from vmacore.models.reference import ReferenceModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

CHARACTERS = synthetic.characters([6] * 8)
FLAT = ModelConfig(network="fully-connected", size=(8, 8), layers=(16, 8), latent=2, embedding=6)


def _model(config: ModelConfig = synthetic.MODEL, scale: float = 0.15) -> VariationalMemoryAddressing:
    """Weights away from where they start, so that no distribution equals another."""
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def _score(model: VariationalMemoryAddressing, characters: Characters = CHARACTERS, **changes: Any) -> Score:
    arguments = {"classes": 3, "shots": 2, "targets": 2, "samples": 4, "episodes": 3, "seed": 7}
    return score(model, characters, **{**arguments, **changes})


@pytest.mark.parametrize("config", [synthetic.MODEL, FLAT], ids=["convolutional", "fully connected"])
def test_score_equals_the_reference_model(config: ModelConfig) -> None:
    model = _model(config)
    reference = ReferenceModel(config)
    reference.load_state_dict(model.state_dict())
    sampler = EpisodeSampler(CHARACTERS, n_way=3, n_shot=2, n_target=2, seed=7)
    each, nll, reconstruction, kl_a, kl_z, prior, posterior = ([] for _ in range(7))
    for index in range(3):
        episode, noise = sampler.at(index), generator(7, index, Stream.NOISE)
        with torch.no_grad():
            address = model.address(episode.targets, model.read(episode.memory)).draw(4, noise)
            epsilon = torch.randn(24, config.latent, generator=noise)
            addressing, log_terms = reference(episode.targets, episode.memory, address, epsilon)
        q = torch.distributions.Categorical(logits=addressing.log_q)
        p = torch.distributions.Categorical(logits=addressing.log_p)
        log_w = log_terms.log_px + log_terms.log_pz + p.log_prob(address) - log_terms.log_qz - q.log_prob(address.T).T
        each.append(-(log_w.logsumexp(1) - math.log(4)))
        nll.append(each[-1].mean())
        reconstruction.append(-log_terms.log_px.mean())
        kl_a.append(torch.distributions.kl_divergence(q, p).mean())
        kl_z.append(log_terms.kl_z.mean())
        prior.append(p.entropy())
        posterior.append(q.entropy().mean())

    found = _score(model)
    expected = {
        "nll": nll, "reconstruction": reconstruction, "kl_address": kl_a, "kl_latent": kl_z,
        "prior_entropy": prior, "posterior_entropy": posterior,
    }  # fmt: skip
    for name, values in expected.items():
        assert getattr(found, name) == pytest.approx(float(torch.stack(values).mean()), rel=1e-4), name
    each_value = [*found.per_episode, *itertools.chain(*found.per_target)]
    assert {type(value) for value in each_value} == {float}  # what JSON can say
    assert found.nll == pytest.approx(math.fsum(found.per_episode) / 3, rel=1e-12)  # a mean in float64
    assert found.per_episode == pytest.approx([float(value) for value in nll], rel=1e-4)
    torch.testing.assert_close(torch.tensor(found.per_target), torch.stack(each), rtol=1e-4, atol=1e-4)
    assert found.nll_se == pytest.approx(float(torch.stack(nll).std()) / math.sqrt(3), rel=1e-2)
    assert found.elbo == pytest.approx(-(found.reconstruction + found.kl_address + found.kl_latent))
    assert (found.targets, found.episodes, found.slots) == (18, 3, 6)


def test_one_sample_on_average_is_the_elbo() -> None:
    found = _score(_model(FLAT, scale=0.02), samples=1, episodes=200)  # 1,200 targets
    assert found.nll == pytest.approx(-found.elbo, abs=0.15)
    assert found.kl_latent > 1  # far from what it would be if z said nothing


def test_more_samples_tighten_the_bound_on_the_same_episodes() -> None:
    model = _model(FLAT)
    scores = [_score(model, samples=samples, episodes=20) for samples in (1, 8, 64)]
    for fewer, more in itertools.pairwise(scores):
        gains = torch.tensor(fewer.per_episode) - torch.tensor(more.per_episode)
        assert float(gains.mean()) > 3 * float(gains.std()) / math.sqrt(20)
        assert more.kl_address == fewer.kl_address  # exact, so the number of samples is all the same to it


def _exact(model: VariationalMemoryAddressing, targets: Tensor, slots: Tensor) -> Tensor:
    """log p(x|M) [B] in float64: a sum over addresses, and over a grid of latents out to seven deviations."""
    side = torch.linspace(-7, 7, 141, dtype=torch.float64)
    z, area = torch.cartesian_prod(side, side), float(side[1] - side[0]) ** 2
    memory, encoded = model.read(slots), model.encode_slots(slots)
    of_slots = []
    for slot in range(len(slots)):
        mean, log_scale = encoded.prior[slot].chunk(2)
        log_pz = torch.distributions.Normal(mean, log_scale.exp()).log_prob(mean + log_scale.exp() * z).sum(1)
        at = torch.full((len(z),), slot)
        latents = synthetic.Given(mean + log_scale.exp() * z)
        likelihood = torch.distributions.Bernoulli(logits=model.decode(latents, encoded, at))
        log_px = torch.stack([likelihood.log_prob(x).sum(1) for x in targets.flatten(1)])  # [B, grid]
        width = math.log(area) + log_scale.sum()
        of_slots.append((log_px + log_pz).logsumexp(1) + width)
    return (torch.stack(of_slots, 1) + memory.log_prior).logsumexp(1)


def test_the_bound_lies_below_the_likelihood_and_rises_to_it() -> None:
    model = _model(FLAT, scale=0.05)
    with torch.no_grad():  # q(z|x, m) wider than p(z|x, m), so that the bound rises quickly
        last = model.recognition.rest[-1]  # type: ignore[index]
        last.weight.mul_(0.2)
        last.bias[2:] = 0.3
        model.prior.weight[2:] *= 0.1  # type: ignore[index, operator]
        model.prior.bias[2:] = 0.0  # type: ignore[index, operator]
    sampler = EpisodeSampler(CHARACTERS, n_way=2, n_shot=1, n_target=2, seed=7)
    double = copy.deepcopy(model).double()
    exact = []
    with torch.no_grad():
        for index in range(10):
            episode = sampler.at(index)
            exact.append(_exact(double, episode.targets.double(), episode.memory.double()).mean())
    truth = -float(torch.stack(exact).mean())
    sizes = {"classes": 2, "shots": 1, "targets": 2, "episodes": 10}
    nll = [_score(model, samples=samples, **sizes).nll for samples in (1, 10, 100, 5_000)]
    assert nll == sorted(nll, reverse=True)
    assert nll[0] > truth + 0.3
    assert nll[1] > truth
    assert nll[3] == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("config", [synthetic.MODEL, FLAT], ids=["convolutional", "fully connected"])
def test_the_budget_does_not_change_the_result(config: ModelConfig) -> None:
    model = _model(config)
    whole = _score(model, samples=10)
    for budget in (1, 3 * model.bytes_per_sample, 17 * model.bytes_per_sample):
        parts = _score(model, samples=10, budget_bytes=budget)
        for name in ("nll", "elbo", "reconstruction", "kl_address", "kl_latent", "posterior_entropy"):
            assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-5), name


def test_the_budget_limits_what_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = _model(), []
    inner = model.decode

    def decode(*given: Any) -> Tensor:
        logits = inner(*given)
        sizes.append(len(logits))
        return logits

    monkeypatch.setattr(model, "decode", decode)
    _score(model, samples=10, episodes=2, budget_bytes=7 * model.bytes_per_sample)
    assert max(sizes) == 7
    assert sum(sizes) == 2 * 6 * 10


@pytest.mark.parametrize("learned", [0, 5])
def test_episodes_and_noise_are_made_on_the_device_asked_for(monkeypatch: pytest.MonkeyPatch, learned: int) -> None:
    device, seen = torch.device("cpu", 0), []  # the same as "cpu", but for its name

    def look(make: Any) -> Any:
        def made(*given: Any, **named: Any) -> Any:
            seen.append(named["device"] if named else given[-1])
            return make(*given, **named)

        return made

    for name in ("EpisodeSampler", "MinibatchSampler", "generator"):
        monkeypatch.setattr(f"vmacore.evaluation.likelihood.{name}", look(getattr(likelihood, name)))
    model = _model(FLAT.model_copy(update={"learned_slots": learned, "slot": 10}) if learned else FLAT)
    _score(model, device=device)
    assert seen == [device] * 4  # a sampler, and noise for 3 episodes


def test_samples_decoded_at_once() -> None:
    """64 MiB where caches are small, 1 GiB elsewhere; never none."""
    model = _model()
    assert decoded_at_once(model, "cpu") == 64 * 1024**2 // model.bytes_per_sample > 1
    assert decoded_at_once(model, "cuda") == 1024**3 // model.bytes_per_sample
    assert decoded_at_once(model, "cuda", 3 * model.bytes_per_sample) == 3
    assert decoded_at_once(model, "cpu", model.bytes_per_sample - 1) == 1


@pytest.mark.parametrize("latent", [0, 2])
def test_kl_of_the_latents_by_stage(latent: int) -> None:
    config = ModelConfig(
        network="residual", size=(8, 8), stages=(4, 6), blocks=(1, 1), latent_maps=(1, 2), latent=latent,
        embedding=6, hidden=8,
    )  # fmt: skip
    scored = _score(_model(config, 0.05))
    vector, *maps = scored.kl_levels
    assert len(maps) == 2
    assert min(maps) > 0
    assert vector == 0 if latent == 0 else vector > 1e-4
    assert sum(scored.kl_levels) == pytest.approx(scored.kl_latent)
    assert _score(_model()).kl_levels == pytest.approx((_score(_model()).kl_latent,))


def test_the_seed_decides() -> None:
    model = _model()
    first = _score(model)
    torch.manual_seed(9)
    assert _score(model) == first
    assert _score(model, seed=8).nll != first.nll


def test_the_error_over_classes_takes_targets_of_a_class_together() -> None:
    """Classes of the split: those of an episode are numbered anew in each, and every target is of one of eight."""
    found = _score(_model(), episodes=6)
    sampler = EpisodeSampler(CHARACTERS, n_way=3, n_shot=2, n_target=2, seed=7)
    mean = math.fsum(itertools.chain(*found.per_target)) / 36
    of_class: dict[str, float] = {}
    for index, row in enumerate(found.per_target):
        for drawing, nll in zip(sampler.at(index).target_index.tolist(), row, strict=True):
            name = CHARACTERS.classes[int(CHARACTERS.labels[drawing])]
            of_class[name] = of_class.get(name, 0.0) + nll - mean
    classes = len(of_class)
    expected = math.sqrt(sum(total**2 for total in of_class.values()) * classes / (classes - 1)) / 36
    assert 3 < classes <= 8
    assert found.nll_class_se == pytest.approx(expected, rel=1e-12)


def test_there_is_an_error_over_classes_from_two_classes_on() -> None:
    model = _model(FLAT)
    one, two = (_score(model, synthetic.characters([6] * classes), classes=classes) for classes in (1, 2))
    assert one.nll_class_se is None
    assert two.nll_class_se is not None
    assert math.isfinite(two.nll_class_se)


def test_targets_that_all_fall_into_one_class_have_no_error_over_classes() -> None:
    """Two episodes of one class each, of two there are: seeds decide whether it is the same class."""
    characters, sizes = synthetic.characters([6, 6]), {"classes": 1, "shots": 2, "targets": 1, "episodes": 2}
    drawn = {}
    for seed in range(6):
        sampler = EpisodeSampler(characters, n_way=1, n_shot=2, n_target=1, seed=seed)
        drawn[seed] = {int(characters.labels[sampler.at(step).target_index]) for step in range(2)}
        found = score(_model(FLAT), characters, samples=2, seed=seed, **sizes).nll_class_se
        assert (found is None) is (len(drawn[seed]) == 1)
        assert found is None or math.isfinite(found)
    assert {len(classes) for classes in drawn.values()} == {1, 2}


def test_four_targets_of_each_class_and_seed_0_by_default() -> None:
    model, sizes = _model(FLAT), {"classes": 3, "shots": 2, "samples": 2, "episodes": 2}
    assert score(model, CHARACTERS, **sizes) == score(model, CHARACTERS, targets=4, seed=0, **sizes)
    sampler = EpisodeSampler(CHARACTERS, n_way=3, n_shot=2, n_target=4, seed=0)
    found = score_episodes(model, sampler, samples=2, episodes=2)
    assert found == score_episodes(model, sampler, samples=2, episodes=2, seed=0)
    assert found.targets == 24


def test_learned_memory() -> None:
    config = FLAT.model_copy(update={"learned_slots": 5, "slot": 10})
    found = _score(_model(config), classes=3, targets=4, shots=50)  # shots say nothing about a learned memory
    assert (found.slots, found.targets) == (5, 36)
    assert found.elbo == pytest.approx(-(found.reconstruction + found.kl_address + found.kl_latent))
    assert 0 < found.nll < -found.elbo


def test_progress_counts_episodes() -> None:
    seen: list[tuple[int, int]] = []
    _score(_model(FLAT), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_no_gradient_is_kept() -> None:
    model = _model(FLAT)
    _score(model)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "at least 1"),
        ({"classes": 0}, "at least 1"),
        ({"shots": 0}, "at least 1"),
        ({"targets": 0}, "at least 1"),
        ({"episodes": 1}, "episodes at least 2"),
        ({"classes": 9}, "9 classes asked for, but the split holds 8"),
        ({"shots": 5}, "5 in memory and 2 targets"),
    ],
)
def test_what_cannot_be_scored(changes: dict[str, int], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        _score(_model(FLAT), **changes)


def test_images_of_another_size() -> None:
    model = _model(FLAT.model_copy(update={"size": (10, 9)}))
    with pytest.raises(VmaError, match="images are 8×8, but the model reads 10×9"):
        _score(model)
