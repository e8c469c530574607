"""Folders of pictures for every command: runs on them, and shipped weights."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.data.pictures import drawing, save_classes
from tests.vmacli.conftest import TINY, Shell
from vmacore.runs.directory import RunDirectory

COUNTS = {f"class{number:02}": 2 + number % 4 for number in range(16)} | {"Greek/alpha": 1}
SMALL = (*TINY, "--set", "episode.shots=1", "--set", "episode.targets=1")
GUIDE = Path(__file__).parents[2] / "docs" / "own-pictures.md"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands with a folder `symbols` and a run `mine` on it; for tests that only read them."""
    made = Shell(tmp_path_factory.mktemp("own"))
    save_classes(made.folder / "symbols", COUNTS)
    (made.folder / "symbols" / "class00" / "broken.png").write_bytes(b"text")
    asked = ("--dataset", str(made.folder / "symbols"), "--name", "mine", "--steps", "10", "--frame", "image")
    made("train", *asked, *SMALL)
    return made


def _folder(own: Shell) -> str:
    return str(own.folder / "symbols")


def test_a_run_on_a_folder_is_trained_and_resumed(own: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.folder)
    result = own("train", "--dataset", "symbols", "--steps", "4", *SMALL, *("--set", "training.validate_every=2"))
    told = " ".join(result.stderr.split())
    assert "broken.png can't be used: it is no picture" in told
    assert "symbols: 14 classes train, 2 validate; left out, with fewer than 2 drawings: 1" in told
    assert f"training on {_folder(own)} ink; 26×26, pictures cropped to the ink" in told
    run = RunDirectory.open(own.runs / "symbols-1")
    assert (run.config.data.dataset, run.config.data.protocol) == (_folder(own), "ink")
    assert own.json("train", "--resume", "symbols-1", "--steps", "6")["step"] == 6
    assert own.json("train", "--resume", "symbols-1", "--steps", "7", "--dataset", "symbols")["step"] == 7
    assert "--frame" in own.refused("train", "--resume", "symbols-1", "--steps", "8", "--frame", "image")


def test_a_folder_that_has_moved(shell: Shell) -> None:
    symbols = shell.folder / "symbols"
    save_classes(symbols, COUNTS)
    shell("train", "--dataset", str(symbols), "--name", "mine", "--steps", "2", *SMALL)
    moved = symbols.rename(shell.folder / "moved")
    assert f"is gone: move it back, or write its new place into {shell.runs}/mine/config.toml" in shell.refused(
        "train", "--resume", "mine", "--steps", "4"
    )
    assert "is gone: give its new place by --dataset" in shell.refused("classify", "mine")
    shell("classify", "mine", "--dataset", str(moved), "--way", "2", "--episodes", "2")
    shell("classify", "mine", "--dataset", "glyphs", "--way", "2", "--episodes", "2")
    config = shell.runs / "mine" / "config.toml"
    config.write_text(config.read_text().replace(str(symbols), str(moved)))
    assert shell.json("train", "--resume", "mine", "--steps", "4")["step"] == 4


def test_a_run_on_a_hidden_folder_is_found(shell: Shell) -> None:
    save_classes(shell.folder / ".-hidden", COUNTS)
    made = shell.json("train", "--dataset", str(shell.folder / ".-hidden"), "--steps", "1", *SMALL)
    assert Path(made["run"]).name == "hidden-1"
    assert [run["name"] for run in shell.json("runs")["runs"]] == ["hidden-1"]


def test_the_classes_that_validate_stay(shell: Shell) -> None:
    symbols = shell.folder / "symbols"
    save_classes(symbols, COUNTS)
    shell("train", "--dataset", str(symbols), "--name", "mine", "--steps", "2", *SMALL)
    before = RunDirectory.open(shell.runs / "mine").config.data.validation
    save_classes(symbols, {f"0 new {number}": 9 for number in range(10)})
    resumed = shell("train", "--resume", "mine", "--steps", "4").stderr
    assert f"{len(COUNTS) - 1 + 10 - 2} classes train, 2 validate" in resumed  # but for the class of one picture
    asked = ("classify", "mine", "--split", "validation", "--way", "2", "--shot", "1", "--episodes", "5", "--per-class")
    assert before is not None
    assert all(name in shell(*asked).stdout for name in before)


