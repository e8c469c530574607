"""FewShotClassifier: answers of the memory of pictures, by the methods and the manners of scikit-learn."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests import synthetic
from tests.data.pictures import drawing
from vmacore import FewShotClassifier
from vmacore.data.folders import read_class
from vmacore.data.sets.glyphs import make_alphabets
from vmacore.errors import VmaError
from vmacore.evaluation.identify import Answer, Identifier
from vmacore.evaluation.large_memory import score_memory
from vmacore.runs.directory import RunDirectory
from vmacore.runs.reader import open_memory_with_reader
from vmacore.runs.shipped import preferred_weights
from vmacore.training.loop import train

NAMES = np.array(["letter", "curve", "cross"])


def pictures(count: int, kinds: int = 3, start: int = 0) -> tuple[list[Image.Image], np.ndarray]:
    """`count` of each kind of drawing, one after the other, and their names."""
    kind = np.tile(np.arange(kinds), count)
    images = [drawing(k, (start + i) % 5, 3 + (start + i) % 4) for i, k in enumerate(kind)]
    return images, np.append(NAMES, "ring")[kind]


@pytest.fixture(scope="module")
def fitted() -> FewShotClassifier:
    return FewShotClassifier().fit(*pictures(4))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures to ask, in files."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(6)]
    for path, image in zip(paths, pictures(2, start=7)[0], strict=True):
        image.save(path)
    return paths


def test_made_up_characters() -> None:
    glyphs = make_alphabets(1, 20, 8)
    images = glyphs.images.numpy().reshape(20, 8, 26, 26)
    labels = np.array(glyphs.classes)
    support, asked = images[:, :3].reshape(-1, 26, 26), images[:, 3:].reshape(-1, 26, 26)
    classifier = FewShotClassifier().fit(support, labels.repeat(3))
    assert classifier.score(asked, labels.repeat(5)) > 0.8
    assert classifier.classes_.tolist() == sorted(labels)


def test_digits_of_scikit_learn_are_better_than_by_their_nearest_pixels() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    X, y = load_digits(return_X_y=True)
    ours, pixels = (model.fit(X[:30], y[:30]) for model in (FewShotClassifier(), KNeighborsClassifier(1)))
    assert ours.n_features_in_ == 64
    asked = slice(500, 800)
    assert ours.score(X[asked], y[asked]) > pixels.score(X[asked], y[asked])


def test_answers_are_those_of_the_memory(fitted: FewShotClassifier, files: list[Path], tmp_path: Path) -> None:
    fitted.memory_.save(tmp_path / "m.mem")
    memory, reader = open_memory_with_reader(tmp_path / "m.mem")
    assert memory.run == preferred_weights()[0]
    identifier = Identifier(reader.model, memory, reject=0, top=2)
    answers = [answer for answer in identifier.files(files) if isinstance(answer, Answer)]
    proba = fitted.predict_proba(files)
    assert fitted.classes_[proba.argmax(1)].tolist() == fitted.predict(files).tolist()
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(proba.max(1), [answer.probability for answer in answers], rtol=1e-5)
    np.testing.assert_allclose(fitted.score_samples(files), [answer.known for answer in answers], atol=1e-6)
    distances, indices = fitted.kneighbors(files, 2)
    for near, distance, index, answer in zip(
        fitted.kneighbors(files, 2, return_distance=False), distances, indices, answers, strict=True
    ):
        assert [str(i) for i in near] == [item.file for item in answer.nearest]
        assert near.tolist() == index.tolist()
        np.testing.assert_allclose(distance, [1 - item.cosine for item in answer.nearest], atol=1e-6)
    assert fitted.classes_[proba.argmax(1)].tolist() == [answer.label for answer in answers] == pictures(2)[1].tolist()


def test_neighbours_are_counted_as_they_were_given(fitted: FewShotClassifier) -> None:
    examples, names = pictures(4)
    assert fitted.memory_.files != tuple(map(str, range(12)))  # slots stand by class
    nearest = fitted.kneighbors(examples, 1, return_distance=False)[:, 0]
    assert (nearest == np.arange(12)).mean() > 0.8
    assert names[nearest].tolist() == names.tolist()
    with pytest.raises(VmaError, match="13 neighbours asked for of 12 examples"):
        fitted.kneighbors(examples, 13)


def test_pictures_of_all_kinds_are_one_picture(fitted: FewShotClassifier, files: list[Path]) -> None:
    images = [Image.open(path) for path in files]
    arrays = [np.asarray(image) for image in images]
    expected = fitted.predict_proba(files)
    grey = np.stack(arrays)
    for same in (
        [str(path) for path in files],
        np.array([str(path) for path in files]),
        pd.Series(files),
        images,
        arrays,
        [files[0], images[1], arrays[2], files[3], images[4], arrays[5]],
        grey,
        grey[:, :, :, None],
        grey[:, :, :, None].repeat(3, 3),
        grey.reshape(6, -1),
        pd.DataFrame(grey.reshape(6, -1)),
        255 - grey,
        grey.astype(np.int16),
        grey / 255,
        (grey / 255)[:, :, :, None].repeat(3, 3),
    ):
        np.testing.assert_allclose(fitted.predict_proba(same), expected, atol=2e-3)
    binary = grey < 128
    exact = fitted.predict_proba(binary)
    for same in (binary.astype(np.uint8), binary.astype(float), ~binary, [Image.fromarray(image) for image in binary]):
        np.testing.assert_array_equal(fitted.predict_proba(same), exact)


def test_what_is_no_picture_is_named(fitted: FewShotClassifier, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"text")
    with pytest.raises(VmaError, match=r"text\.png can't be used: it is no picture in a format"):
        fitted.predict([files[0], tmp_path / "text.png"])
    with pytest.raises(VmaError, match="picture 1 can't be used: it has the shape"):
        fitted.predict([np.ones((4, 4)), np.ones((4, 4, 7))])
    with pytest.raises(VmaError, match="picture 0 can't be used: it is no array of finite numbers"):
        fitted.predict([np.full((4, 4), np.nan)])
    with pytest.raises(VmaError, match="picture 0 can't be used: its colours are neither"):
        fitted.predict([np.full((4, 4, 3), 7.0)])
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((2, 4, 4), np.nan))
    with pytest.raises(ValueError, match="Expected 2D array"):
        fitted.predict("one.png")


def test_rows_are_pictures_of_a_shape() -> None:
    images, names = pictures(3)
    tall = np.stack([np.asarray(image)[:, 8:56] for image in images])  # 64×48
    expected = FewShotClassifier().fit(tall, names)
    rows = tall.reshape(len(tall), -1)
    given = FewShotClassifier(shape=(64, 48)).fit(rows, names)
    np.testing.assert_array_equal(given.memory_.slots.slots, expected.memory_.slots.slots)
    guessed = FewShotClassifier().fit(rows, names)  # 48×64
    assert not torch.equal(guessed.memory_.slots.slots, expected.memory_.slots.slots)
    with pytest.raises(VmaError, match="a row of 3072 features is no picture of 5×5: change shape"):
        FewShotClassifier(shape=(5, 5)).fit(rows, names)


def test_a_blank_picture_is_a_picture(fitted: FewShotClassifier) -> None:
    blank = np.zeros((1, 9, 9))
    assert fitted.predict(blank)[0] in NAMES
    assert fitted.score_samples(blank)[0] < fitted.score_samples(pictures(4)[0]).min()


def test_examples_and_classes_are_added_without_training() -> None:
    images, names = pictures(4, kinds=4)
    known = names != "cross"
    order = np.concatenate([known.nonzero()[0], (~known).nonzero()[0]])
    shown, named = [images[i] for i in order], names[order]
    parts = FewShotClassifier()
    for part in (slice(0, 5), slice(5, 12), slice(12, 16)):
        parts.partial_fit(shown[part], named[part])
    whole = FewShotClassifier().fit(shown, named)
    asked = pictures(2, kinds=4, start=5)[0]
    assert parts.classes_.tolist() == whole.classes_.tolist() == ["cross", "curve", "letter", "ring"]
    assert parts.memory_.classes != whole.memory_.classes  # the last class stands last
    np.testing.assert_allclose(parts.predict_proba(asked), whole.predict_proba(asked), atol=1e-5)
    (near, added), (expected, index) = parts.kneighbors(asked, 3), whole.kneighbors(asked, 3)
    np.testing.assert_allclose(near, expected, atol=1e-5)
    assert named[added].tolist() == named[index].tolist()
    again = whole.partial_fit(shown[:3], named[:3])
    assert len(again.memory_) == 19


def test_the_same_file_twice_is_two_examples(files: list[Path]) -> None:
    classifier = FewShotClassifier().fit([*files[:3], files[0]], ["a", "b", "c", "a"])
    classifier.partial_fit(files[:2], ["a", "b"])
    assert len(classifier.memory_) == 6
    nearest = classifier.kneighbors(files[:1], 3, return_distance=False)[0]
    assert sorted(nearest.tolist()) == [0, 3, 4]


def test_one_example_of_each_class_is_no_reason_to_warn() -> None:
    images = [drawing(kind, shift) for kind in range(4) for shift in range(6)]
    assert len(FewShotClassifier().fit(images, np.arange(24)).classes_) == 24  # warnings are errors here


def test_classes_of_another_kind_are_refused() -> None:
    images, _ = pictures(2)
    classifier = FewShotClassifier().fit(images, [0, 1, 2] * 2)
    with pytest.raises(VmaError, match="classes in memory are int64, and those of y <U1"):
        classifier.partial_fit(images[:1], ["a"])
    with pytest.raises(VmaError, match="y holds classes that are not among those given: 7"):
        classifier.partial_fit(images[:2], [7, 1], classes=[0, 1, 2])
    assert classifier.partial_fit(images[:2], [7, 1], classes=[0, 1, 2, 7]).classes_.tolist() == [0, 1, 2, 7]


def _strange() -> list[np.ndarray]:
    return [np.kron(np.indices((5, 5)).sum(0) % 2, np.ones((k, k))) for k in (6, 8, 9)]


@pytest.mark.parametrize("numbers", [False, True])
def test_none_of_these(numbers: bool) -> None:
    images, names = pictures(8)
    codes = np.unique(names, return_inverse=True)[1].astype(np.uint8) if numbers else names
    unknown = -1 if numbers else "none of these"
    classifier = FewShotClassifier(novelty=True, reject=0.1).fit(images, codes)
    assert classifier.predict(_strange()).tolist() == [unknown] * 3
    known = classifier.predict(images)
    refused = classifier.score_samples(images) < classifier.threshold_
    assert (known == unknown).tolist() == refused.tolist()
    assert refused.mean() < 0.3
    assert (known[~refused] == codes[~refused]).all()
    certain = FewShotClassifier().fit(images, codes)
    assert certain.threshold_ == -math.inf
    assert unknown not in certain.predict(_strange())
    assert FewShotClassifier(novelty=True, reject=0).fit(images, codes).threshold_ == -math.inf
    with pytest.raises(VmaError, match="reject is 1"):
        FewShotClassifier(novelty=True, reject=1).fit(images, codes)


def test_a_class_may_not_be_called_as_the_answer_for_none() -> None:
    images, _ = pictures(1)
    for labels in ([-1, 0, 1], ["none of these", "a", "b"]):
        FewShotClassifier().fit(images, labels)
        with pytest.raises(VmaError, match="is what novelty answers for pictures of none of the classes"):
            FewShotClassifier(novelty=True).fit(images, labels)


def test_samples_are_of_the_classes_asked_for(fitted: FewShotClassifier) -> None:
    drawn = fitted.sample(3)
    assert drawn.shape == (3, 3, 26, 26)
    assert 0 <= drawn.min() < drawn.max() <= 1
    np.testing.assert_array_equal(drawn, fitted.sample(3))
    assert not np.array_equal(drawn, fitted.sample(3, random_state=1))
    np.testing.assert_array_equal(fitted.sample(2, classes="letter"), fitted.sample(2, classes=["letter"]))
    more = fitted.sample(20, classes=["letter", "cross"])
    assert more.shape == (2, 20, 26, 26)
    for name, images in zip(("letter", "cross"), more, strict=True):
        assert (fitted.predict(list(1 - images)) == name).mean() > 0.7
    for wrong in ({"n": 0}, {"classes": ["absent"]}, {"classes": []}):
        with pytest.raises(VmaError, match="choose at least one picture, and classes among cross, curve, letter"):
            fitted.sample(**wrong)


def test_bounds_are_those_of_the_scorer(fitted: FewShotClassifier, files: list[Path]) -> None:
    found = fitted.log_prob(files, n_samples=4, random_state=3)
    memory, model = fitted.memory_, fitted._reader().model
    drawings = read_class(files, "x", memory.preparation).characters
    seen = Identifier(model, memory).seen(drawings.images)
    expected = score_memory(model, seen, memory.slots, samples=4, seed=3)
    np.testing.assert_allclose(-found, expected.per_target, rtol=1e-6)
    assert found.shape == fitted.log_prob(files).shape
    assert fitted.log_prob(files[:1]).shape == (1,)
    with pytest.raises(VmaError, match="a bound by 0 samples"):
        fitted.log_prob(files, n_samples=0)


def test_copies_and_pickles(fitted: FewShotClassifier, files: list[Path]) -> None:
    stored = pickle.dumps(fitted)
    assert len(stored) < 100_000  # a memory without weights
    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(files), fitted.predict_proba(files))
    copy = clone(fitted.set_params(frame="ink"))
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(files)


def test_a_pipeline_and_a_search() -> None:
    images, names = pictures(6)
    turned = make_pipeline(FunctionTransformer(lambda X: [image.rotate(90) for image in X]), FewShotClassifier())
    assert turned.fit(images[:9], names[:9]).score(images[9:], names[9:]) == 1
    grid = {"frame": ["ink", "image"], "reject": [0.0, 0.5]}
    search = GridSearchCV(FewShotClassifier(novelty=True), grid, cv=2, error_score="raise").fit(images, names)
    scores = dict(zip(map(str, search.cv_results_["params"]), search.cv_results_["mean_test_score"], strict=True))
    assert scores["{'frame': 'ink', 'reject': 0.0}"] > scores["{'frame': 'ink', 'reject': 0.5}"]
    assert search.best_params_["reject"] == 0
    assert search.predict(images).tolist() == names.tolist()


def test_weights_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("first", "second")):
        sections = {"training": {"steps": 1, "seed": seed}, "model": {"tied": True}, "labels": {"weight": 1.0}}
        sections["objective"] = {"trains": ("all", "addresses")[seed]}
        train(RunDirectory.create(Path("runs") / name, synthetic.config(**sections)), synthetic.dataset())
    images, names = pictures(2)
    classifier = FewShotClassifier("first").fit(images, names)
    assert classifier.memory_.run == str((tmp_path / "runs/first/checkpoints/step-00000001").resolve())
    classifier.set_params(weights=tmp_path / "runs" / "second")
    with pytest.raises(VmaError, match="made by other weights than second is now: fit it again"):
        classifier.predict(images)
    classifier.fit(images, names)
    assert set(classifier.predict(images)) <= set(names)
    for asked in (lambda: classifier.sample(1), lambda: classifier.log_prob(images)):
        with pytest.raises(VmaError, match=r"second.* was trained on addresses alone"):
            asked()
    with pytest.raises(VmaError, match="there is no run 'absent'"):
        FewShotClassifier("absent").fit(images, names)
    with pytest.raises(VmaError, match="has no keys for new pictures"):
        FewShotClassifier("omniglot-vae").fit(images, names)
