"""Completion by the shell: choices, names of runs and of recipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.vmacli.test_main import SLOW
from vmacli.main import app


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the runs one and other, a half-made one and a folder that is no run."""
    for name in ("one", "other", ".one.12.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("")
    (tmp_path / "only-a-folder").mkdir()
    return tmp_path


def _asked(runs: Path, words: str) -> dict[str, str]:
    """What bash puts into the environment when Tab is pressed after these words."""
    return {
        "_VMA_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "VMA_RUNS": str(runs),
    }


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vma cla", ["classify"]),
        ("vma score --dataset gl", ["glyphs"]),
        ("vma train --estimator nv", ["nvil"]),
        ("vma train --recipe omniglot-g", ["omniglot-gmn", "omniglot-gmn-best"]),
        ("vma score on", ["one"]),
        (
            "vma classify o",
            ["one", "other", *(f"omniglot-{n}" for n in ("45-5", "best", "gmn-best", "soft-attention", "vae"))],
        ),
        ("vma export omniglot-v", ["omniglot-vae"]),
        ("vma info ot", ["other"]),
        ("vma runs comp", ["compare"]),
        ("vma runs --quiet --js", ["--json"]),
        ("vma bench gro", ["growth"]),
        ("vma runs compare ot", ["other"]),
        ("vma train --resume ", ["one", "other"]),
        ("vma train --init omniglot-v", ["omniglot-vae"]),
        ("vma train --init ot", ["other"]),
        ("vma score --runs-dir elsewhere on", []),
    ],
)
def test_what_is_offered(runs: Path, words: str, offered: list[str]) -> None:
    result = CliRunner().invoke(app, [], prog_name="vma", env=_asked(runs, words))
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == offered


@pytest.mark.parametrize("words", ["vma score on", "vma train --recipe g"])
def test_completing_does_not_wait_for_torch(runs: Path, words: str) -> None:
    code = (
        "import sys\nfrom vmacli.main import run\nsys.argv = ['vma']\n"
        f"try:\n    run()\nfinally:\n    print('imported:', sorted({SLOW} & sys.modules.keys()), file=sys.stderr)\n"
    )
    environment = {**os.environ, **_asked(runs, words)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()
    assert "imported: []" in done.stderr
