"""Kinds of few-shot task, and how they are measured. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from vmacore.errors import VmaError

RULES = ("posterior", "prototype", "likelihood", "mixture")  # see `vmacore.evaluation.rules`
DECODING = ("likelihood", "mixture")  # rules that decode every slot for every query
SAMPLES = 4  # of z, for each query and slot
# Chosen on the validation classes of Omniglot 45-5, where 0.2 to 0.5 do equally well.
MIXTURE_WEIGHT = 0.3
EPISODES, EPISODES_DECODING = 1000, 100
QUERIES_DECODING = 2
BASELINE_EPISODES = 100
REJECT = 0.05  # of the known, as none of these


@dataclass(frozen=True)
class FewShotTasks:
    """Kinds of task, measured together: the same episodes for every rule.

    kinds: way and shot of each kind. rules: of RULES. samples: of z, where a rule decodes. weight: of the likelihood in
    a mixture. shifts: of drawings whose embeddings are averaged, in pixels each way.
    episodes: of each kind; None: EPISODES, or EPISODES_DECODING if a rule decodes.
    queries: of each class in an episode; None: all drawings left over, or QUERIES_DECODING if a rule decodes.
    within_alphabet: each episode draws classes of one alphabet; so many episodes in each, and their mean.
    baselines: the most episodes for scikit-learn's classifiers; 0: none.
    reject: how many of the known may be refused as none of these, a fraction, where queries of classes that are not in
    memory are asked too; None: they are not.

    Raises:
        VmaError: baselines, or classes that are not in memory, are asked for within alphabets.
    """

    kinds: tuple[tuple[int, int], ...] = ((5, 1),)
    rules: tuple[str, ...] = ("posterior",)
    samples: int = SAMPLES
    weight: float = MIXTURE_WEIGHT
    shifts: int = 0
    episodes: int | None = None
    queries: int | None = None
    within_alphabet: bool = False
    baselines: int = 0
    reject: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.baselines or self.reject is not None) and self.within_alphabet:
            raise VmaError(
                "baselines and refusals are measured on all classes together: ask for them without within_alphabet"
            )

    @property
    def decodes(self) -> bool:
        """Whether a rule decodes every slot for every query."""
        return any(rule in DECODING for rule in self.rules)

    @property
    def n_episodes(self) -> int:
        """Episodes of each kind, and of each alphabet."""
        return self.episodes or (EPISODES_DECODING if self.decodes else EPISODES)

    @property
    def n_queries(self) -> int | None:
        """The most queries of each class in an episode; None: all drawings left over."""
        return self.queries or (QUERIES_DECODING if self.decodes else None)

    @property
    def n_baselines(self) -> int:
        """Episodes that scikit-learn's classifiers are fitted to."""
        return min(self.n_episodes, self.baselines)