def test_a_run_of_few_classes_has_no_accuracy_of_five(own: Shell) -> None:
    assert "accuracy" not in own("train", "--resume", "mine", "--steps", "11").stderr  # two classes validate
    assert own.json("runs")["runs"][0]["best_validation_accuracy"] is None


def test_an_empty_folder(shell: Shell) -> None:
    (shell.folder / "none").mkdir()
    assert "there is no picture in" in shell.refused("inspect", str(shell.folder / "none"))


def test_a_run_on_a_folder_is_measured_by_its_name(own: Shell, tmp_path: Path) -> None:
    result = own("classify", "mine", "--episodes", "3", "--way", "3")
    assert "split test is every class of the folder, also those that mine was trained on" in result.stderr
    heading = " ".join(result.stdout.split())
    assert "26×26, pictures framed as they are; black and white: ink where any of 2×2 finer pixels has ink; " in heading
    validation = own.json("classify", "mine", "--split", "validation", "--way", "2", "--episodes", "3")
    assert (validation["dataset"], validation["protocol"]) == (_folder(own), "image")
    assert len(validation["per_class"]) == 2
    cropped = own.json("classify", "mine", "--frame", "ink", "--episodes", "3")
    assert cropped["protocol"] == "ink"
    size = ("--classes", "3", "--shots", "2")
    scored = own("score", "mine", *size, "--targets", "2", "--samples", "2", "--episodes", "2")
    assert "left out, with fewer than 4 drawings: 9 of 17 classes" in scored.stderr
    grid = own.json("sample", "mine", *size, "--out", str(tmp_path / "a.png"))
    assert grid["grid"] == [6, 8]
    assert (tmp_path / "a.png").is_file()


def test_the_newest_run_on_a_folder_is_taken_else_shipped_weights(own: Shell, tmp_path: Path) -> None:
    """Neither needs another data set."""
    named = own.json("classify", "--dataset", _folder(own), "--episodes", "2")
    assert named["run"] in ("mine", "symbols-1")
    save_classes(tmp_path / "other", {"a": 3, "b": 3, "c": 1})
    document = own.json("classify", "--dataset", str(tmp_path / "other"), "--way", "3", "--episodes", "2")
    assert (document["run"], document["dataset"]) == ("symbols", str(tmp_path / "other"))
    assert [item["name"] for item in sorted(document["per_class"], key=lambda item: item["name"])] == ["a", "b"]
    out = str(tmp_path / "a.png")
    sampled = own.json(
        "sample", "omniglot-best", "--memory-from", str(tmp_path / "other"), "--classes", "3", "--out", out
    )
    assert (sampled["memory"]["from"], sampled["split"], sampled["grid"]) == (str(tmp_path / "other"), "test", [3, 8])
    with Image.open(out) as image:
        assert image.format == "PNG"


