"""The report of identify: every picture with its answer, what was refused and why, and how right it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.data.pictures import drawing
from tests.memory.test_pictures import characters, make_memory, make_model
from tests.reports.made import SCRIPT, identifier, identify_report
from tests.reports.parsed import Element, checked, picture, shades
from vmacore.evaluation.identify import Answer, Identifier, Near
from vmacore.reports.identified import gather, identify_page, known_labels


def cards_of(root: Element) -> dict[str, Element]:
    return {card.all("h3")[0].text: card for card in root.all("article", class_="card")}


def test_every_picture_has_a_card(tmp_path: Path) -> None:
    report = identify_report(tmp_path)
    root = checked(identify_page(report))
    cards = cards_of(root)
    assert len(cards) == 11
    assert set(cards) == {
        "script>&.png",
        "new/blank.png",
        *(f"{c}/{n}.png" for c in ("c", "d", "new") for n in range(3)),
    }
    outcomes = Counter(card["data-outcome"] for card in cards.values())
    assert outcomes == report.counts
    assert outcomes["unreadable"] == 2
    for name, card in cards.items():
        given, drawn, *slots = card.all("img") + [None] * 2  # type: ignore[list-item]
        if card["data-outcome"] == "unreadable":
            continue
        assert given["alt"] == "The picture as given"
        assert picture(given["src"]).size == (64, 64)
        assert drawn["alt"] == "The drawing that was read"
        assert picture(drawn["src"]).size == (8, 8)
        rows = card.one("tbody").all("tr")
        assert len(rows) == 10
        cosines = [float(row.all("td")[2].text.replace("−", "-")) for row in rows]
        assert cosines == sorted(cosines, reverse=True), name
        assert [slot for slot in slots if slot]


def test_why_a_picture_has_no_answer(tmp_path: Path) -> None:
    report = identify_report(tmp_path)
    cards = cards_of(checked(identify_page(report)))
    assert "it is no picture in a format that is read" in cards["script>&.png"].text
    assert not cards["script>&.png"].all("img")
    assert "it is blank" in cards["new/blank.png"].text
    assert len(cards["new/blank.png"].all("img")) == 1
    refused = [card for card in cards.values() if card["data-outcome"] == "refused"]
    assert refused
    for card in refused:
        assert card.one("p", class_="answer").text == "none of these"
        assert "is below" in card.text
        assert "less like the nearest slot" in card.text
    assert next(iter(cards.values()))["data-outcome"] == "unreadable"  # what needs a look comes first


def test_folders_tell_what_is_right(tmp_path: Path) -> None:
    report = identify_report(tmp_path)
    root = checked(identify_page(report))
    assert report.table is not None
    assert sorted(item.name for item in report.table.accuracies) == ["c", "d"]
    assert all(item.queries == 3 for item in report.table.accuracies)
    right = sum(item.right for item in report.table.accuracies)
    cards = cards_of(root)
    assert right == sum(card["data-outcome"] == "right" for card in cards.values())
    for name, card in cards.items():
        folder = name.split("/")[0]
        told = card["data-outcome"]
        if folder in "cd" and told in ("right", "wrong"):
            assert (card.one("p", class_="answer").text == folder) == (told == "right")
        if folder == "new":
            assert told in ("refused", "answered", "unreadable")
    confusions = root.one("table", class_="confusion")
    asked = {
        row.all("th")[0].text: sum(int(cell.text or 0) for cell in row.all("td")) for row in confusions.all("tr")[1:]
    }
    assert asked == {"c": 3, "d": 3}


def test_without_known_classes_there_is_no_table(tmp_path: Path) -> None:
    asked = identifier(reject=0)
    drawing(1).save(tmp_path / "a.png")
    report = gather(asked, list(asked.files([tmp_path / "a.png"])), memory="m")
    root = checked(identify_page(report))
    assert report.table is None
    assert not root.all("table", class_="confusion")
    assert "nothing is refused" in root.text
    assert root.one("select", name="class").all("option")[0].text == "all"
    assert not root.all("select", name="outcome")  # all have one


def test_a_page_shows_some_of_many(tmp_path: Path) -> None:
    whole = identify_report(tmp_path)
    again = identify_report(tmp_path / "again", most=4)
    root = checked(identify_page(again))
    assert len(cards_of(root)) == 4
    assert "4 of 11 pictures" in root.text
    assert again.counts == whole.counts
    assert "All 11 pictures" in checked(identify_page(whole)).text


def test_drawings_are_those_that_the_model_looks_at(tmp_path: Path) -> None:
    model = make_model("finer")
    asked = Identifier(model, make_memory(model), 0.0)
    drawing(2).save(tmp_path / "a.png")
    (card,) = gather(asked, list(asked.files([tmp_path / "a.png"])), memory="m").gallery.cards
    assert card.drawn is not None
    seen = torch.from_numpy(asked.memory.preparation.read(tmp_path / "a.png")).float() / 255
    torch.testing.assert_close(shades(card.drawn), 1 - seen, atol=0.04, rtol=0)
    slot = card.nearest[0]
    place = asked.memory.files.index(next(file for file in asked.memory.files if file.endswith(slot.name)))
    assert slot.drawn is not None
    (image,) = asked.memory.images(torch.tensor([place]))
    torch.testing.assert_close(shades(slot.drawn), 1 - image[0], atol=0.04, rtol=0)


def test_a_picture_that_is_in_memory_too(tmp_path: Path) -> None:
    model, drawings = make_model(), characters([2, 2])
    memory = make_memory(model, drawings)
    asked = Identifier(model, memory, 0.0)
    answer = Answer("x.png", "a", 0.9, 0.1, (Near(drawings.files[0], "a", 1.0),), (drawings.files[0],))
    (card,) = gather(asked, [answer], memory="m").gallery.cards
    assert "in memory too, as a/0-0.png" in card.lines
    assert card.given is None  # the file has gone since


def test_labels_by_folders(tmp_path: Path) -> None:
    for name in ("c", "Greek/alpha", "other"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / name / "1.png")
    found = known_labels([tmp_path, tmp_path / "c" / "1.png"], ["c", "Greek/alpha", SCRIPT])
    assert found == {str(tmp_path / "c" / "1.png"): "c", str(tmp_path / "Greek" / "alpha" / "1.png"): "Greek/alpha"}


@pytest.mark.parametrize("label", [None, "a"])
def test_a_refused_picture_stands_under_the_class_that_it_is_like(label: str | None) -> None:
    model = make_model()
    asked = Identifier(model, make_memory(model), 0.3)
    answer = Answer("x.png", label, 0.9, -1.0, (Near(asked.memory.files[-1], "d", 0.5),), ())
    (card,) = gather(asked, [replace(answer)], memory="m").gallery.cards
    assert card.classes == (label or "d",)
    assert card.outcome == ("answered" if label else "refused")
