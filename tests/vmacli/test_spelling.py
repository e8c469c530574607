"""A name that is nearly right: every command says which is meant."""

from __future__ import annotations

import pytest

from tests.data.pictures import save_classes
from tests.vmacli.conftest import Shell


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("score", "tniy"), "'tiny'"),
        (("score", "omniglot-bst"), "'omniglot-best'"),
        (("info", "runs/tniy"), "'tiny'"),
        (("export", "omniglot-45-6", "folder"), "'omniglot-45-5'"),
        (("train", "--resume", "tniy"), "'tiny'"),
        (("train", "--init", "tniy"), "'tiny'"),
        (("train", "--recipe", "omniglot-bst"), "'omniglot-best'"),
        (("train", "--dataset", "glyphs", "--protocol", "standrd"), "'standard'"),
        (("train", "--dataset", "glyphs", "--set", "training.step=3"), "'training.steps'"),
        (("train", "--dataset", "glyphs", "--set", "model.network=residul"), "'residual'"),
        (("reproduce", "tabel1"), "'table1'"),
    ],
)
def test_names_in_the_one_line_of_an_error(trained: Shell, arguments: tuple[str, ...], meant: str) -> None:
    assert f"did you mean {meant}? " in trained.refused(*arguments)


def test_a_protocol_that_looks_like_a_number(shell: Shell) -> None:
    assert "has no protocol '45_5'" in shell.refused("train", "--dataset", "glyphs", "--protocol", "45_5")


def test_a_run_to_resume_is_no_shipped_one(trained: Shell) -> None:
    line = trained.refused("train", "--resume", "omniglot-best")
    assert "there is no run 'omniglot-best'; known: tiny" in line


def test_classes_of_a_memory(shell: Shell) -> None:
    save_classes(shell.folder / "symbols", {"Alpha": 2, "beta": 2})
    memory = str(shell.folder / "symbols.mem")
    shell("memory", "build", memory, str(shell.folder / "symbols"), "--weights", "omniglot-45-5")
    assert "did you mean 'Alpha'? it holds Alpha, beta" in shell.refused(
        "sample", "--memory-from", memory, "--class", "Alpa"
    )
    assert "did you mean 'beta'? vma memory show" in shell.refused("memory", "remove", memory, "bta")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("clasify",), "No such command 'clasify'. Did you mean 'classify'?"),
        (("memory", "buld"), "Did you mean 'build'?"),
        (("bench", "oprations"), "Did you mean 'operations'?"),
        (("score", "--epsodes", "3"), "No such option: --epsodes (Possible options: --episodes, --shots)"),
        (("train", "--dataset", "glyfs"), "there is no data set 'glyfs'; did you mean 'glyphs'? choose one of all-"),
        (("train", "--estimator", "vimko"), "there is no 'vimko'; did you mean 'vimco'? choose one of enumeration, "),
        (("download", "omniglt"), "there is no 'omniglt'; did you mean 'omniglot'? choose one of "),
        (("classify", "--rule", "postrior"), "there is no 'postrior'; did you mean 'posterior'? choose one of "),
        (("score", "--split", "tset"), "there is no 'tset'; did you mean 'test'? choose one of train, validation, "),
        (("score", "--device", "abacus"), "there is no 'abacus'; choose one of auto, cpu, cuda, mps"),
        (("sample", "--memory-from", "tset"), "there is no 'tset'; did you mean 'test'? choose one of train, "),
    ],
)
def test_words_of_the_command_line(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    boxed = shell.misused(*arguments).replace("│", " ")
    assert said in " ".join(boxed.split())
