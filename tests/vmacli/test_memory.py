"""A memory in a file: built, changed, shown, asked and drawn from by the commands."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from tests.data.pictures import drawing, save_classes
from tests.vmacli.conftest import Shell

CLASSES = {"letter": 3, "curve": 3, "cross": 3, "ring": 1}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands with a folder `symbols`, a memory `symbols.mem` of it, and `new` pictures; for tests that only read."""
    made = Shell(tmp_path_factory.mktemp("own"))
    save_classes(made.folder / "symbols", CLASSES)
    save_classes(made.folder / "new", {"letter": 6, "curve": 6, "cross": 6})
    (made.folder / "symbols" / "ring" / "broken.png").write_bytes(b"text")
    result = made("memory", "build", f"{made.folder}/symbols.mem", f"{made.folder}/symbols")
    assert "broken.png can't be used" in " ".join(result.stderr.split())
    assert "shipped symbols" in result.stderr
    return made


def test_show(own: Shell) -> None:
    document = own.json("memory", "show", f"{own.folder}/symbols.mem")
    assert {item["name"]: item["slots"] for item in document["classes"]} == CLASSES
    assert (document["slots"], document["weights"]) == (10, "symbols")
    assert document["preparation"]["frame"] == "ink"
    shown = own("memory", "show", f"{own.folder}/symbols.mem", "--files").stdout
    assert "ring/0.png" in shown.replace("\n", "").replace(" ", "")
    assert own("memory", "show", f"{own.folder}/symbols.mem", "--quiet").stdout.splitlines()[0] == "cross\t3"
    assert "there is no memory" in own.refused("memory", "show", f"{own.folder}/absent")


def test_identify(own: Shell, tmp_path: Path) -> None:
    asked = (f"{own.folder}/symbols.mem", f"{own.folder}/new", "--reject", "0")
    document = own.json("identify", *asked, "--top", "2", "--csv", str(tmp_path / "a.csv"))
    assert (document["memory"], document["weights"]) == (asked[0], "symbols")
    results = document["results"]
    assert len(results) == 18
    right = [item["label"] == Path(item["file"]).parent.name for item in results]
    assert sum(right) >= 16
    for item in results:
        assert set(item) == {"file", "label", "probability", "known", "nearest", "duplicates"}
        assert 0.25 <= item["probability"] <= 1
        first, second = item["nearest"]
        assert set(first) == {"file", "label", "cosine"}
        assert 1.001 > first["cosine"] >= second["cosine"]
        assert Path(first["file"]).parent.name == first["label"]
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as lines:
        assert [row["label"] for row in csv.DictReader(lines)] == [item["label"] for item in results]
    bare = own("identify", *asked, "--quiet").stdout.splitlines()
    assert bare == [f"{item['file']}\t{item['label']}" for item in results]


def test_none_of_these(own: Shell, tmp_path: Path) -> None:
    for number in range(6):
        image = Image.new("L", (60, 60), 255)
        for left in range(8, 50, 12):
            image.paste(0, (left, 5 + number, left + 3, 40))
            image.paste(0, (5, left, 50, left + 2))
        image.save(tmp_path / f"{number}.png")
    unknown = own.json("identify", f"{own.folder}/symbols.mem", str(tmp_path))["results"]
    assert all(item["label"] is None for item in unknown)
    known = own.json("identify", f"{own.folder}/symbols.mem", f"{own.folder}/new")["results"]
    assert sum(item["label"] is None for item in known) <= 6
    assert max(item["known"] for item in unknown) < sorted(item["known"] for item in known)[6]
    assert "none of these" in own("identify", f"{own.folder}/symbols.mem", str(tmp_path / "0.png")).stdout


