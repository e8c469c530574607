"""The report of a run: what is measured, what stands on the page, and what is said of what could not be had."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from tests.reports.parsed import checked, shades
from tests.small_runs import DATASET, create_run
from vmacore.config import DataConfig
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.evaluation.classification import classify
from vmacore.evaluation.sampling import sample_grid
from vmacore.experiments.classification import PAPER
from vmacore.models import GenerativeModel
from vmacore.reports import growth as sizes
from vmacore.reports import numbers
from vmacore.reports.gathering import MODEL, STAGES, Asked, RunReport, described, measure
from vmacore.reports.key_map import key_map
from vmacore.reports.looks import looks
from vmacore.reports.run import run_page
from vmacore.reports.samples import samples
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.opening import OpenRun
from vmacore.runs.weights import build_model, load_model
from vmacore.training.loop import train

ASKED = Asked(episodes=4, targets=12)


@pytest.fixture(scope="module")
def report(straight: RunDirectory) -> RunReport:
    """Of a short run, with everything."""
    made = described(find_run(straight.path, runs_dir=straight.path.parent), ASKED)
    told: list[str] = []
    measure(made, trained_of(straight), told.append)
    assert tuple(told) == STAGES
    return made


def trained_of(run: RunDirectory) -> OpenRun:
    location = find_run(run.path, runs_dir=run.path.parent)
    return OpenRun(location, load_model(location), DATASET, torch.device("cpu"))


def model_of(**sections: dict[str, Any]) -> GenerativeModel:
    return build_model(synthetic.config(**sections)).eval().requires_grad_(False)


def test_the_page_of_a_run(report: RunReport) -> None:
    root = checked(run_page(report))
    titles = [title.text for title in root.all("h2")]
    assert titles == [
        "Learning curves",
        "Numbers",
        "Smaller and larger memories",
        "Where q(a|x) looks",
        "Samples",
        "Map of the keys",
        "What it is made of",
    ]
    assert [link["href"] for link in root.one("nav").all("a")] == [f"#{title['id']}" for title in root.all("h2")]
    assert not report.missing
    text = root.text
    config = report.location.config
    assert config.to_toml().split() == root.one("pre").text.split()
    assert "synthetic standard: 240 drawings, 8×8: 120 train, 60 validation, 60 test" in text
    assert f"torch {torch.__version__}" in text
    stored = (report.location.path / "averaged.safetensors").read_bytes()
    assert hashlib.sha256(stored).hexdigest() in text
    assert not root.one("section", **{"aria-labelledby": "numbers"}).all("th", class_="wide")  # no paper, no difference


def test_numbers_of_the_page(report: RunReport, straight: RunDirectory) -> None:
    model = trained_of(straight).model
    rows = numbers.accuracies(model, DATASET.test, episodes=4)
    assert [row.label for row in rows] == ["5-way 1-shot", "5-way 5-shot"]  # for 20-way there are too few classes
    for row, shot in zip(rows, (1, 5), strict=True):
        found = classify(model, DATASET.test, way=5, shot=shot, episodes=4)
        assert row.ours == 100 * found.accuracy
    assert report.accuracies == rows


def test_the_numbers_of_the_paper_stand_beside_its_data_alone(report: RunReport) -> None:
    omniglot = replace(DATASET, name="omniglot", protocol="45-5")
    assert numbers.is_of_paper(omniglot, "test")
    assert not numbers.is_of_paper(omniglot, "validation")
    assert not numbers.is_of_paper(replace(omniglot, protocol="30-20"), "test")
    assert not report.of_paper
    found = report.growth
    assert found is not None
    assert all(row.paper is None for row in numbers.bounds(found, "vma"))
    assert all(row.paper is None for row in numbers.bounds(found, "vma", of_paper=True))  # of 4 classes, not of 8
    eight = replace(found, by_shots=[replace(size, classes=8) for size in found.by_shots])
    rows = numbers.bounds(eight, "vma", of_paper=True)
    assert [row.paper for row in rows[:2]] == [75.1, "75.1 to 69.1"]
    assert "(paper 2.0, 28.2)" in rows[0].note
    papers = {
        system: numbers.bounds(eight, system, of_paper=True)[0].paper
        for system in ("vae", "soft-attention", "matching")
    }
    assert papers == {"vae": 90.8, "soft-attention": "73.4 at best", "matching": None}
    accuracies = numbers.accuracies(model_of(), DATASET.test, of_paper=True, episodes=2)
    assert [row.paper for row in accuracies] == [PAPER[5, 1], PAPER[5, 5]]
    config = report.location.config.model_copy(update={"data": DataConfig(dataset="omniglot"), "recipe": "omniglot"})
    location = replace(report.location, config=config)
    root = checked(run_page(replace(report, growth=eight, dataset=omniglot, location=location)))
    assert root.all("table")[2].all("tr")[1].all("td")[0].text == "75.10"
    assert "This run is of the recipe omniglot." in root.text
    assert "fig4b" in root.text


def test_sizes_of_memory_share_their_targets(report: RunReport, straight: RunDirectory) -> None:
    found = report.growth
    assert found is not None
    assert [(size.classes, size.shots) for size in found.by_classes] == [(1, 4), (2, 4), (4, 4)]
    assert [(size.classes, size.shots) for size in found.by_shots] == [(4, 1), (4, 2), (4, 4), (4, 8)]
    assert found.targets == 12
    assert all(size.score.targets * size.score.episodes // size.score.episodes == 12 for size in found.sizes)
    assert len(found.sizes) == 6
    for size in found.sizes:
        assert size.score.slots == size.classes * size.shots
        assert size.se > 0
    first, second, third = sizes.charts(found)
    optimum = dict(first.lines[1].points)
    assert optimum[4] - optimum[1] == pytest.approx(1.3863, abs=1e-3)
    assert [x for x, _ in second.lines[0].points] == [1, 2, 4, 8]
    assert [y for _, y in third.lines[1].points] == [size.score.kl_address for size in found.by_shots]
    again = sizes.growth(trained_of(straight).model, DATASET.test, targets=12)
    assert [size.score.nll for size in again.sizes] == [size.score.nll for size in found.sizes]


def test_q_of_the_page_is_that_of_the_model(report: RunReport, straight: RunDirectory) -> None:
    found = report.looks
    assert found is not None
    model = trained_of(straight).model
    sampler = EpisodeSampler(DATASET.test, n_way=6, n_shot=9, n_target=1, seed=0)
    episode = sampler.at(0)
    q = model.address(episode.targets, model.read(episode.memory)).log_q.exp()
    assert (found.shots, len(found.classes), len(found.looks)) == (9, 6, 6)
    for row, look in enumerate(found.looks):
        assert [bar.probability for bar in look.bars] == pytest.approx(q[row].tolist())
        own = episode.memory_labels == episode.target_labels[row]
        assert look.own == pytest.approx(float(q[row][own].sum()), abs=1e-5)
        assert torch.equal(shades(look.picture), 1 - episode.targets[row, 0])
        assert [slot.probability for slot in look.best] == pytest.approx(q[row].topk(5).values.tolist())
        for slot, place in zip(look.best, q[row].topk(5).indices.tolist(), strict=True):
            assert torch.equal(shades(slot.picture), 1 - episode.memory[place, 0])
            assert slot.own == (slot.label == look.label)
    root = checked(run_page(report))
    bars = root.all("svg", class_="bars")[0].all("rect")
    heights = torch.tensor([float(bar["height"]) for bar in bars])
    torch.testing.assert_close(heights / 96, q[0] / q[0].max(), atol=1e-3, rtol=0)


def test_samples_of_the_page_are_those_of_the_model(report: RunReport, straight: RunDirectory) -> None:
    grid = sample_grid(trained_of(straight).model, DATASET.test, classes=6, columns=8)
    assert report.samples is not None
    assert len(report.samples) == 6
    for row, slot, drawn in zip(report.samples, grid.slots, grid.samples, strict=True):
        assert row.slot is not None
        assert torch.equal(shades(row.slot), 1 - slot)
        assert row.label in DATASET.test.classes
        index = DATASET.test.classes.index(row.label)
        own = DATASET.test.images[DATASET.test.labels == index].float()
        assert any(torch.equal(image, slot) for image in own)
        torch.testing.assert_close(shades(row.drawn)[:, :8], 1 - drawn[0], atol=0.04, rtol=0)
        assert shades(row.drawn).shape == (8, 8 * 8 + 7 * 2)


def test_the_map_of_keys(straight: RunDirectory) -> None:
    model = trained_of(straight).model
    by_class = key_map(model, DATASET.test)
    assert (by_class.by, by_class.drawings, by_class.left_out) == ("class", 60, 0)
    assert [group.name for group in by_class.groups] == list(DATASET.test.classes)
    assert 1 >= by_class.explained[0] >= by_class.explained[1] >= 0
    for group in by_class.groups:
        points = [part.replace("a", "m").split("m")[0].split() for part in group.path.split("M")[1:]]
        assert len(points) == group.count == 10
        assert all(0 <= float(value) <= 400 for point in points for value in point)
    named = replace(DATASET.test, classes=tuple(f"{'AB'[c % 2]}/{c}" for c in range(6)))
    assert [(group.name, group.count) for group in key_map(model, named).groups] == [("A", 30), ("B", 30)]
    many = synthetic.characters([3] * 12)
    assert (len(key_map(model, many).groups), key_map(model, many).left_out) == (8, 4)
    with pytest.raises(VmaError, match="three drawings"):
        key_map(model, synthetic.characters([2]))


def test_what_other_models_cannot_show() -> None:
    vae, learned = model_of(model={"system": "vae"}), model_of(model={"learned_slots": 6}, episode={"memory": "none"})
    few = synthetic.characters([4, 4, 4])
    alone = synthetic.characters([1, 1, 1])
    for attempt, words in (
        (lambda: looks(vae, DATASET.test), "draws no address"),
        (lambda: looks(learned, DATASET.test), "memory is learned"),
        (lambda: looks(model_of(), alone), "fewer than two classes of this split have two drawings"),
        (lambda: key_map(vae, DATASET.test), "no keys of images"),
        (lambda: key_map(learned, DATASET.test), "no keys of images"),
        (lambda: sizes.growth(learned, DATASET.test), "its size is fixed"),
        (lambda: sizes.growth(model_of(), few), "have 5 drawings"),
        (lambda: numbers.accuracies(vae, DATASET.test), "draws no address"),
        (lambda: numbers.accuracies(model_of(), few), "the split holds 3 classes"),
    ):
        with pytest.raises(VmaError, match=words):
            attempt()
    assert [row.slot for row in samples(vae, DATASET.test)] == [None] * 8
    assert all(row.slot and row.label is None for row in samples(learned, DATASET.test))
    assert looks(model_of(), synthetic.characters([3, 3])).shots == 2
    whatever = numbers.bounds(sizes.growth(vae, DATASET.test, targets=8), "vae")
    assert [row.label for row in whatever] == ["whatever is in memory"]


def test_a_run_without_data_has_a_page(straight: RunDirectory) -> None:
    made = described(find_run(straight.path, runs_dir=straight.path.parent), ASKED)
    made.missing.append((MODEL, "it is not there: <download> it"))
    root = checked(run_page(made))
    assert [title.text for title in root.all("h2")] == ["Not on this page", "Learning curves", "What it is made of"]
    assert "it is not there: <download> it" in root.text


def test_a_split_without_drawings(straight: RunDirectory) -> None:
    made = described(find_run(straight.path, runs_dir=straight.path.parent), ASKED)
    none = replace(DATASET, test=DATASET.test.select([]))
    measure(made, replace(trained_of(straight), dataset=none))
    assert made.missing == [(MODEL, "split test of synthetic holds no drawing: take another --split")]
    titles = [title.text for title in checked(run_page(made)).all("h2")]
    assert titles == ["Not on this page", "Learning curves", "What it is made of"]
    assert len(made.hashes) == 3  # of the weights and of the splits that there are


def test_a_run_of_addresses_alone(tmp_path: Path) -> None:
    alone = {"objective": {"trains": "addresses"}, "model": {"tied": True}, "labels": {"weight": 1.0, "classes": 6}}
    run = create_run(tmp_path / "run", **alone, training={"steps": 4, "validate_every": 2})
    train(run, DATASET)
    made = described(find_run(run.path, runs_dir=tmp_path), ASKED)
    measure(made, trained_of(run))
    assert [what for what, _ in made.missing] == ["Samples", "NLL by size of memory"]
    assert made.accuracies
    assert "NLL of the class" in checked(run_page(made)).text


def test_weights_without_their_run() -> None:
    made = described(find_run("omniglot-45-5", runs_dir=Path("none")), ASKED)
    assert made.missing == [("Learning curves", "these weights come without the run that they were trained in")]
    assert made.hashes[0].what == "averaged weights, averaged.safetensors"
    raw = described(made.location, replace(ASKED, weights="raw"))
    assert "holds no raw weights" in raw.missing[1][1]


def test_a_checkpoint_shows_the_curves_of_its_run(straight: RunDirectory) -> None:
    made = described(find_run(straight.checkpoint(20), runs_dir=straight.path.parent), ASKED)
    assert made.curves is not None
    assert made.curves.validations[-1].step == 20
