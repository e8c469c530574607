"""Table 1: which cells there are, that they are measured as said, and what happens when time runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from vmacore.config import load_recipe
from vmacore.data.characters import Dataset
from vmacore.episodes.sequence import SetSampler
from vmacore.evaluation.likelihood import score_episodes
from vmacore.experiments import table1
from vmacore.experiments.lab import figures, systems, table1_cells, table1_views
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Trained
from vmacore.experiments.lab.result import Result
from vmacore.experiments.lab.table1_cells import GMN, ITEMS, VMA, parts, settings
from vmacore.runs.finding import Location
from vmacore.runs.weights import build_model

MODELS = {
    "vma": ["model.channels=[4, 4]", "model.hidden=8", "model.latent=3", "model.embedding=4"],
    "gmn": ["model.channels=[3, 3]", "model.hidden=6", "model.latent=3", "model.embedding=4"],
}


class Silent:
    """Reports nothing."""

    def note(self, line: str) -> None: ...

    @contextlib.contextmanager
    def progress(self, unit: str, total: float | None = None) -> Iterator[Silent]:
        yield self

    def update(self, done: float, total: float | None = None, detail: str = "") -> None: ...


def _trained(system: systems.System, step: int) -> Trained:
    config = load_recipe(system.plan.recipe).with_overrides([*MODELS[system.key], "model.size=[8, 8]"])
    location = Location(Path("nowhere"), system.plan.run, step, config, "run")
    return Trained(system.plan, build_model(config).eval(), location, system.plan.full, f"run, step {step}", step)


def _lab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """12 classes of 20 drawings, untrained models of equal steps, two samples and targets, some of the columns."""
    test = synthetic.characters([20] * 12)
    dataset = Dataset("synthetic", "standard", "8x8", "binary", test, test, test)
    found = {system.key: [_trained(system, 30)] for system in (VMA, GMN)}
    monkeypatch.setattr(systems, "trained", lambda _lab, _systems: found)
    monkeypatch.setattr(Lab, "dataset", lambda _lab, _config: dataset)
    monkeypatch.setattr(table1_cells, "CLASSES", (1, 4))
    monkeypatch.setattr(table1_cells, "ITEMS", (1, 5, 19))
    monkeypatch.setattr(table1, "SAMPLES", (3, 2))
    monkeypatch.setattr(table1, "EPISODES", 2)
    return Lab(folder, folder, folder, torch.device("cpu"), Silent())


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(table1_views, "figure", lambda _measured: figures.new()[0])  # the slow part
    return _lab(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Result]:
    """The lab, and all that it finds without a budget."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = _lab(tmp_path_factory.mktemp("table1"), monkeypatch)
        return made, table1.run(made)


def test_cells_are_the_papers_and_those_counted_otherwise() -> None:
    assert [len(part) for part in parts()] == [56, 56, 42, 42]
    assert len({cell for part in parts() for cell in part}) == 196
    counts = {VMA: True, GMN: False}
    for system, setting in parts()[0]:
        assert setting.replacement is False
        assert setting.each_class == (counts[system] and setting.classes > 1)
    assert all(tuple(numbers) == ITEMS for numbers in table1.PAPER.values())
    assert (GMN, 16) not in table1.PAPER  # the paper has none
    assert settings(False, True, (1,)) == settings(False, False, (1,))


def test_every_cell_is_the_bound_of_its_own_setting(whole: tuple[Lab, Result]) -> None:
    lab, result = whole
    names = ("system", "classes", "items", "each_class", "replacement")
    cells = {tuple(row[name] for name in names): row for row in result.data["cells"]}
    assert len(cells) == 12 + 12 + 6 + 6
    for system, classes, items, each, replacement in (
        (VMA, 4, 5, True, False),
        (GMN, 4, 5, True, True),
        (GMN, 4, 19, False, False),
        (VMA, 1, 1, False, True),
    ):
        sampler = SetSampler(
            synthetic.characters([20] * 12),
            n_classes=classes,
            n_items=items,
            each_class=each,
            replacement=replacement,
            seed=table1.SEED,
        )
        model = _trained(system, 30).model
        assert model is not None
        expected = score_episodes(model, sampler, samples=3, episodes=2, seed=table1.SEED)
        got = cells[system.label, classes, items, each, replacement]
        assert got["nll"] == pytest.approx(expected.nll)
        assert got["per_episode"] == pytest.approx(expected.per_episode)
    assert [path.name for path in result.figures] == ["table1.png", "table1.svg"]
    assert all(path.exists() for path in result.figures)
    table = (lab.out / "tables.md").read_text("utf-8")
    assert table.count("## NLL") == 4
    assert "–" not in table