def test_files_that_cannot_be_read(own: Shell, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"text")
    drawing(2).save(tmp_path / "cross.png")
    asked = (f"{own.folder}/symbols.mem", *(f"{tmp_path}/{name}.png" for name in ("broken", "absent", "cross")))
    result = own("identify", *asked, "--json", code=1)
    assert result.stdout.count('"error": ') == 2
    assert '"label": "cross"' in result.stdout
    assert result.stderr.count("error: ") == 2
    line = own("identify", *asked, "--quiet", code=1).stdout.splitlines()[0]
    assert line.startswith(f"{tmp_path}/broken.png\t\t{tmp_path}/broken.png can't be used: ")
    (tmp_path / "a\tb\nc.png").write_bytes((tmp_path / "cross.png").read_bytes())
    assert own("identify", asked[0], f"{tmp_path}/a\tb\nc.png", "--quiet").stdout == f"{tmp_path}/a?b?c.png\tcross\n"
    (tmp_path / "empty").mkdir()
    assert "there is no picture" in own.refused("identify", asked[0], str(tmp_path / "empty"))


def test_what_cannot_be_written_is_told_before_the_work(own: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory, symbols = f"{own.folder}/symbols.mem", f"{own.folder}/symbols"
    for command in (
        ("identify", memory, symbols, "--csv", f"{tmp_path}/file/a.csv"),
        ("memory", "build", f"{tmp_path}/file/a.mem", symbols),
        ("memory", "build", str(tmp_path), symbols),
    ):
        result = own(*command, code=1)
        (line,) = result.stderr.splitlines()  # no weights were opened
        assert "write" in line
        assert "choose another" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_add_and_remove(own: Shell, tmp_path: Path) -> None:
    memory = str(tmp_path / "m.mem")
    symbols = own.folder / "symbols"
    own("memory", "build", memory, str(symbols), "--weights", "omniglot-best", "--frame", "image")
    more = own.json("memory", "add", memory, f"{own.folder}/new/cross", f"{own.folder}/new/curve/0.png", "--class", "x")
    assert {item["name"]: item["slots"] for item in more["classes"]} == CLASSES | {"x": 7}
    assert more["preparation"]["frame"] == "image"
    assert own.json("memory", "add", memory, str(symbols))["slots"] == 17
    fewer = own.json("memory", "remove", memory, "x", f"{symbols}/ring/0.png", f"{symbols}/curve/1.png")
    assert {item["name"]: item["slots"] for item in fewer["classes"]} == {"letter": 3, "curve": 2, "cross": 3}
    before = Path(memory).read_bytes()
    assert "no class and no file 'absent'" in own.refused("memory", "remove", memory, "absent")
    assert "holds no picture" in own.refused("memory", "add", memory, f"{symbols}/ring/broken.png", "--class", "x")
    assert "say which class it is of" in own.refused("memory", "add", memory, f"{symbols}/ring/0.png")
    assert "other weights" in own.refused("identify", memory, str(symbols), "--weights", "omniglot-45-5")
    assert Path(memory).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.mem"]


def test_a_picture_stands_once(own: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, new = str(tmp_path / "m.mem"), f"{own.folder}/new"
    own("memory", "build", memory, f"{own.folder}/symbols")
    names = (f"{new}/cross/0.png", f"{new}/curve/../cross/0.png", f"{new}/cross")
    assert own.json("memory", "add", memory, *names, "--class", "x")["slots"] == 16
    again = own("memory", "add", memory, f"{new}/curve/../cross/1.png", f"{new}/curve/../letter/0.png", "--class", "x")
    assert "read anew: 1 pictures" in again.stderr
    assert own.json("memory", "show", memory)["slots"] == 17
    # Of a link the file that it leads to is changed.
    (tmp_path / "link.mem").symlink_to(memory)
    own("memory", "remove", f"{tmp_path}/link.mem", "x")
    assert own.json("memory", "show", memory)["slots"] == 10
    assert (tmp_path / "link.mem").is_symlink()


def test_nothing_that_is_read_is_written_over(own: Shell, tmp_path: Path) -> None:
    memory, picture = tmp_path / "m.mem", tmp_path / "symbols" / "a" / "0.png"
    save_classes(tmp_path / "symbols", {"a": 3, "b": 3})
    symbols = str(tmp_path / "symbols")
    assert "is no memory" in own.refused("memory", "build", str(picture), symbols)
    own("memory", "build", str(memory), symbols)
    before = memory.read_bytes(), picture.read_bytes()
    twice = ("--csv", f"{tmp_path}/a.html", "--report", f"{tmp_path}/a.html")
    for command in (
        ("identify", str(memory), symbols, "--csv", str(memory)),
        ("identify", str(memory), symbols, "--csv", str(picture)),
        ("identify", str(memory), symbols, *twice),
        ("inspect", symbols, "--out", str(picture)),
        ("classify", "--dataset", symbols, "--way", "2", "--episodes", "2", "--csv", str(picture)),
        ("sample", "--memory-from", symbols, "--classes", "2", "--out", str(picture)),
    ):
        assert "is read here, or written by another option" in own.refused(*command)
    assert (memory.read_bytes(), picture.read_bytes()) == before
    assert not (tmp_path / "a.html").exists()
    own("memory", "build", str(memory), symbols)  # a memory makes room for another


def test_one_picture_of_each_class_tells_nothing_of_the_unknown(own: Shell, tmp_path: Path) -> None:
    save_classes(tmp_path / "few", {"a": 1, "b": 1})
    own("memory", "build", f"{tmp_path}/m.mem", f"{tmp_path}/few")
    result = own("identify", f"{tmp_path}/m.mem", f"{own.folder}/new/letter/0.png")
    assert "nothing is refused" in result.stderr


def test_sample_from_a_memory(own: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.folder)
    out = ("--out", f"{tmp_path}/a.png", "--columns", "2")
    document = own.json("sample", "--memory-from", "symbols.mem", *out)
    assert (document["run"], document["grid"]) == ("symbols", [4, 2])
    assert document["memory"]["from"] == f"{own.folder}/symbols.mem"
    assert own.json("sample", "--memory-from", "symbols.mem", "--class", "cross", *out)["grid"] == [1, 2]
    asked = ("--memory-from", "symbols.mem", "--class", "cross", "--shots", "3", *out)
    assert own.json("sample", "omniglot-45-5", *asked)["grid"] == [3, 2]
    assert own.json("sample", "--memory-from", "symbols", *out)["grid"] == [4, 2]  # all, where eight are usual
    for memory in ("symbols.mem", "symbols"):
        assert "the split holds 4" in own.refused("sample", "--memory-from", memory, "--classes", "5")
    assert "holds no class 'x'" in own.refused("sample", "--memory-from", "symbols.mem", "--class", "x")
    assert "leave out --dataset" in own.refused("sample", "--memory-from", "symbols.mem", "--dataset", "glyphs")
    assert "give --class with a memory" in own.misused("sample", "--class", "x")


def test_a_memory_remembers_a_run_by_its_path(trained: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_classes(tmp_path / "symbols", CLASSES)
    document = trained.json("memory", "build", f"{tmp_path}/m.mem", f"{tmp_path}/symbols", "--weights", "tiny")
    assert Path(document["weights"]).parent.parent == (trained.runs / "tiny").resolve()
    monkeypatch.chdir(tmp_path)
    elsewhere = ("--runs-dir", str(tmp_path))
    (answer,) = trained.json("identify", "m.mem", "symbols/ring", *elsewhere)["results"]
    assert answer["duplicates"] == [f"{tmp_path}/symbols/ring/0.png"]
    assert "in memory too: 1 of the pictures" in trained("identify", "m.mem", "symbols/ring").stderr
    trained("memory", "build", f"{tmp_path}/n.mem", f"{tmp_path}/symbols")  # the newest run is of other data
    assert trained.json("memory", "show", f"{tmp_path}/n.mem")["weights"] == "symbols"
    refused = trained.refused("sample", "omniglot-best", "--memory-from", "m.mem")
    assert "finer view" in refused
    learned = trained.refused("memory", "build", "a.mem", "symbols", "--weights", "omniglot-vae")
    assert "take weights of a few-shot model" in learned
