"""What others named acts on no terminal."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from vmacli.console import HarmlessConsole, harmless
from vmacli.output import Output, table

NAMES = ["\x1b[31mred", "a\x07", "b\x9b31m", "safe\u202egnp.exe", "\x1b]0;title\x07", "c\rd"]
SHOWN = ["?[31mred", "a?", "b?31m", "safe?gnp.exe", "?]0;title?", "c?d"]


def test_letters_that_act_are_question_marks() -> None:
    assert [harmless(name) for name in NAMES] == SHOWN
    assert harmless("ä\tб\n字 👩\u200d🔬") == "ä\tб\n字 👩\u200d🔬"


def test_results_and_notes_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False, quiet=False)
    rows = table("name", "number")
    for name in NAMES:
        rows.add_row(name, "1")
        output.note(name)
    output.result({}, [rows, *map(Text, NAMES), *NAMES], "")
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not set(text) & set("\x1b\x07\x9b\u202e\r")
        for shown in SHOWN[:4]:
            assert shown in text


def test_colours_of_our_own_stay() -> None:
    stream = io.StringIO()
    HarmlessConsole(file=stream, force_terminal=True, color_system="standard").print(Text("\x1b[1m", "bold red"))
    assert stream.getvalue() == "\x1b[1;31m?[1m\x1b[0m\n"


def test_bare_results_are_as_they_are_but_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(as_json=False, quiet=True)
    output.result({}, [], "a\x07\t1")
    assert capsys.readouterr().out == "a\x07\t1\n"
    monkeypatch.setattr(HarmlessConsole, "is_terminal", True)
    output.result({}, [], "a\x07\t1")
    assert capsys.readouterr().out == "a?\t1\n"
