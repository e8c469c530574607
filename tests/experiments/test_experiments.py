"""Each experiment on tiny models and digits: the numbers in its rows are those of the library's own calls."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.experiments.conftest import Recorder, model, number, row
from vmacore.episodes.base import Episode
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.episodes.none import MinibatchSampler
from vmacore.episodes.sequence import SetSampler
from vmacore.errors import VmaError
from vmacore.evaluation.classification import Classifier
from vmacore.evaluation.likelihood import score_episodes
from vmacore.evaluation.sampling import Grid, sample_grid
from vmacore.experiments import ablations, burda, fig3, fig4a, run, speed
from vmacore.experiments.lab.contenders import crossing, reasons
from vmacore.experiments.lab.lab import Lab
from vmacore.runs.directory import RunDirectory

pytestmark = pytest.mark.usefixtures("small_experiments")
MakeLab = Callable[..., Lab]
PICTURES = ("fig2b", "fig3", "fig4a")
TABLES = ("fig4b", "fig5a", "fig5b", "classification", "baselines")


@pytest.mark.parametrize(
    "experiment", ["fig2b", "fig3", "fig4a", "fig4b", "fig5a", "fig5b", "classification", "baselines"]
)
def test_with_nothing_trained_no_number_is_made_up(make_lab: MakeLab, experiment: str) -> None:
    result = run(experiment, make_lab(training=False))
    assert result.rows
    assert {one.ours for one in result.rows} == {None}
    assert all("nothing trained" in one.note and one.steps == 0 for one in result.rows)
    assert not result.figures
    assert not result.complete


@pytest.mark.parametrize("experiment", [*PICTURES, *TABLES, "ablations", "burda", "speed"])
def test_every_row_is_measured_and_the_figure_drawn(lab: Lab, experiment: str) -> None:
    result = run(experiment, lab)
    assert [path.name for path in result.figures] == [f"{experiment}.png", f"{experiment}.svg"]
    assert all(path.stat().st_size > 1000 for path in result.figures)
    assert all(one.ours is not None and math.isfinite(one.ours) for one in result.rows if one.unit != "slots")
    trained = [one for one in result.rows if one.steps is not None]
    assert (len(trained) == 0) == (experiment == "speed")
    assert all(one.full is not None and one.full >= 50_000 for one in trained)
    assert not result.complete or experiment == "speed"
    if experiment != "speed":
        assert any("digits" in note for note in result.notes)


def test_samples_of_every_system_at_every_temperature(lab: Lab) -> None:
    result = run("samples", lab)
    assert all(one.ours is not None and math.isfinite(one.ours) for one in result.rows)
    drawn = ["temperature 1", "temperature 0.5", "temperature 1, one of 4"]
    for split in ("test", "validation"):
        for group in (f"recognised as their class, {split}", f"diversity, real drawings 100 %, {split}"):
            labels = [one.label for one in result.rows if one.group == group]
            expected = [f"{name}, {how}" for name in ("omniglot-best", "VMA") for how in drawn]
            assert labels == ["real drawings", *expected, "plain VAE, temperature 1"]
        assert number(result, "real drawings", f"diversity, real drawings 100 %, {split}") == pytest.approx(100)


def test_fig5a_measures_above_the_optimum(lab: Lab) -> None:
    result = run("fig5a", lab)
    group = "NLL: VMA, 4 drawings a class"
    one, ten = (number(result, f"C = {count}, {4 * count} slots", group) for count in (1, 10))
    above = row(result, "VMA, 4 drawings a class")
    assert above.ours == pytest.approx(ten - one - math.log(10), abs=1e-4)
    assert above.group == "NLL above the optimum with 10 classes in memory"
    assert result.data["VMA, 4 drawings a class"]["10"] == pytest.approx(ten)
    assert any("40 targets, 2 of each of 10 classes" in note for note in result.notes)


def test_best_has_no_number_of_nothing(make_lab: MakeLab) -> None:
    result = run("best", make_lab(training=False))
    assert {one.ours for one in result.rows} == {None}


def test_best_measures_what_the_paper_does(lab: Lab) -> None:
    result = run("best", lab)
    assert all(one.ours is not None and math.isfinite(one.ours) for one in result.rows)
    groups = list(dict.fromkeys(one.group for one in result.rows))
    assert groups[:2] == ["NLL, K = 4", "NLL, K = 6"]
    assert groups[2:4] == [f"NLL(10 classes) − NLL(5) − log 2, K = {k}" for k in (4, 6)]
    assert [group.split(",")[1].strip() for group in groups[4:]] == ["posterior", "prototype", "mixture"]
    above = row(result, "nested memories, 4 drawings", groups[2])
    ten, five = (float(re.findall(rf"{count} classes: NLL ([\d.]+)", above.note)[0]) for count in (10, 5))
    assert above.ours == pytest.approx(ten - five - math.log(2), abs=0.011)
    network = model(lab, "omniglot-best")
    digits = lab.dataset("digits").test
    sampler = EpisodeSampler(digits.binarised(0), n_way=5, n_shot=2, n_target=2, seed=0)
    expected = score_episodes(network, sampler, samples=4, episodes=3)
    assert number(result, "5 classes × 2 drawings", "NLL, K = 4") == pytest.approx(expected.nll)


def test_table1_best_adds_what_many_samples_gain(lab: Lab) -> None:
    result = run("table1-best", lab)
    assert {one.group for one in result.rows} == {"NLL, K = 2", "NLL, K = 8"}
    assert all(one.ours is not None and one.paper == 80.0 for one in result.rows)
    network = model(lab, "omniglot-gmn-best")
    sampler = SetSampler(
        lab.dataset("digits").test.binarised(0), n_classes=3, n_items=1, each_class=True, longest=19, seed=0
    )
    few, first, many = (score_episodes(network, sampler, samples=k, episodes=n) for k, n in ((2, 3), (2, 2), (8, 2)))
    expected = few.nll - (first.nll - many.nll)
    assert number(result, "3 classes, 1 a class", "NLL, K = 2") == pytest.approx(few.nll)
    assert number(result, "3 classes, 1 a class", "NLL, K = 8") == pytest.approx(expected)


def test_fig2b_draws_from_the_learned_memory(lab: Lab) -> None:
    result = run("fig2b", lab)
    drawn = sample_grid(model(lab, "mnist-learned"), None, rows=3, columns=4, seed=0, address="prior", pixels="sample")
    differ = number(result, "pixels in which two samples of a slot differ")
    assert differ == pytest.approx(fig4a.within(drawn))
    entropy = number(result, f"entropy of p(a), of log 256 = {math.log(256):.2f}")
    assert 0 < entropy <= math.log(256) + 1e-4


def test_fig4b_tunes_each_memory_size_from_the_same_weights(lab: Lab) -> None:
    result = run("fig4b", lab)
    own = "a model for each memory, trained on from 8 × 4"
    parts = [number(result, f"8 × 2: {part}", own) for part in ("reconstruction", "KL_a", "KL_z")]
    assert sum(parts) > 0
    assert row(result, "8 × 1: KL_a", own).paper == 2.0
    assert row(result, "8 × 1: KL_a", "the model of 8 × 4 with every memory").paper is None
    assert (row(result, "8 × 1: KL_a", own).steps, row(result, "8 × 1: KL_a", own).full) == (2, 100_000)
    for shots in (1, 2):
        assert RunDirectory.open(lab.runs_dir / f"omniglot-8x{shots}").config.episode.shots == shots
    alone = row(result, "8 × 1: KL_z", "a model of 8 × 1 from the start")
    assert (alone.paper, alone.steps) == (28.2, 4)
    start = RunDirectory.open(lab.runs_dir / "omniglot-8x1-start").config
    assert (start.init, start.episode.shots) == (None, 1)
    assert any("run omniglot-1e-4, step 4" in note for note in result.notes)


@pytest.fixture
def flushed() -> Iterator[None]:
    """Numbers too small to be normal are 0, as commands have it on a processor."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("flushed")
