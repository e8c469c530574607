"""Pages by the commands: of a run, and of answers to pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.data.pictures import save_classes
from tests.reports.parsed import checked
from tests.vmacli.conftest import Shell

QUICK = ("--episodes", "2", "--targets", "4")


def test_a_page_of_a_run(trained: Shell, tmp_path: Path) -> None:
    page = tmp_path / "new" / "a.html"
    document = trained.json("report", "tiny", *QUICK, "--out", str(page))
    assert (document["run"], document["step"], document["page"]) == ("tiny", 20, str(page))
    assert document["bytes"] == page.stat().st_size
    assert document["missing"] == []
    root = checked(page.read_text("utf-8"))
    assert root.one("h1").text == "tiny"
    assert "Samples" in root.text
    assert [file.name for file in page.parent.iterdir()] == ["a.html"]


def test_the_page_is_called_after_the_run(trained: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = trained("report", "omniglot-45-5", *QUICK)
    assert result.stdout == "report-omniglot-45-5.html\n"
    assert "not on the page: Learning curves: these weights come without the run" in result.stderr
    assert "Omniglot is not in" in result.stderr
    root = checked((tmp_path / "report-omniglot-45-5.html").read_text("utf-8"))
    assert "vma download omniglot" in root.text
    assert [title.text for title in root.all("h2")] == ["Not on this page", "What it is made of"]


def test_pages_that_cannot_be_written_are_refused_before_the_work(trained: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    for command in (
        ("report", "tiny", "--out"),
        ("classify", "tiny", "--report"),
        ("identify", "absent.mem", str(tmp_path), "--report"),
    ):
        assert "choose another place for the report" in trained.refused(*command, str(tmp_path / "a.html"))
        assert "ends in .html" in trained.refused(*command, str(tmp_path / "a.pdf"))
    assert "there is no run 'absent'" in trained.refused("report", "absent", "--out", str(tmp_path / "b.html"))


def test_a_page_of_pictures_identified(shell: Shell, tmp_path: Path) -> None:
    save_classes(tmp_path / "symbols", {"letter": 3, "curve": 3})
    save_classes(tmp_path / "new", {"letter": 2, "curve": 2})
    (tmp_path / "new" / "broken.png").write_bytes(b"text")
    memory, page = str(tmp_path / "m.mem"), tmp_path / "a.html"
    shell("memory", "build", memory, str(tmp_path / "symbols"))
    result = shell("identify", memory, str(tmp_path / "new"), "--report", str(page), code=1)
    assert f"the report is {page}" in result.stderr
    root = checked(page.read_text("utf-8"))
    outcomes = [card["data-outcome"] for card in root.all("article")]
    assert len(outcomes) == 5
    assert outcomes[0] == "unreadable"
    assert set(outcomes[1:]) <= {"right", "wrong", "refused"}
    assert len(root.all("table", class_="confusion")) <= 1


def test_a_page_of_pictures_classified(shell: Shell, tmp_path: Path) -> None:
    save_classes(tmp_path / "symbols", {"letter": 3, "curve": 3, "cross": 2})
    (tmp_path / "symbols" / "cross" / "broken.png").write_bytes(b"text")
    page = tmp_path / "a.html"
    asked = ("--dataset", str(tmp_path / "symbols"), "--way", "2", "--episodes", "3", "--report", str(page))
    result = shell("classify", *asked)
    assert f"the report is {page}" in result.stderr
    root = checked(page.read_text("utf-8"))
    assert root.one("h1").text == "symbols classified by symbols"
    assert "broken.png can't be used" in root.text
    cards = root.all("article")
    assert 1 < len(cards) <= 8
    assert all(len(card.all("img")) >= 3 for card in cards)  # as given, as read, and the slots
    assert "--within-alphabet" in shell.misused("classify", *asked, "--within-alphabet")


def test_a_page_of_a_data_set_classified(trained: Shell, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    trained("classify", "tiny", "--way", "3", "--episodes", "2", "--queries", "2", "--report", str(page))
    root = checked(page.read_text("utf-8"))
    cards = root.all("article")
    assert 6 <= len(cards) <= 12
    assert all(image["alt"] != "The picture as given" for card in cards for image in card.all("img"))


def test_the_example_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Path(__file__).parents[2] / "docs" / "reports.md"
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text("utf-8"), re.S)
    save_classes(tmp_path / "symbols", {f"class{number}": 6 for number in range(6)})
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    root = checked((tmp_path / "symbols.html").read_text("utf-8"))
    assert "Smaller and larger memories" in [title.text for title in root.all("h2")]
