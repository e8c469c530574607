"""docs/python.md: every example runs as it stands, and the table of scikit-learn's checks is that of the test."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.data.drawings import ALPHABETS, drawing_files, write_files
from tests.data.pictures import drawing, save_classes
from tests.experiments.conftest import tiny
from tests.test_classifier_checks import EXCEPTIONS
from vmacore.data.sets import omniglot
from vmacore.experiments import fig3
from vmacore.experiments.lab import plans, systems

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures as the page has them, an Omniglot of five characters, and an experiment that is tiny."""
    counts = {"alpha": 4, "beta": 4, "gamma": 4} | {f"class{number:02}": 3 for number in range(13)}
    save_classes(tmp_path / "symbols", counts)
    (tmp_path / "new").mkdir()
    for kind in range(3):
        drawing(kind, 3).save(tmp_path / "new" / f"{kind}.png")
    write_files(tmp_path / "omniglot-files", drawing_files())
    for name in ("import_from", "read"):
        monkeypatch.setattr(omniglot, name, partial(getattr(omniglot, name), alphabets=ALPHABETS))
    monkeypatch.setattr(plans, "load_recipe", tiny)
    monkeypatch.setattr(fig3, "EPISODES", 3)
    monkeypatch.setattr(systems, "VMA", replace(systems.VMA, plan=replace(systems.VMA.plan, steps=None)))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
@pytest.mark.usefixtures("folder")
def test_an_example(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(example, {"__name__": "__main__"})
    assert capsys.readouterr().out


def test_exceptions_of_scikit_learn_s_checks() -> None:
    assert dict(re.findall(r"\| `(check_\w+)` \| (.+) \|", PAGE)) == EXCEPTIONS


def test_calls_are_there() -> None:
    """Every name in the table of commands can be imported."""
    table = PAGE.partition("## What each command calls")[2].partition("###")[0]
    named = re.findall(r"`(vmacore(?:\.\w+)+)`", table)
    assert len(named) > 20
    for name in named:
        module, _, attribute = name.rpartition(".")
        exec(f"from {module} import {attribute}", {})
