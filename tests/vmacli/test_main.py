"""What holds for all commands: help without torch, the version, widths, choices."""

import io
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.vmacli.conftest import Shell
from vmacli.main import app
from vmacli.output import Output, PlainProgress, Progress, duration, figures

# Typer itself imports pydantic, and that importlib.metadata, to check the arguments of a command.
SLOW = {"torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "safetensors"}
COMMANDS = (
    "download",
    "train",
    "score",
    "sample",
    "classify",
    "inspect",
    "report",
    "export",
    "reproduce",
    "bench",
    "info",
    "runs",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["bench", "--help"],
        ["bench", "growth", "--help"],
        ["bench", "absent"],
        ["bench", "--json", "growth"],
        ["train", "--steps", "0"],
        ["score", "--absent"],
        ["absent"],
    ],
)
def test_help_and_usage_errors_do_not_wait_for_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom vmacli.main import run\n"
        f"sys.argv = ['vma', *{arguments!r}]\n"
        f"try:\n    run()\nfinally:\n    slow = {SLOW} & sys.modules.keys()\n"
        "    print('imported:', sorted(slow), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if "--help" in arguments else 2)
    assert "imported: []" in done.stderr


def test_help_names_every_command() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["download", "digits", "--from", ""], "--from"),
        (["download", "digits", "--from="], "--from"),
        (["info", "--data-dir", ""], "--data-dir"),
        (["score", ""], "an argument"),
        (["memory", "show", ""], "an argument"),
    ],
)
def test_an_empty_value_is_no_path(arguments: list[str], name: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert f"the value of {name} is empty" in result.stderr


def test_a_name_that_is_too_long_for_a_path_is_no_data_set() -> None:
    result = CliRunner().invoke(app, ["score", "--dataset", "a" * 5000], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("vma ")


def test_info(trained: Shell) -> None:
    document = trained.json("info")
    assert {row["name"]: row["found"] for row in document["data"]} == {
        "omniglot": False,
        "mnist": False,
        "omniglot-burda": False,
        "binarized-mnist": False,
        "omniglot-gmn": False,
        "omniglot-oneshot": False,
        "all-symbols": False,
        "glyphs": True,
        "printed": True,
        "shapes": True,
        "digits": True,
    }
    (run,) = document["runs"]
    assert (run["name"], run["dataset"], run["step"]) == ("tiny", "digits", 20)
    assert run["best_validation_nll"] > 0
    assert {"vma", "python", "torch", "device", "devices", "threads", "shipped"} <= document.keys()
    text = trained("info").stdout
    assert f"runs in {trained.runs}: 1, the newest tiny; vma runs lists them" in text
    assert "vma download omniglot" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines() if not line.startswith("runs in ")) <= 80


def test_info_without_anything(shell: Shell) -> None:
    assert shell.json("info")["runs"] == []
    assert "no runs" in shell("info").stdout


def test_json_has_no_word_for_nan(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True, quiet=False).result({"a": float("nan"), "b": [float("inf"), 1.5]}, ["shown"], "bare")
    assert capsys.readouterr().out == '{"a": null, "b": [null, 1.5]}\n'


def test_modes(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False, quiet=True).result({}, ["shown"], "bare [bold] :x:")
    Output(as_json=False, quiet=True).note("not heard")
    assert capsys.readouterr() == ("bare [bold] :x:\n", "")
    Output(as_json=False, quiet=False).error("two\nlines [bold]")
    assert capsys.readouterr() == ("", "error: two lines [bold]\n")


def test_progress_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    bar = PlainProgress(Output(as_json=False, quiet=False), "steps", 1000)
    for step in range(0, 1000, 10):
        bar.update(step, detail="NLL 1")
        now += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "100/1000  10 steps/s  0:01:30 left  NLL 1"
    assert len(lines) == 9


def test_progress_that_begins_anew_counts_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    bar = Progress("MB", None)
    bar.update(5.0, 10.0)
    now = 1.0
    bar.update(9.0)
    assert bar.line("") == "9.0/10.0  4.0 MB/s  0:00:00 left"
    bar.update(1.0, 2.0)
    assert bar.line("") == "1.0/2.0 MB"


def test_bar_on_a_terminal() -> None:
    from rich.console import Console

    output = Output(as_json=False, quiet=False)
    seen = io.StringIO()
    output._err = Console(file=seen, force_terminal=True, width=80, highlight=False)
    with output.progress("steps", 100000) as bar:
        bar.update(50000, detail="NLL 100.5  KL_a 2.01  KL_z 25.1")
    assert "50000/100000" in seen.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.01234, "0.0123"), (1.0, "1.00"), (12345.6, "12346"), (0.0, "0"), (float("nan"), "–")],
)
def test_figures(number: float, text: str) -> None:
    assert figures(number) == text


def test_duration() -> None:
    assert duration(3723.4) == "1:02:03"
