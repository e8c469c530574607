"""`vma info RUN`: what a run was made of."""

from tests.vmacli.conftest import TINY, Shell


def test_a_run(trained: Shell) -> None:
    document = trained.json("info", "tiny")
    assert (document["run"], document["kind"], document["init"]) == ("tiny", "run", None)
    assert document["config"]["model"]["latent"] == 4
    text = trained("info", "tiny").stdout
    assert "started from its own initial weights" in text
    assert "latent = 4" in text
    assert trained("info", "tiny", "--quiet").stdout.strip() == document["checkpoint"]
    assert "there is no run" in trained.refused("info", "other")


def test_what_a_run_started_from(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "first", "--steps", "3", *TINY)
    shell("train", "--dataset", "digits", "--name", "second", "--init", "first", "--steps", "2", *TINY)
    assert shell.json("info", "second")["init"] == "first, step 3"
    assert "started from first, step 3" in shell("info", "second").stdout
