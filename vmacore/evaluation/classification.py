"""N-way K-shot classification by what the model knows already, with nothing retrained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.addressing import address_posterior
from vmacore.data.characters import Characters
from vmacore.episodes.base import Pixels
from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import Classification, accuracy_of
from vmacore.evaluation.answers import Answers
from vmacore.evaluation.likelihood import check_size
from vmacore.evaluation.rules import class_log_prob, mixture, prototype_log_prob, slot_log_joint
from vmacore.evaluation.tasks import DECODING, MIXTURE_WEIGHT, RULES, SAMPLES
from vmacore.finite import finite
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator
from vmacore.spelling import choose_one_of


class Task(NamedTuple):
    """Indices of drawings in memory and of queries, each with the class within the episode, sorted by it."""

    support: Tensor
    support_label: Tensor
    query: Tensor
    query_label: Tensor


class Classifier:
    """A model on the classes of a split, every drawing embedded once for all tasks that follow.

    Grey levels become binary once, by `seed` (`Characters.binarised`): networks and pixels see 0 and 1 alone.
    shifts: e is the mean over shifts of a drawing by so many pixels of its view each way, in all (2 · shifts + 1)².

    Raises:
        VmaError: a model that draws no address or whose memory is learned, or images of another size.
    """

    def __init__(
        self,
        model: GenerativeModel,
        characters: Characters,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        shifts: int = 0,
    ) -> None:
        self.model = _of_addresses(model)
        check_size(model, characters)
        self.characters = characters.binarised(seed)
        self.seed, self.shifts = seed, shifts
        self.device = torch.device(device)
        self.images = Pixels(self.characters, seed, device).at(0)
        self.labels = self.characters.labels.to(device)

    @cached_property
    def keys(self) -> Tensor:
        """e_a = h(m) [N, E] of every drawing, as memory."""
        return finite(self._in_parts(lambda images: self._averaged(self.model.keys, images)), "its keys")

    @cached_property
    def queries(self) -> Tensor:
        """e_x = h_q(x) [N, E] of every drawing, as a query."""
        return finite(self._in_parts(lambda images: self._averaged(self.model.queries, images)), "its queries")

    @cached_property
    def pixels(self) -> Tensor:
        """Pixels [N, H·W] of every drawing, 0 or 1."""
        return self._in_parts(lambda images: self.model.pixels(images).flatten(1))

    def task(self, index: int, way: int, shot: int, queries: int | None = None) -> Task:
        """The task of that index: the same for the same seed, whatever else is asked; fewer queries are the first."""
        task = few_shot_task(self.characters, way, shot, self.seed, index, queries)
        return Task(*(part.to(self.device) for part in task))

    @torch.no_grad()
    def measure(
        self,
        *,
        way: int,
        shot: int,
        episodes: int,
        rules: Sequence[str] = ("posterior",),
        samples: int = SAMPLES,
        queries: int | None = None,
        weight: float = MIXTURE_WEIGHT,
        progress: Callable[[int, int], None] | None = None,
        record: Callable[[Answers], None] | None = None,
    ) -> list[Classification]:
        """Accuracy by each of `rules`, all on the same episodes, noise and queries.

        posterior: argmax_c Σ_{a∈c} q(a|x) (section 4.2).
        prototype: argmax_c of the similarity to the mean of a class's keys (`prototype_log_prob`).
        likelihood: argmax_c Σ_{a∈c} p̂(x, m_a), every slot decoded (`slot_log_joint`); the prior p(a|M) is a part of
            the joint, so with a learned one the classes are not equally likely beforehand.
        mixture: argmax_c of w log p̂(c|x) + (1 − w) log q(c|x), w = `weight`.

        An episode draws `way` classes of all there are, `shot` drawings of each into memory, and of the drawings left
        over asks `queries` of each class, or all (`few_shot_task`). progress(done, total) counts episodes. record: is
        given every rule's answers in each.

        Raises:
            VmaError: more classes or shots than there are, an unknown rule, counts below 1, or weights that give no
                numbers.
        """
        self.check(way=way, shot=shot, episodes=episodes, rules=rules, samples=samples, queries=queries, weight=weight)
        right: dict[str, list[Tensor]] = {rule: [] for rule in rules}
        nearest, asked = [], []
        for index in range(episodes):
            task = self.task(index, way, shot, queries)
            for rule, scores in self._class_scores(task, index, way, rules, samples, weight).items():
                chosen = scores.argmax(1)
                right[rule].append(chosen == task.query_label)
                if record:
                    classes = self.labels[task.support].view(way, shot)[:, 0]  # of the split
                    given = task.query, classes[chosen], scores.softmax(1).amax(1)
                    record(Answers(way, shot, rule, index, *(part.cpu() for part in given)))
            closest = torch.cdist(self.pixels[task.query], self.pixels[task.support]).argmin(1)
            nearest.append(task.support_label[closest] == task.query_label)
            asked.append(self.labels[task.query])
            if progress:
                progress(index + 1, episodes)
        pixel = accuracy_of(nearest, asked)
        return [
            Classification(
                way,
                shot,
                rule,
                *accuracy_of(right[rule], asked),
                episodes,
                sum(map(len, asked)),
                *pixel,
                queries_per_class=queries,
                samples=samples if rule in DECODING else None,
                weight=weight if rule == "mixture" else None,
                shifts=self.shifts,
            )
            for rule in right
        ]

    def check(
        self,
        *,
        way: int,
        shot: int,
        episodes: int,
        rules: Sequence[str] = ("posterior",),
        samples: int = SAMPLES,
        queries: int | None = None,
        weight: float = MIXTURE_WEIGHT,
    ) -> None:
        """Raises what `measure` would raise, before anything is computed."""
        for rule in rules:
            if rule not in RULES:
                raise VmaError(f"there is no rule {rule!r}; {choose_one_of(rule, RULES)}")
        counts = self.characters.counts
        classes, most = len(counts), int(counts.max()) if len(counts) else 0
        if not 2 <= way <= classes:
            way_out = f"choose 2 to {classes}" if classes > 1 else "tasks take two at least"
            raise VmaError(f"{way}-way asked for, but the split holds {classes} classes: {way_out}")
        if most < 2:
            raise VmaError("every class has one drawing, for memory, and none to ask: add drawings")
        if not 1 <= shot < most:
            raise VmaError(f"{shot}-shot asked for, but no class has more than {most} drawings: choose 1 to {most - 1}")
        enough = int((counts >= shot).sum())
        if enough < way:
            raise VmaError(f"{way}-way asked for, but {enough} classes have {shot} drawings: ask for fewer of either")
        if episodes < 2:
            raise VmaError("an interval needs at least 2 episodes")
        if samples < 1 or (queries is not None and queries < 1):
            raise VmaError("samples and queries must be at least 1")
        if not 0 <= weight <= 1:
            raise VmaError(f"the weight of the likelihood is {weight}: choose 0 to 1")

    def _class_scores(
        self,
        task: Task,
        index: int,
        way: int,
        rules: Sequence[str],
        samples: int,
        weight: float,
    ) -> dict[str, Tensor]:
        """log p(c|x) [Q, way] by each rule, up to a constant of each query."""
        log_q = address_posterior(self.keys[task.support], self.queries[task.query], self.model.config.similarity)
        found = {"posterior": class_log_prob(log_q, way)}
        if "prototype" in rules:
            keys, queries = self.keys[task.support], self.queries[task.query]
            found["prototype"] = prototype_log_prob(keys, queries, way, self.model.config.similarity)
        if any(rule in DECODING for rule in rules):
            log_joint = slot_log_joint(
                self.model,
                self.images(task.query),
                self.images(task.support),
                samples=samples,
                generator=generator(self.seed, index, Stream.NOISE, self.device),
            )
            found["likelihood"] = finite(class_log_prob(log_joint, way), "its likelihoods")
            found["mixture"] = mixture(found["likelihood"], found["posterior"], weight)
        return {rule: found[rule] for rule in rules}

    def _averaged(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The mean embedding over all shifts of images [N, 1, H, W]; what comes in from outside is paper."""
        H, W = images.shape[2:]
        around, steps = F.pad(images, [self.shifts] * 4), range(2 * self.shifts + 1)
        return torch.stack([network(around[:, :, y : y + H, x : x + W]) for y in steps for x in steps]).mean(0)

    @torch.no_grad()
    def _in_parts(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([function(self.images(part)) for part in torch.arange(len(self.labels)).split(512)])


def classify(
    model: GenerativeModel,
    characters: Characters,
    *,
    way: int,
    shot: int,
    episodes: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    rule: str = "posterior",
    samples: int = SAMPLES,
    queries: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Classification:
    """Accuracy of one rule on one kind of task, as `Classifier.measure` says; for several, ask one `Classifier`.

    Raises:
        VmaError: as `Classifier` and `Classifier.measure` do.
    """
    classifier = Classifier(model, characters, seed=seed, device=device)
    (found,) = classifier.measure(
        way=way, shot=shot, episodes=episodes, rules=(rule,), samples=samples, queries=queries, progress=progress
    )
    return found


def few_shot_task(
    characters: Characters, way: int, shot: int, seed: int, index: int, queries: int | None = None
) -> Task:
    """`way` classes, `shot` drawings of each in memory; queries: the first so many of those left over, or all.

    Classes with fewer drawings stand aside, and those with no more are in memory alone; one of each task has more.
    """
    draw = generator(seed, index, Stream.EPISODE)
    enough = (characters.counts >= shot).nonzero().flatten()
    order = enough[torch.randperm(len(enough), generator=draw)]
    chosen, asks = order[:way], characters.counts[order] > shot
    if not asks[:way].any():
        chosen[-1] = order[asks][0]
    support, query = [], []
    for label in chosen.tolist():
        first, count = int(characters.offsets[label]), int(characters.counts[label])
        drawings = first + torch.randperm(count, generator=draw)
        support.append(drawings[:shot])
        query.append(drawings[shot:][:queries])
    label = torch.arange(way)
    query_label = label.repeat_interleave(torch.tensor([len(part) for part in query]))
    return Task(torch.cat(support), label.repeat_interleave(shot), torch.cat(query), query_label)


def _of_addresses(model: GenerativeModel) -> VariationalMemoryAddressing:
    if not isinstance(model, VariationalMemoryAddressing):
        raise VmaError("this model draws no address, so it has no q(a|x) to classify by: take a run of the vma system")
    if model.learned_memory is not None:
        raise VmaError("this model's memory is learned, so its slots have no class: classify with a few-shot model")
    return model
