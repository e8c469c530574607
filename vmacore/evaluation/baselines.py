"""What scikit-learn makes of the same few-shot tasks, for perspective."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import Tensor

from vmacore.evaluation.accuracy import accuracy_of
from vmacore.evaluation.classification import Classifier


@dataclass(frozen=True)
class Baseline:
    """Accuracy over the first `episodes` tasks with half the widths of its 95 % intervals (`Accuracy`).

    name: pixels-logistic, embeddings-nearest, embeddings-mean, queries-nearest, queries-mean or hog-logistic (see
        `baselines`).
    """

    way: int
    shot: int
    name: str
    accuracy: float
    ci95: float
    ci95_classes: float
    episodes: int
    queries: int


def baselines(
    classifier: Classifier,
    *,
    way: int,
    shot: int,
    episodes: int,
    queries: int | None = None,
    gradients: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Baseline]:
    """Classifiers fitted to the memory of each of the tasks that `classifier.measure` sees, and asked its queries.

    pixels-logistic: multinomial logistic regression on pixels, L2 with C = 1.
    embeddings-*: the memory by its keys h(m), the queries by h_q(x), as the model itself compares them.
    queries-*: both by h_q.
    *-nearest: the class of the nearest drawing. *-mean: the nearest mean of a class, with two shots or more (the mean
        of one drawing is that drawing).
    hog-logistic: the same regression on `gradients` [N, F], a description of every drawing, if there is one
        (`vmacore.evaluation.hog`).

    Embeddings are scaled to unit length and compared by Euclidean distance. For the normalised similarity and for the
    cosine the nearest of embeddings-nearest is then the largest of q(a|x).

    Raises:
        VmaError: more classes or shots than there are, or counts below what an interval needs.
    """
    classifier.check(way=way, shot=shot, episodes=episodes, queries=queries)
    pixels = classifier.pixels.cpu().double().numpy()
    keys, asked = (F.normalize(e.cpu().double(), dim=1).numpy() for e in (classifier.keys, classifier.queries))
    methods: dict[str, tuple[Callable[[], Any], Any, Any]] = {
        "pixels-logistic": (_logistic_regression, pixels, pixels),
        "embeddings-nearest": (_nearest, keys, asked),
        "embeddings-mean": (NearestCentroid, keys, asked),
        "queries-nearest": (_nearest, asked, asked),
        "queries-mean": (NearestCentroid, asked, asked),
    }
    if gradients is not None:
        methods["hog-logistic"] = (_logistic_regression, gradients.numpy(), gradients.numpy())
    if shot == 1:
        methods = {name: method for name, method in methods.items() if not name.endswith("-mean")}
    right: dict[str, list[Tensor]] = {name: [] for name in methods}
    asked_classes = []
    for index in range(episodes):
        task = classifier.task(index, way, shot, queries)
        support, support_label, query, query_label = (part.cpu().numpy() for part in task)
        for name, (make, memory, drawings) in methods.items():
            with warnings.catch_warnings():  # few shots of many classes are what this is about, no mistake
                warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
                fitted = make().fit(memory[support], support_label)
                right[name].append(torch.from_numpy(fitted.predict(drawings[query]) == query_label))
        asked_classes.append(classifier.characters.labels[query])
        if progress:
            progress(index + 1, episodes)
    return [
        Baseline(way, shot, name, *accuracy_of(values, asked_classes), episodes, sum(map(len, asked_classes)))
        for name, values in right.items()
    ]


def _logistic_regression() -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=1000)


def _nearest() -> KNeighborsClassifier:
    return KNeighborsClassifier(n_neighbors=1, algorithm="brute")