def test_answers_to_single_queries(own: Shell, tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    asked = ("mine", "--way", "4", "--shot", "1", "--shot", "2", "--episodes", "3", "--csv", str(file))
    document = own.json("classify", *asked)
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == sum(cell["queries"] for cell in document["results"])
    for row in rows:
        assert Path(row["file"]).relative_to(_folder(own)).parent.as_posix() == row["label"]
        assert 0 < float(row["probability"]) <= 1
    for item in document["per_class"]:
        own_rows = [row for row in rows if row["label"] == item["name"]]
        right = sum(row["label"] == row["predicted"] for row in own_rows)
        assert (item["queries"], item["right"]) == (len(own_rows), right)
        assert item["accuracy"] == pytest.approx(right / len(own_rows))
    assert sum(item["count"] for item in document["confusions"]) == sum(r["label"] != r["predicted"] for r in rows)
    shown = own("classify", "mine", "--way", "4", "--episodes", "3", "--per-class").stdout
    assert "taken for" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_histograms_of_gradients_stand_beside(own: Shell) -> None:
    asked = ("--way", "4", "--episodes", "2", "--baselines", "--baseline-episodes", "2")
    document = own.json("classify", "mine", *asked)
    (found,) = [item for item in document["baselines"] if item["name"] == "hog-logistic"]
    assert found["accuracy"] > 0.3  # chance is 0.25, and some classes are alike
    assert "logistic, HOG at 64×64" in own("classify", "mine", *asked).stdout


def test_classes_of_a_data_set_by_name(trained: Shell, tmp_path: Path) -> None:
    asked = ("--episodes", "2", "--queries", "1")
    assert "per_class" not in trained.json("classify", *asked)
    document = trained.json("classify", *asked, "--per-class", "--csv", str(tmp_path / "a.csv"))
    assert sum(item["queries"] for item in document["per_class"]) == 10
    assert (tmp_path / "a.csv").read_text("utf-8").splitlines()[1].startswith("digits/")
    refused = trained.misused("classify", *asked, "--per-class", "--within-alphabet")
    assert "--within-alphabet" in refused


def test_folders_that_cannot_be_used(own: Shell, tmp_path: Path) -> None:
    save_classes(tmp_path / "few", {"a": 3, "b": 3})
    assert "too few classes with 2 drawings to train on" in own.refused(
        "train", "--dataset", str(tmp_path / "few"), *SMALL
    )
    assert not list(own.runs.glob("few*"))
    assert "is no folder: give a folder" in own.refused("classify", "--dataset", str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    assert "holds no picture" in own.refused("sample", "--memory-from", str(tmp_path / "empty"))
    assert "give --frame with a folder" in own.refused("classify", "omniglot-best", "--frame", "image")
    assert "give --frame with a folder" in own.refused("train", "--dataset", "glyphs", "--frame", "image")
    both = ("--dataset", _folder(own), "--frame", "image", "--protocol", "ink")
    assert "leave --protocol out" in own.refused("train", *both)
    for command in ("classify", "train"):
        usage = own.misused(command, "--dataset", "absent")
        assert "./absent" in usage
        assert "glyphs" in usage


def test_inspect(own: Shell, tmp_path: Path) -> None:
    drawing(2).save(tmp_path / "a.png")
    out = tmp_path / "sheet.png"
    result = own("inspect", str(tmp_path / "a.png"), "--out", str(out))
    assert "64×64 L" in result.stdout
    assert "│" in result.stdout
    assert out.is_file()
    (tmp_path / "b.png").touch()
    result = own("inspect", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--json", "--size", "28", code=1)
    assert '"error": "can\'t be used: it is no picture' in result.stdout
    assert '"size": [28, 28]' in result.stdout
    assert own("inspect", str(tmp_path / "a.png"), "--quiet").stdout.startswith(f"{tmp_path / 'a.png'}\t0.")
    before = out.read_bytes()
    for image in ("b.png", "absent.png"):  # with nothing to show, the picture made before stays
        assert str(out) not in own("inspect", str(tmp_path / image), "--out", str(out), code=1).stdout
    assert out.read_bytes() == before


def test_commands_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command, with less training and fewer tasks."""
    shell = Shell(tmp_path)
    monkeypatch.chdir(tmp_path)
    classes = {"alpha": 3, "beta": 3, "Greek/gamma": 3} | {f"class{number:02}": 3 for number in range(14)}
    save_classes(tmp_path / "symbols", classes)
    (tmp_path / "symbols" / "alpha" / "1.png").rename(tmp_path / "symbols" / "alpha" / "9.png")
    drawing(1).save(tmp_path / "symbols" / "beta" / "scan.tif")
    save_classes(tmp_path, {"more": 3, "new": 2})
    for part in ("some", "others"):
        save_classes(tmp_path / part, {f"class{number:02}": 6 for number in range(16)})
    less = {
        "memory": (), "identify": (), "inspect": (), "score": (), "sample": (), "classify": ("--episodes", "2"),
        "train": ("--steps", "2"), "train --resume": ("--steps", "4"),
    }  # fmt: skip
    guide = GUIDE.read_text("utf-8")
    commands = [line for block in re.findall(r"```\n(.*?)```", guide, re.S) for line in block.splitlines()]
    assert len(commands) == 18
    for line in commands:
        name, command, *arguments = shlex.split(line)
        assert name == "vma"
        resumed = "--resume" in arguments
        more = less["train --resume" if resumed else command]
        small = command == "train" and not {"--resume", "--init"} & {*arguments}
        shell(command, *arguments, *more, *(SMALL if small else ()))
    for file in (
        "before-and-after.png",
        "answers.csv",
        "variants.png",
        "alpha.png",
        "labels.csv",
        "runs/mine/config.toml",
    ):
        assert (tmp_path / file).is_file()
    (python,) = re.findall(r"```python\n(.*?)```", guide, re.S)
    (tmp_path / "symbols" / "alpha" / "9.png").rename(tmp_path / "symbols" / "alpha" / "1.png")
    names: dict[str, object] = {}
    exec(python, names)
    assert names["finer"].shape == (52, 52)  # type: ignore[attr-defined]
