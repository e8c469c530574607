"""Few-shot classification of pictures with the methods of scikit-learn: to fit is to put pictures into memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from vmacore.data.characters import Characters
from vmacore.data.inputs import read_inputs, sides_of
from vmacore.data.pictures import LEVELS
from vmacore.errors import VmaError
from vmacore.evaluation.identify import Identifier
from vmacore.evaluation.large_memory import memory_bounds
from vmacore.evaluation.sampling import draw_means, usual_candidates
from vmacore.evaluation.tasks import REJECT
from vmacore.memory.large import fingerprint
from vmacore.memory.pictures import PictureMemory
from vmacore.runs.devices import find_device
from vmacore.runs.finding import check_decodes
from vmacore.runs.reader import Reader, find_reader, load_reader
from vmacore.runs.shipped import preferred_weights
from vmacore.runs.weights import weights_file
from vmacore.seeds import Stream, generator

UNKNOWN_NUMBER, UNKNOWN_NAME = -1, "none of these"
BATCH = 32  # pictures judged at a time

Numbers = npt.NDArray[Any]


class _Judged(NamedTuple):
    """`Judged` in arrays."""

    log_prob: Numbers
    known: Numbers
    cosine: Numbers
    slot: Numbers


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier of pictures of new classes, nothing trained: `fit` reads its examples into a memory.

    X is a list of paths, Pillow's pictures and arrays, mixed at will; an array [N, H, W], or [N, H, W, 3] with colours;
    or rows [N, features], each the pixels of a picture, as in scikit-learn's own data sets. Size, colours, polarity and
    format are free (`vmacore.data.inputs`). In a blank picture there is no ink, and it is a picture all the same.

    weights: a run, a checkpoint folder or shipped weights; None: the shipped weights that commands take.
    frame: "ink" crops pictures to their ink, "image" keeps size and place in the image, where these tell classes apart.
    shape: height and width of the picture in a row; None: of all that fit, the nearest to a square.
    novelty: whether `predict` may answer that a picture is of none of the classes: -1 where classes are numbers, else
        "none of these".
    reject: with novelty, how many pictures of the classes may be answered so, a fraction.
    device: cpu, cuda, mps or auto.

    After `fit`, classes_ are sorted, memory_ is a `PictureMemory` (`memory_.save(path)` writes what `vma identify`
    asks), and threshold_ is what `score_samples` is less than where a picture is refused, -inf where none is. A pickle
    holds the memory and names the weights, which are looked for again.
    """

    classes_: Numbers
    memory_: PictureMemory
    threshold_: float
    n_features_in_: int
    _rows: Numbers  # int64 [S], the example in each slot
    _columns: Numbers  # int64 [C], the memory's class that each of classes_ is

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        frame: str = "ink",
        shape: tuple[int, int] | None = None,
        novelty: bool = False,
        reject: float = REJECT,
        device: str = "cpu",
    ) -> None:
        self.weights = weights
        self.frame = frame
        self.shape = shape
        self.novelty = novelty
        self.reject = reject
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Read examples X of classes y [N] into memory, in place of what it held.

        Raises:
            VmaError: weights that cannot read pictures, or a picture that cannot be read.
            ValueError: X or y are not what scikit-learn takes.
        """
        return self._remember(X, y, first=True)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Read more examples, of classes that are there and of new ones; only these go through the network.

        classes: all that there will be, where another one in y would be a mistake; None: any.

        Raises:
            VmaError: as `fit`; a class in y that is not among `classes`, or of another type than those in memory.
            ValueError: X or y are not what scikit-learn takes.
        """
        if classes is not None and (others := set(np.unique(y).tolist()) - set(np.unique(classes).tolist())):
            raise VmaError(f"y holds classes that are not among those given: {', '.join(sorted(map(str, others)))}")
        return self._remember(X, y, first=not hasattr(self, "memory_"))

    def predict(self, X: Any) -> Numbers:
        """The class of each picture [N]; with novelty perhaps none."""
        judged = self._judge(X)
        answers = self.classes_[judged.log_prob.argmax(1)]
        if not self.novelty:
            return answers
        refused = judged.known < self.threshold_
        if self.classes_.dtype.kind in "bui":
            answers = answers.astype(np.int64)
        return np.where(refused, _unknown(self.classes_), answers)

    def predict_proba(self, X: Any) -> Numbers:
        """The probability of each class [N, C] of a picture that is of one of them, as certain as it is right."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> Numbers:
        """The logarithm of `predict_proba` [N, C]."""
        log_prob = self._judge(X).log_prob
        return log_prob - np.logaddexp.reduce(log_prob, 1, keepdims=True)  # in double precision

    def score_samples(self, X: Any) -> Numbers:
        """How well known each picture is [N], see `vmacore.memory.calibration.known`; novelty refuses the least."""
        return self._judge(X).known

    def kneighbors(
        self, X: Any, n_neighbors: int = 5, return_distance: bool = True
    ) -> tuple[Numbers, Numbers] | Numbers:
        """The examples nearest to each picture: distances [N, n_neighbors], ascending, and which examples these are.

        A distance is 1 less the cosine of h_q(x) and h(m), two embeddings, so that of a picture and itself is not 0.
        Examples are counted from 0 in the order in which `fit` and `partial_fit` got them.

        Raises:
            VmaError: fewer examples than asked for.
        """
        check_is_fitted(self, "memory_")
        if not 1 <= n_neighbors <= len(self.memory_):
            raise VmaError(f"{n_neighbors} neighbours asked for of {len(self.memory_)} examples: choose 1 to that")
        judged = self._judge(X, top=n_neighbors)
        indices = self._rows[judged.slot]
        return (np.maximum(1 - judged.cosine, 0), indices) if return_distance else indices

    def sample(self, n: int = 1, *, classes: Any = None, temperature: float = 1.0, random_state: int = 0) -> Numbers:
        """New pictures [C, n, H, W] of each class, or of those asked for: how dark pixels are on average, 0 to 1.

        Each is drawn from an example, the latents from their prior: z ~ p(z|m_a), and of several so drawn the one is
        kept that the model most surely takes for its own example's (`vmacore.evaluation.sampling.draw_means`).
        temperature: factor of the standard deviation of every latent; 1 is the model.

        Raises:
            VmaError: no class or one that is not in memory, fewer than one picture, a temperature that is none, or
                weights that were trained on addresses alone.
        """
        check_is_fitted(self, "memory_")
        asked = self.classes_ if classes is None else np.atleast_1d(classes)
        if n < 1 or not asked.size or not np.isin(asked, self.classes_).all():
            raise VmaError(f"choose at least one picture, and classes among {', '.join(map(str, self.classes_))}")
        reader = self._reader()
        check_decodes(reader.location)
        memory, model = self.memory_.to(reader.device), reader.model
        rng = generator(random_state, 0, Stream.NOISE, reader.device)
        weights = torch.stack([memory.labels.cpu() == c for c in self._columns[np.searchsorted(self.classes_, asked)]])
        slots = weights.double().multinomial(n, True, generator=generator(random_state, 0, Stream.EPISODE)).flatten()
        means = draw_means(model, memory.slots, slots.to(reader.device), rng, temperature, usual_candidates(model))
        return np.asarray(means.view(len(asked), n, *model.size).cpu().numpy())

    def log_prob(self, X: Any, n_samples: int = 100, random_state: int = 0) -> Numbers:
        """The bound on log p(x|M) of each picture [N], in nats, by so many samples of address and latent.

        x are the binary pixels of a drawing of the model's size, M the whole memory.

        Raises:
            VmaError: no sample, or weights that were trained on addresses alone.
        """
        check_is_fitted(self, "memory_")
        if n_samples < 1:
            raise VmaError(f"a bound by {n_samples} samples was asked for: choose 1 or more")
        reader = self._reader()
        check_decodes(reader.location)
        drawings = read_inputs(self._pictures(X, reset=False), self.memory_.preparation)
        memory = self.memory_.to(reader.device)
        seen = Identifier(reader.model, memory).seen(drawings)
        bounds = memory_bounds(reader.model, seen, memory.slots, samples=n_samples, seed=random_state)
        return np.asarray(bounds.cpu().double().numpy())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = False
        tags.classifier_tags.poor_score = True  # on numbers that are no pictures
        return tags

    def _check_unknown(self, classes: Numbers) -> None:
        """Raises:
        VmaError: a class is called as what is answered where a picture is refused.
        """
        if self.novelty and np.isin(_unknown(classes), classes):
            raise VmaError(
                f"{_unknown(classes)} is what novelty answers for pictures of none of the classes: rename it"
            )

    def _remember(self, X: Any, y: Any, *, first: bool) -> Self:
        pictures = self._pictures(X, reset=first)
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_consistent_length(pictures, y)
        with warnings.catch_warnings():  # few examples of many classes are what this is about, no mistake
            warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
            check_classification_targets(y)
        found, codes = np.unique(y, return_inverse=True)
        reader = self._reader(new=first)
        files: tuple[str, ...] = ()
        rows, classes = np.zeros(0, dtype=np.int64), found
        if first:
            preparation = reader.preparation(self.frame)
        else:
            files, rows, preparation = self.memory_.files, self._rows, self.memory_.preparation
            classes = np.unique(np.concatenate([_alike(self.classes_, found), found]))
        self._check_unknown(classes)
        drawings = read_inputs(pictures, preparation)
        names = _names(pictures, files)
        order = np.argsort(codes, kind="stable")
        characters = Characters(
            images=drawings[order],
            labels=torch.from_numpy(codes[order]),
            classes=tuple(map(str, found)),
            levels=LEVELS,
            finer=True,
            files=tuple(names[row] for row in order),
        )
        memory = reader.read(characters, preparation)
        memory = (memory if first else self.memory_.to(reader.device).joined(memory)).calibrated(reader.model)
        self.memory_ = memory.to("cpu")  # what is pickled is read where there is no such device too
        self.classes_ = classes
        numbers = dict(zip(files, rows, strict=True)) | {name: len(files) + row for row, name in enumerate(names)}
        self._rows = np.array([numbers[file] for file in self.memory_.files])
        self._columns = np.array([self.memory_.classes.index(str(label)) for label in classes])
        self.threshold_ = Identifier(reader.model, memory, self.reject).threshold if self.novelty else -math.inf
        return self

    def _judge(self, X: Any, top: int = 1) -> _Judged:
        """What the memory tells, a column of log_prob for each of classes_."""
        check_is_fitted(self, "memory_")
        drawings = read_inputs(self._pictures(X, reset=False), self.memory_.preparation)
        reader = self._reader()
        identifier = Identifier(reader.model, self.memory_.to(reader.device), top=top)
        parts = []
        for part in drawings.split(BATCH):
            # Batches have one size, since others round otherwise: no answer depends on what else is asked.
            filled = F.pad(part, (0, 0, 0, 0, 0, BATCH - len(part)))
            judged = identifier.judge(identifier.seen(filled))
            columns = judged.log_prob[:, self._columns], judged.known, judged.cosine, judged.slot
            parts.append([column[: len(part)].cpu().numpy() for column in columns])
        log_prob, known, cosine, slot = (np.concatenate(column) for column in zip(*parts, strict=True))
        return _Judged(log_prob.astype(np.float64), known.astype(np.float64), cosine.astype(np.float64), slot)

    def _pictures(self, X: Any, *, reset: bool) -> Sequence[object]:
        """X as pictures, one by one.

        Raises:
            ValueError: X is nothing that scikit-learn takes, or rows have another number of features than in `fit`.
            VmaError: `shape` does not hold that many.
        """
        if _is_pictures(X):
            return list(X)
        if (X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim) in (3, 4):
            return list(check_array(X, allow_nd=True))
        rows = validate_data(self, X, reset=reset)
        shape = self.shape or sides_of(rows.shape[1])
        if shape[0] * shape[1] != rows.shape[1]:
            raise VmaError(f"a row of {rows.shape[1]} features is no picture of {shape[0]}×{shape[1]}: change shape")
        return list(rows.reshape(-1, *shape))

    def _reader(self, *, new: bool = False) -> Reader:
        """The weights; those that made the memory, unless a new one is to be made.

        Raises:
            VmaError: they are others now.
        """
        location = find_reader(self.weights or preferred_weights()[0])
        changed = weights_file(location, "averaged").stat().st_mtime_ns
        reader, made_by = _opened(location.path, changed, find_device(self.device))
        if not new and self.memory_.made_by != made_by:
            raise VmaError(f"the memory was made by other weights than {location.run} is now: fit it again")
        return reader


@lru_cache(maxsize=4)
def _opened(path: Path, changed: int, device: torch.device) -> tuple[Reader, str]:
    """Weights and their hash, kept: copies of a classifier, as a search makes them, share theirs."""
    reader = load_reader(find_reader(path), device)
    return reader, fingerprint(reader.model)


def _unknown(classes: Numbers) -> int | str:
    """What is answered where a picture is refused."""
    return UNKNOWN_NUMBER if classes.dtype.kind in "buif" else UNKNOWN_NAME


def _is_pictures(X: Any) -> bool:
    """Whether X is a list, or what is like one, of single pictures."""
    if isinstance(X, str) or not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1 or not len(X):
        return False
    kinds = (str, Path, Image.Image)
    return all(isinstance(item, kinds) or (isinstance(item, np.ndarray) and item.ndim > 1) for item in X)


def _names(pictures: Sequence[object], taken: Sequence[str]) -> list[str]:
    """A name for each example: its path, or its number, counted on from those in memory; each name once."""
    names: list[str] = []
    used = set(taken)
    for number, picture in enumerate(pictures, len(taken)):
        name = str(picture) if isinstance(picture, str | Path) else f"{number}"
        names.append(f"{name} ({number})" if name in used else name)
        used.add(names[-1])
    return names


def _alike(classes: Numbers, more: Numbers) -> Numbers:
    """The classes so far.

    Raises:
        VmaError: more classes of another type.
    """
    text = "OUS"
    kinds = ("text" if labels.dtype.kind in text else labels.dtype.kind for labels in (classes, more))
    if len(set(kinds)) > 1:
        raise VmaError(f"classes in memory are {classes.dtype}, and those of y {more.dtype}: give y as it was before")
    return classes
