"""The report of classify: accuracies, classes taken for one another, and each drawing with its answers."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from tests.reports.made import SCRIPT, classify_report, measurements
from tests.reports.parsed import checked, shades
from vmacore.evaluation.answers import ClassAccuracy, Confusion
from vmacore.evaluation.classification import few_shot_task
from vmacore.evaluation.tasks import FewShotTasks
from vmacore.reports import classified, gallery
from vmacore.reports.by_class import MOST_CLASSES, class_table
from vmacore.reports.classified import About, classify_page, gather

TASKS = FewShotTasks(kinds=((3, 1),), episodes=6)


def test_numbers_are_those_that_were_measured() -> None:
    report = classify_report()
    root = checked(classify_page(report))
    rows = root.all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == ["3-way 1-shot", "2-way 2-shot"]
    for row, item in zip(rows, report.results, strict=True):
        assert row.all("td")[1].text == f"{100 * item.accuracy:.1f} %"
        assert row.all("td")[-1].text == str(item.queries)
    assert "words & more" in root.text
    assert f"{SCRIPT}.png can't be used: it is blank" in root.text


def test_every_drawing_that_was_asked_has_a_card() -> None:
    model, measured = measurements(TASKS)
    report = gather(model, measured, TASKS, About("d", "r", "w"))  # type: ignore[arg-type]
    labels, classes = measured.characters.labels.tolist(), measured.characters.classes
    asked: Counter[int] = Counter()
    taken: dict[int, Counter[str]] = {}
    for part in measured.answers:
        for index, predicted in zip(part.drawing.tolist(), part.predicted.tolist(), strict=True):
            asked[index] += 1
            if predicted != labels[index]:
                taken.setdefault(index, Counter())[classes[predicted]] += 1
    by_name = {measured.characters.drawing(index): index for index in asked}
    assert {card.name for card in report.gallery.cards} == set(by_name)
    for card in report.gallery.cards:
        index = by_name[card.name]
        assert card.outcome == ("wrong" if index in taken else "right")
        if index in taken:
            assert f"its class is {classes[labels[index]]}" in card.lines
            assert card.answer in taken[index]
        if asked[index] > 1:
            wrong = taken.get(index, Counter()).total()
            assert any(line.startswith(f"wrong in {wrong} of {asked[index]} answers") for line in card.lines)
        assert set(card.classes) == {classes[labels[index]], *taken.get(index, ())}
        assert card.given is None  # these drawings are not of files


def test_nearest_slots_are_those_of_the_episode() -> None:
    model, measured = measurements(TASKS)
    report = gather(model, measured, TASKS, About("d", "r", "w"))  # type: ignore[arg-type]
    characters = measured.characters
    images = characters.images[:, None].float()
    keys, queries = (F.normalize(part, dim=1) for part in (model.keys(images), model.queries(images)))
    names = [characters.drawing(index) for index in range(len(images))]
    for card in report.gallery.cards:
        index = names.index(card.name)
        (line,) = [line for line in card.lines if line.startswith("probability")]
        episode = int(line.split()[-1])
        support = few_shot_task(characters, 3, 1, TASKS.seed, episode).support
        cosines = keys[support] @ queries[index]
        order = cosines.argsort(descending=True)[:3]
        assert [slot.cosine for slot in card.nearest] == pytest.approx(cosines[order].tolist(), abs=1e-5)
        assert [slot.name for slot in card.nearest] == [names[slot] for slot in support[order].tolist()]
        probability = float(line.split()[1])
        (part,) = [part for part in measured.answers if part.episode == episode]
        place = part.drawing.tolist().index(index)
        assert probability == pytest.approx(100 * float(part.probability[place]), abs=0.06)
        assert card.drawn is not None
        assert torch.equal(shades(card.drawn), 1.0 - characters.images[index])


def test_pictures_of_files_are_shown_as_given(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(classified, "thumbnail_of", lambda file: seen.append(str(file)))
    model, measured = measurements(TASKS)
    files = tuple(f"/data/x/{index}.png" for index in range(len(measured.characters.images)))
    object.__setattr__(measured.characters, "files", files)
    report = gather(model, measured, TASKS, About("d", "r", "w"))  # type: ignore[arg-type]
    assert [f"/data/x/{card.name}" for card in report.gallery.cards] == seen
    assert all("/" not in card.name for card in report.gallery.cards)


def test_a_page_shows_the_wrong_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [card.outcome for card in classify_report(TASKS).gallery.cards]
    assert outcomes == sorted(outcomes, key=gallery.OUTCOMES.index)
    assert len(set(outcomes)) == 2
    assert gallery.some(["right", "wrong", "refused", "unreadable", "wrong"], 3) == [3, 1, 4]
    assert gallery.some(["right"] * 9 + ["wrong"] * 9, 10) == [*range(9, 17), 0, 1]  # room is left for what is right
    assert gallery.some(["right", "wrong"] * 3, 10) == [1, 3, 5, 0, 2, 4]


def test_names_without_the_common_folder() -> None:
    names = gallery.Names(["/a/b/c/1.png", "/a/b/2.png"])
    assert (names.folder, names.of("/a/b/c/1.png")) == ("/a/b", "c/1.png")
    for files in (["/a/1.png", "/2.png"], ["/a/1.png", "b/2.png"], []):
        none = gallery.Names(files)
        assert none.folder == ""
        assert all(none.of(file) == file for file in files)
    assert gallery.Names(["a/1.png", "a/2.png"]).of("a/2.png") == "2.png"


def test_tables_by_class() -> None:
    accuracies = [ClassAccuracy("a", 4, 1), ClassAccuracy("b", 20, 20)]
    table = class_table(accuracies, [Confusion("a", "b", 2, 4), Confusion("a", "none of these", 1, 4)])
    assert table.columns == ["a", "b", "none of these"]
    assert [[cell.count for cell in row.cells] for row in table.rows] == [[1, 2, 1], [0, 20, 0]]
    assert [[cell.level for cell in row.cells] for row in table.rows] == [[3, 3, 3], [0, 4, 0]]
    assert [[cell.right for cell in row.cells] for row in table.rows] == [[True, False, False], [False, True, False]]
    assert class_table(accuracies, []).rows == []
    many = [ClassAccuracy(str(number), 1, 0) for number in range(MOST_CLASSES + 1)]
    pairs = [Confusion(str(number), "0", 1, 1) for number in range(1, MOST_CLASSES + 1)]
    large = class_table(many, pairs)
    assert (large.rows, large.columns, len(large.pairs), large.more_pairs) == ([], [], 30, 10)
