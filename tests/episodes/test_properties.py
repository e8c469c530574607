"""What holds of every episode, whatever the classes, the drawings of each and the sizes asked for."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode, Sampler
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.episodes.none import MinibatchSampler
from vmacore.episodes.recall import RecallSampler
from vmacore.episodes.sequence import SequenceSampler

seeds = st.integers(0, 2**63 - 1)
steps = st.integers(0, 10**9)


@st.composite
def drawings(draw: st.DrawFn) -> Characters:
    """2 to 7 classes of two alphabets, 2 to 9 drawings of each, binary or with intensities."""
    fewest = draw(st.integers(2, 6))
    counts = draw(st.lists(st.integers(fewest, fewest + 3), min_size=2, max_size=7))
    made = synthetic.characters(counts, seed=draw(st.integers(0, 99)), levels=draw(st.sampled_from([1, 4])))
    return replace(made, classes=tuple(f"{'AB'[label % 2]}/character{label}" for label in range(len(counts))))


@st.composite
def few_shot(draw: st.DrawFn) -> tuple[Characters, dict[str, Any]]:
    """Drawings, and sizes of episodes that they can give."""
    characters = draw(drawings())
    fewest = int(characters.counts.min())
    n_way = draw(st.integers(1, characters.n_classes))
    n_shot = draw(st.integers(1, fewest))
    n_target = draw(st.integers(0, fewest - n_shot))
    groups = [count for count in range(1, n_way + 1) if n_way % count == 0]
    sizes = {"n_way": n_way, "n_shot": n_shot, "n_target": n_target, "n_memories": draw(st.sampled_from(groups))}
    return characters, sizes


@st.composite
def samplers(draw: st.DrawFn, seed: int) -> list[Sampler]:
    """Two that are made alike, of any kind."""
    characters, sizes = draw(few_shot())
    n_target = draw(st.integers(1, 5))
    n_slots = draw(st.integers(n_target, max(n_target, len(characters.images))))
    kind = draw(st.sampled_from(["few-shot", "minibatch", "recall", "sequence"]))

    def make() -> Sampler:
        if kind == "few-shot":
            return EpisodeSampler(characters, **sizes, seed=seed)
        if kind == "minibatch":
            return MinibatchSampler(characters, n_target=n_target, seed=seed)
        if kind == "recall":
            return RecallSampler(characters, n_slots=n_slots, n_target=n_target, seed=seed)
        return SequenceSampler(characters, n_sequences=2, length=n_target, max_classes=2, seed=seed, replacement=True)

    assume(kind != "recall" or n_slots <= len(characters.images))
    return [make(), make()]


def _equal(one: Episode, other: Episode) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Episode)]
    return all(a is b is None or torch.equal(a, b) for a, b in pairs)


@given(few_shot(), seeds, steps)
def test_memory_and_targets_are_different_drawings_of_the_same_classes(
    drawn: tuple[Characters, dict[str, Any]], seed: int, step: int
) -> None:
    characters, sizes = drawn
    n_way, n_shot, n_target, n_memories = sizes.values()
    episode = EpisodeSampler(characters, **sizes, seed=seed).at(step)
    used = episode.memory_index.tolist() + episode.target_index.tolist()
    assert len(set(used)) == len(used) == n_way * (n_shot + n_target)

    classes = characters.labels[episode.memory_index].view(n_way, n_shot)
    assert bool((classes == classes[:, :1]).all())
    assert len(set(classes[:, 0].tolist())) == n_way
    assert torch.equal(classes.flatten(), classes[:, 0][episode.memory_labels])
    assert torch.equal(characters.labels[episode.target_index], classes[:, 0][episode.target_labels])
    assert episode.memory_labels.bincount(minlength=n_way).tolist() == [n_shot] * n_way
    assert episode.target_labels.bincount(minlength=n_way).tolist() == [n_target] * n_way

    for pixels, index in ((episode.memory, episode.memory_index), (episode.targets, episode.target_index)):
        ink = characters.images[index].float()[:, None]
        assert bool(((pixels == 0) | (pixels == 1)).all())
        if characters.levels == 1:
            assert torch.equal(pixels, ink)
        else:  # paper stays paper, full ink stays ink
            assert not pixels[ink == 0].any()
            assert pixels[ink == characters.levels].all()

    if n_memories == 1:
        assert episode.mask is None
    else:
        assert episode.mask is not None
        group = n_way // n_memories
        together = episode.target_labels[:, None] // group == episode.memory_labels // group
        assert torch.equal(episode.mask, together)
        assert bool((episode.mask.sum(1) == group * n_shot).all())


@given(few_shot(), st.data(), seeds, steps)
def test_slots_vary_within_what_is_asked(
    drawn: tuple[Characters, dict[str, Any]], data: st.DataObject, seed: int, step: int
) -> None:
    characters, sizes = drawn
    n_way, n_target = sizes["n_way"], sizes["n_target"]
    room = int(characters.counts.min()) - n_target
    assume(room >= 1)
    fewest = data.draw(st.integers(1, room))
    shots = (fewest, data.draw(st.integers(fewest, room + 3)))
    sampler = EpisodeSampler(characters, n_way=n_way, n_shot=1, n_target=n_target, shots=shots, seed=seed)
    episode = sampler.at(step)
    slots = episode.memory_labels.bincount()
    assert len(slots) == n_way
    assert len(set(slots.tolist())) == 1
    assert shots[0] <= int(slots[0]) <= min(shots[1], room)
    assert episode.target_labels.bincount(minlength=n_way).tolist() == [n_target] * n_way
    assert not set(episode.memory_index.tolist()) & set(episode.target_index.tolist())
    classes = characters.labels[episode.memory_index].view(len(slots), -1)[:, 0]
    assert torch.equal(characters.labels[episode.target_index], classes[episode.target_labels])


@given(st.data(), seeds, steps, st.lists(steps, max_size=3))
def test_an_episode_is_a_function_of_seed_and_step(
    data: st.DataObject, seed: int, step: int, before: list[int]
) -> None:
    one, other = data.draw(samplers(seed))
    first = one.at(step)
    for earlier in before:
        other.at(earlier)
    torch.rand(3)  # from the global stream, which no episode may hang on
    assert _equal(other.at(step), first)
    assert _equal(one.at(step), first)


@given(drawings(), seeds, steps, st.data())
def test_recalled_targets_are_slots_bit_for_bit(
    characters: Characters, seed: int, step: int, data: st.DataObject
) -> None:
    n_slots = data.draw(st.integers(1, len(characters.images)))
    n_target = data.draw(st.integers(1, n_slots))
    episode = RecallSampler(characters, n_slots=n_slots, n_target=n_target, seed=seed).at(step)
    assert len(set(episode.memory_index.tolist())) == n_slots
    assert len(set(episode.target_index.tolist())) == n_target
    slot = (episode.target_index[:, None] == episode.memory_index).nonzero()[:, 1]
    assert torch.equal(episode.targets, episode.memory[slot])
    assert torch.equal(episode.target_labels, characters.labels[episode.target_index])
    assert torch.equal(episode.memory_labels, characters.labels[episode.memory_index])
