"""What scikit-learn checks of every classifier, with the exceptions that the guide lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from vmacore import FewShotClassifier

# With novelty alone; without it there are none.
EXCEPTIONS = {
    "check_classifiers_classes": "a class of its data is called -1, which is the answer for pictures of none",
    "check_classifiers_one_label": "some of the known are refused, and then the answer is not the one class there is",
    "check_classifiers_train": "some of the known are refused, and then the answer is not the likeliest class",
}


@parametrize_with_checks(
    [FewShotClassifier(), FewShotClassifier(novelty=True, reject=0.5)],
    expected_failed_checks=lambda estimator: EXCEPTIONS if estimator.novelty else {},
)
def test_checks_of_scikit_learn(estimator: FewShotClassifier, check: Callable[[Any], None]) -> None:
    check(estimator)