def test_fig3_numbers() -> None:
    q = torch.tensor([[0.4, 0.2, 0.14, 0.12, 0.08, 0.06, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    none = torch.zeros(0)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    episode = Episode(none, none, torch.tensor([0, 0]), labels, none, none)
    mass, top, five, entropy = fig3._numbers(fig3.Looks(episode, q)).T
    assert mass.tolist() == pytest.approx([0.74, 0.0])
    assert top.tolist() == [1, 0]
    assert float(five[0]) == pytest.approx(0.6)  # the fourth and the fifth are of class 1
    assert entropy.tolist() == pytest.approx([-sum(p * math.log(p) for p in (0.4, 0.2, 0.14, 0.12, 0.08, 0.06)), 0.0])


def test_fig4a_numbers() -> None:
    slots = torch.eye(4).view(2, 2, 2, 2).flatten(2).view(2, 2, 4)[:, :1]  # two slots of 1 × 4 pixels
    near, far = slots[:, None].expand(-1, 3, -1, -1), slots.flip(0)[:, None].expand(-1, 3, -1, -1)
    address = torch.arange(2)
    assert fig4a.nearest_own(Grid(slots, near, address)) == 100
    assert fig4a.nearest_own(Grid(slots, far, address)) == 0
    assert fig4a.within(Grid(slots, near, address)) == 0
    assert fig4a.across(Grid(slots, near, address)) == 50


def test_fig4a_compares_with_drawings_of_the_same_classes(lab: Lab) -> None:
    test = lab.dataset("digits").test.binarised(0)
    sampler = EpisodeSampler(test, n_way=5, n_shot=1, n_target=0, seed=fig4a.SEED)
    grid = Grid(sampler.at(0).memory[:, 0], torch.zeros(5, 4, 8, 8), torch.arange(5))
    real = fig4a.real_grid(grid, test)
    assert real.slots.equal(grid.slots)
    images = test.images.float().flatten(1)
    for slot, samples in zip(real.slots, real.samples, strict=True):
        found = (images == slot.flatten()).all(1).nonzero()
        labels = set(test.labels[found].flatten().tolist())
        assert all(
            labels & set(test.labels[(images == sample.flatten()).all(1).nonzero()].flatten().tolist())
            for sample in samples
        )
    with pytest.raises(ValueError, match="another seed"):
        fig4a.real_grid(Grid(1 - grid.slots, grid.samples, grid.addresses), test)


def test_classification_is_that_of_the_command(lab: Lab) -> None:
    result = run("classification", lab)
    classifier = Classifier(model(lab), lab.dataset("digits").test.binarised(0))
    (direct,) = classifier.measure(way=3, shot=1, episodes=4)
    assert number(result, "3-way 1-shot", "by Σ q(a|x), all queries") == pytest.approx(100 * direct.accuracy)
    both = classifier.measure(way=3, shot=1, episodes=2, rules=("posterior", "likelihood"), queries=2)
    assert number(result, "3-way 1-shot, likelihood") == pytest.approx(100 * both[1].accuracy)
    assert row(result, "3-way 1-shot", "by Σ q(a|x), all queries").paper == 91.0


def test_ablations_set_one_thing_at_a_time(lab: Lab) -> None:
    result = run("ablations", lab)
    base = ablations.SYSTEMS[0].plan.config()
    changed = {}
    for system in ablations.SYSTEMS[1:]:
        config = system.plan.config()
        changed[system.key] = {
            f"{section}.{name}"
            for section in ("data", "episode", "model", "objective", "optimiser")
            for name, value in getattr(config, section).model_dump().items()
            if value != getattr(base, section).model_dump()[name]
        }
    assert changed == {
        "inner": {"model.similarity"},
        "cosine": {"model.similarity"},
        "flat": {"model.address_prior"},
        "tied": {"model.tied"},
        "32-classes": {"episode.classes", "episode.targets"},
    }
    group = f"NLL, K = {ablations.SAMPLES}"
    difference = row(result, "flat p(a) less the paper's")
    flat, paper = number(result, "flat p(a)", group), number(result, "the paper's", group)
    assert difference.ours == pytest.approx(flat - paper, abs=1e-4)
    assert difference.paper == "very small loss"
    curve = result.data["posterior_entropy"]["paper"]
    assert [step for step, _ in curve] == [1, 2, 3, 4]
    assert number(result, "the paper's", "entropy of q(a|x) in training, last (4)") == pytest.approx(curve[-1][1])
    assert any("validation split" in note for note in result.notes)


def test_running_means() -> None:
    curve = [(step, float(step)) for step in range(1, 101)]
    smoothed = dict(ablations._smooth(curve))
    assert smoothed[1] == 1
    assert smoothed[100] == pytest.approx(sum(range(90, 101)) / 11)


def test_burda_says_what_it_runs_on(lab: Lab, recorder: Recorder) -> None:
    result = run("burda", lab)
    assert result.notes[0].startswith("NOT the paper's data: digits stands in")
    assert {one.paper for one in result.rows} == {None}
    assert any("vma download omniglot-burda" in line for line in recorder.lines)
    large = RunDirectory.open(lab.runs_dir / "digits-large").config
    small = RunDirectory.open(lab.runs_dir / "digits-small").config
    assert (large.model.learned_slots, large.optimiser.weight_decay) == (6, 0.0)
    assert (small.model.learned_slots, small.optimiser.weight_decay) == (256, 3e-4)
    assert RunDirectory.open(lab.runs_dir / "digits-small-vae").config.model.system == "vae"
    memory = score_episodes(
        model(lab, "digits-small"),
        MinibatchSampler(lab.dataset("digits").test.binarised(0), n_target=32, seed=0),
        samples=4,
        episodes=2,
    )
    assert number(result, "NLL, test", "256 slots, 32 maps, L2") == pytest.approx(memory.nll)


def test_burda_without_any_of_its_data(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burda, "STANDING_IN", "omniglot-gmn")
    with pytest.raises(VmaError, match=r"vma download omniglot-burda.*vma download omniglot-gmn"):
        run("burda", lab)


def test_speed_finds_where_lines_cross() -> None:
    assert crossing([1, 2, 3], [5, 5, 5], [4, 6, 7]) == 2
    assert crossing([1, 2, 3], [5, 5, 5], [6, 4, 7]) == 3  # faster from there on, not just once
    assert crossing([1, 2, 3], [1, 1, 1], [2, 2, 2]) == 1
    assert crossing([1, 2], [2, 2], [1, 1]) is None


def test_speed_times_steps_that_train(lab: Lab) -> None:
    assert [one.samples for one in speed.contenders()] == [4, 1, 1, 4]
    assert [one.config.model.read for one in speed.contenders()[1:]] == ["features", "pixels", "features"]
    result = run("speed", lab)
    assert len(result.data["seconds"]["vma, 4 slots"]) == 2
    labels = [(one.group, one.label) for one in result.rows[2:]]
    assert labels[0] == ("an update of hard addressing, K = 4", "2 slots")
    assert ("an update of soft attention, K = 1, pixels mixed", "4 slots") in labels


def test_speed_says_where_operations_cross() -> None:
    hard, soft, pixels, _ = speed.contenders()
    words = " ".join(reasons((hard, soft, pixels), speed.SLOTS, speed.PAPER))
    size = int(re.findall(r"cheaper from (\d+) slots on where features", words)[0])
    assert hard.needed(size) < soft.needed(size)
    assert hard.needed(size - 1) >= soft.needed(size - 1)


def test_speed_within_no_time(make_lab: MakeLab) -> None:
    result = run("speed", make_lab(budget=0.0))
    assert {one.ours for one in result.rows} == {None}
    assert not result.figures