def test_rows_are_the_papers_cells_and_paired_differences(whole: tuple[Lab, Result]) -> None:
    result = whole[1]
    rows = [row for row in result.rows if row.group.startswith("NLL")]
    assert len(rows) == 24
    assert all(row.ours is not None and row.steps == 30 for row in rows)
    row = next(row for row in rows if row.label == "VMA, 19 a class")
    assert (row.paper, row.group) == (76.7, "NLL without replacement, 4 classes, K = 3")
    assert next(row for row in rows if row.label == "GMN, 5 items").paper == 70.1

    cells = {(c["system"], c["classes"], c["items"]): c for c in result.data["cells"] if not c["replacement"]}
    differences = [row for row in result.rows if row.group.startswith("VMA less GMN")]
    assert len(differences) == 3 * 2 + 3
    one = next(row for row in differences if row.label == "1 class, 5 items")
    assert one.ours == pytest.approx(cells["VMA", 1, 5]["nll"] - cells["GMN", 1, 5]["nll"], abs=1e-4)
    assert any("2 targets, the same in all cells" in note and "K = 3" in note for note in result.notes)


def test_unequal_trainings_are_not_compared(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"vma": [_trained(VMA, 30)], "gmn": [_trained(GMN, 40)]}
    monkeypatch.setattr(systems, "trained", lambda _lab, _systems: found)
    rows = [row for row in table1.run(lab).rows if row.group.startswith("VMA less GMN")]
    assert rows
    assert all(row.ours is None and row.note == "not compared: trained for 30 and 40 updates" for row in rows)


def test_a_missing_model_leaves_its_rows_unmeasured(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Trained(GMN.plan, None, None, GMN.plan.full, "nothing trained: there is no run gmn yet")
    monkeypatch.setattr(systems, "trained", lambda _lab, _systems: {"vma": [_trained(VMA, 30)], "gmn": [missing]})
    for row in table1.run(lab).rows:
        assert (row.ours is None) == row.label.startswith("GMN")
        assert (row.note == missing.source) == row.label.startswith("GMN")


def test_the_papers_cells_come_first_where_time_is_short(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that every cell moves on by a second, and time for the first two parts and half of the third."""
    clock, scores = [0.0], systems.scores

    def slow(*given: Any, **more: Any) -> Any:
        clock[0] += 1.0
        return scores(*given, **more)

    monkeypatch.setattr(systems, "scores", slow)
    monkeypatch.setattr(Lab, "time_left", lambda _lab: 12 + 12 + 3 - clock[0])
    monkeypatch.setattr(Lab, "affordable", lambda _lab, _measure, wanted, share: wanted)
    result = table1.run(lab)
    assert len(result.data["cells"]) == 24
    assert all(row.ours is not None for row in result.rows)


def test_without_time_nothing_is_measured(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "time_left", lambda _lab: -1.0)
    result = table1.run(lab)
    assert not result.figures
    assert all(row.ours is None and row.note == "no time left to measure it" for row in result.rows)


def test_fewer_samples_where_there_is_no_time_for_enough_targets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def affordable(_lab: Lab, _measure: object, wanted: int, share: float) -> int:
        asked.append((wanted, share))
        return 1 if len(asked) == 1 else wanted

    monkeypatch.setattr(Lab, "affordable", affordable)
    result = table1.run(lab)
    assert [wanted for wanted, _ in asked] == [2, 2]
    assert [share for _, share in asked] == pytest.approx([0.9 * 2 / 24] * 2)
    assert result.rows[0].group.endswith("K = 2")
