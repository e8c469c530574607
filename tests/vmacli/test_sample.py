"""`vma sample`: the picture, the preview, and what cannot be drawn."""

from pathlib import Path

import pytest
from PIL import Image

from tests.vmacli.conftest import TINY, Shell

SMALL = ("--rows", "3", "--columns", "5", "--classes", "4", "--shots", "2")


@pytest.mark.parametrize("extra", [(), ("--address", "prior"), ("--pixels", "sample"), ("--memory-from", "train")])
def test_json_document_and_picture(trained: Shell, tmp_path: Path, extra: tuple[str, ...]) -> None:
    out = tmp_path / "new" / "grid.png"
    document = trained.json("sample", "tiny", "--out", str(out), *SMALL, *extra)
    assert document["image"] == str(out)
    assert document["grid"] == [3, 5]
    assert document["address"] == ("prior" if "prior" in extra else "shared")
    assert document["pixels"] == ("sample" if "sample" in extra else "mean")
    assert document["memory"]["from"] == document["split"] == ("train" if "train" in extra else "test")
    assert {"dataset", "protocol", "weights", "seed", "samples", "checkpoint"} <= document.keys()
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert image.width > image.height


def test_preview_fits_into_80_columns(trained: Shell, tmp_path: Path) -> None:
    result = trained("sample", "--out", str(tmp_path / "grid.png"), *SMALL)
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines if "grid.png" not in line) <= 80
    assert "│" in lines[0]
    assert ord(lines[0][0]) >> 8 == 0x28  # Braille
    assert "Bernoulli means" in " ".join(result.stdout.split())
    assert result.stderr.startswith("run tiny, step 20")


def test_quiet_prints_the_path_alone(trained: Shell, tmp_path: Path) -> None:
    result = trained("sample", "--quiet", "--out", str(tmp_path / "a.png"), *SMALL)
    assert (result.stdout, result.stderr) == (f"{tmp_path / 'a.png'}\n", "")


def test_default_name(trained: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained.json("sample", *SMALL)["image"] == "samples-tiny.png"
    assert (tmp_path / "samples-tiny.png").is_file()


def test_foreseen_failures(trained: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for arguments, words in (
        (("--out", str(tmp_path / "file" / "a.png")), "a.png"),
        (("--out", str(tmp_path)), str(tmp_path)),
        (("--classes", "11"), "11"),
        (("--shots", "1000"), "1000"),
    ):
        assert words in trained.refused("sample", *SMALL, *arguments)
    assert "no learned memory" in trained.refused(
        "sample", "--memory-from", "learned", "--out", str(tmp_path / "no/a.png")
    )
    assert (tmp_path / "file").read_text() == "in the way"
    assert not (tmp_path / "no").exists()


def test_a_learned_memory_has_sizes_of_its_own(shell: Shell, tmp_path: Path) -> None:
    learned = ("--set", "episode.memory=recall", "--set", "model.learned_slots=3")
    shell("train", "--dataset", "glyphs", "--name", "learned", "--steps", "1", *TINY, *learned)
    wanted = ("sample", "--memory-from", "learned", "--columns", "2", "--out", str(tmp_path / "a.png"))
    document = shell.json(*wanted)
    assert document["memory"] == {"from": "learned", "classes": None, "shots": None}
    assert document["grid"] == [3, 2]
    for option in ("--classes", "--shots"):
        assert "slots of its own" in shell.misused(*wanted, option, "2")


@pytest.mark.parametrize(
    "arguments",
    [("--rows", "0"), ("--columns", "-2"), ("--memory-from", "mine"), ("--pixels", "big"), ("--seed", "x")],
)
def test_wrong_usage(trained: Shell, arguments: tuple[str, ...]) -> None:
    trained.misused("sample", *arguments)


@pytest.mark.parametrize("out", ["x.svg", "file/x.png"])
def test_where_no_picture_can_be_written_is_said_before_sampling(
    trained: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "file").write_text("")

    def sampled(*arguments: object, **named: object) -> None:
        raise AssertionError("sampled first")

    monkeypatch.setattr("vmacore.evaluation.sampling.sample_grid", sampled)
    assert out in trained.refused("sample", "tiny", "--classes", "2", "--out", str(tmp_path / out))
