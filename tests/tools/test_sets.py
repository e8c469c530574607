"""The scripts that make sets of pictures, with packages that are there already."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import save_classes
from tools import icons, many_pictures, packages, pictures, printed_letters
from vmacore.data.folders import read_folder
from vmacore.data.pictures import Preparation
from vmacore.data.splits import by_alphabet

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="M6 6h12v{}H6z"/></svg>'


@pytest.fixture
def packed_icons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where npm packages are: an icon for each name of a short table, another rectangle in each set."""
    folder, table = tmp_path / "packages", tmp_path / "icons.csv"
    table.write_text("\n".join(icons.TABLE.read_text("utf-8").splitlines()[:7]), "utf-8")
    monkeypatch.setattr(icons, "TABLE", table)
    with table.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            for number, (name, item) in enumerate(icons.SETS.items()):
                file = packages.unpacked(item.package, item.version, folder) / item.file.format(row[name])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(SQUARE.format(4 + number), "utf-8")
    return folder


def test_the_table_of_icons() -> None:
    with icons.TABLE.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["concept", *icons.SETS]
    assert [row["concept"] for row in rows] == sorted({row["concept"] for row in rows})
    assert len(rows) >= 40
    for source in icons.SETS:
        names = [row[source] for row in rows if row[source]]
        assert len(set(names)) == len(names) > len(rows) / 2


def test_icons_of_all_polarities(packed_icons: Path) -> None:
    classes = icons.render(packed_icons)
    drawn = [picture for beside in classes.values() for picture in beside.values()]
    assert {picture.mode for picture in drawn} == {"RGB", "RGBA"}
    corners = [picture.convert("L").getpixel((0, 0)) for picture in drawn if picture.mode == "RGB"]
    assert min(corners) < 60  # type: ignore[type-var, operator]
    assert max(corners) > 200  # type: ignore[type-var, operator]
    for beside in classes.values():  # all are read as the same rectangles
        inks = [float(np.mean(Preparation().finer(picture) > 127)) for picture in beside.values()]
        assert 0.05 < min(inks) < max(inks) < 0.5
    assert icons.sources(packed_icons)[0] == "lucide-static 1.62.0, ISC"


def test_what_is_not_drawn_ends_the_script(packed_icons: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(icons, "SETS_OF_EACH", len(icons.SETS))
        with pytest.raises(SystemExit, match="fewer than 11 sets draw airplane"):
            icons.render(packed_icons)
    item = icons.SETS["lucide"]
    blank = packages.unpacked(item.package, item.version, packed_icons) / item.file.format("bell")
    blank.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"/>', "utf-8")
    with pytest.raises(SystemExit, match=r"bell\.svg draws nothing"):
        icons.render(packed_icons)


@pytest.fixture
def packed_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Debian packages are: one of the fonts that come with matplotlib."""
    monkeypatch.setattr(printed_letters, "PACKAGES", printed_letters.PACKAGES[:1])
    monkeypatch.setattr(printed_letters, "FAMILIES", 2)
    folder = tmp_path / "packages"
    fonts = folder / "fonts-dejavu-core" / "usr/share/fonts/truetype/dejavu"
    fonts.mkdir(parents=True)
    for font in printed_letters.PACKAGES[0].fonts:
        shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font, fonts)
    return folder


def test_letters_are_a_folder_of_alphabets(
    packed_fonts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="fewer than 2 families draw Hebrew/alef, Hebrew/bet"):
        printed_letters.render(packed_fonts)
    monkeypatch.setattr(printed_letters, "FAMILIES", 1)
    classes = printed_letters.render(packed_fonts)
    assert list(classes["Latin/a"]) == ["DejaVuSans", "DejaVuSansMono", "DejaVuSerif"]
    assert list(classes["Hebrew/alef"]) == ["DejaVuSans"]
    for name in ("one", "two"):
        pictures.save(tmp_path / name, classes, ["a line"])
    words = capsys.readouterr().out.splitlines()
    assert len({line.rpartition(" ")[2] for line in words}) == 1
    whole = read_folder(tmp_path / "one", Preparation())
    assert not whole.left_out
    assert set(by_alphabet(whole.characters)) == set(printed_letters.ALPHABETS)
    assert f"{len(whole.characters.images)} pictures of {whole.characters.n_classes} classes" in words[0]
    columns = ["DejaVuSans", "DejaVuSerif"]
    pictures.save_sheet(tmp_path / "sheet.png", classes, columns)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * pictures.CELL, len(classes) * pictures.CELL)


def test_a_font_without_the_letters_or_with_the_letters_of_another(
    packed_fonts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package,) = printed_letters.PACKAGES
    fonts = packed_fonts / package.name / "usr/share/fonts" / package.folder
    shutil.copy(fonts / "DejaVuSerif.ttf", fonts / "Copy.ttf")
    twice = replace(package, fonts=("DejaVuSerif.ttf", "Copy.ttf"), alphabets=("Latin",))
    monkeypatch.setattr(printed_letters, "PACKAGES", (twice,))
    with pytest.raises(SystemExit, match="fewer than 2 families draw Latin/a"):
        printed_letters.render(packed_fonts)
    monkeypatch.setattr(printed_letters, "EM", 300)
    with pytest.raises(SystemExit, match="more than the picture holds"):
        printed_letters.render(packed_fonts)


def test_many_pictures_are_of_the_same_classes_and_all_differ(tmp_path: Path) -> None:
    save_classes(tmp_path / "few", {"a": 2, "Greek/b": 1})
    for out in ("many", "again"):
        many_pictures.make(tmp_path / "few", tmp_path / out, 8)
    files = [sorted((tmp_path / out).rglob("*.png")) for out in ("many", "again")]
    contents = [[file.read_bytes() for file in part] for part in files]
    assert contents[0] == contents[1]
    assert len(set(contents[0])) == 8
    whole = read_folder(tmp_path / "many", Preparation())
    assert not whole.left_out
    assert dict(zip(whole.characters.classes, whole.characters.counts.tolist(), strict=True)) == {"a": 5, "Greek/b": 3}


def test_a_package_that_cannot_be_had_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(SystemExit, match=r"npm pack --silent a@1 failed: no such package"):
        packages.npm("a", "1", tmp_path / "packages")
