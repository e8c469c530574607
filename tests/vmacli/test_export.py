"""`vma export`: weights to pass on, taken by path, and their card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import vmacore
from tests.small_runs import change_state
from tests.vmacli.conftest import ADDRESSES, TINY, Shell
from vmacore.runs import weights as ckpt
from vmacore.runs.directory import read_state
from vmacore.runs.finding import find_run

QUICK = ("--samples", "5", "--episodes", "2", "--classes", "4", "--shots", "2", "--targets", "3")


@pytest.fixture(scope="module")
def folder(trained: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tiny`, exported."""
    folder = tmp_path_factory.mktemp("exported") / "below" / "given"
    document = trained.json("export", "tiny", str(folder))
    assert (document["run"], document["step"], document["weights"]) == ("tiny", 20, "averaged")
    assert (document["dataset"], document["precision"], document["folder"]) == ("digits", "float16", str(folder))
    assert document["files"] == ["README.md", "averaged.safetensors", "config.toml", "state.json"]
    assert document["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    return folder


def test_exported_weights_score_as_the_run_does(trained: Shell, folder: Path) -> None:
    exported, run = (trained.json("score", name, *QUICK) for name in (str(folder), "tiny"))
    for name in ("nll", "elbo", "kl_address", "kl_latent", "posterior_entropy"):
        assert exported[name] == pytest.approx(run[name], rel=2e-3, abs=2e-3)
    assert exported["nll"] != run["nll"]  # float16, not the run itself
    assert exported["step"] == 20


def test_other_commands_take_the_folder(trained: Shell, folder: Path, tmp_path: Path) -> None:
    assert trained.json("classify", str(folder), "--episodes", "2")["run"] == "given"
    assert trained.json("sample", str(folder), "--out", str(tmp_path / "a.png"))["run"] == "given"
    assert trained.json("info", str(folder))["step"] == 20
    shell = Shell(tmp_path)
    shell("train", "--dataset", "digits", "--name", "next", "--init", str(folder), "--steps", "2", *TINY)
    assert shell.json("info", "next")["init"] == "given, step 20"


def test_the_library_loads_the_folder(trained: Shell, folder: Path) -> None:
    model, config = vmacore.load(folder)
    expected, _ = vmacore.load("tiny", runs_dir=trained.runs)
    assert config == find_run("tiny", runs_dir=trained.runs).config
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight.half().float())


def test_the_card(trained: Shell, folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    best = read_state(find_run("tiny", runs_dir=trained.runs).path)["best"]
    numbers = sum(tensor.numel() for tensor in ckpt.read_tensors(folder / "averaged.safetensors").values())
    for words in (
        "# given\n",
        f"`vma`, convolutional networks, {numbers:,} parameters, for binary images of 8×8",
        "digits, protocol standard |",
        "20 steps of 20; recipe `digits`; gradients by vimco; K = 4; seed 0",
        "on the validation split: step 20 has the lowest NLL",
        f"step 20: NLL at K = 4 {best['nll']:.2f} nats, on 2 episodes; 5-way 1-shot accuracy {best['accuracy']:.1%}",
        "    vma score ./given\n",
        'vmacore.load("./given")',
        "Licence | not stated",
    ):
        assert words in text


def test_the_card_of_a_step_that_validation_did_not_choose(trained: Shell, shell: Shell) -> None:
    shutil.copytree(trained.runs, shell.runs)
    checkpoint = shell.runs / "tiny" / "checkpoints" / "step-00000020"
    for best, words in (
        (
            {"step": 10, "nll": 1.5, "accuracy": None},
            "by hand: step 20; on the validation split step 10 has the lowest NLL",
        ),
        ({}, "on no split: step 20 is the last"),
    ):
        change_state(checkpoint, best=best)
        out = shell.folder / f"out{len(best)}"
        shell("export", str(checkpoint), str(out))
        text = (out / "README.md").read_text("utf-8")
        assert words in text
        assert "accuracy" not in text


def test_addresses_alone_are_measured_by_classifying(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "h", "--steps", "2", *TINY, *ADDRESSES)
    shown = shell("export", "h", str(shell.folder / "out")).stdout
    assert f"vma classify {shell.folder / 'out'}\n" in shown
    text = (shell.folder / "out" / "README.md").read_text("utf-8")
    assert "    vma classify ./out\n" in text
    assert "addresses alone" in text


def test_modes(trained: Shell, tmp_path: Path) -> None:
    result = trained("export", "tiny", str(tmp_path / "a"), "--quiet")
    assert (result.stdout, result.stderr) == (f"{tmp_path / 'a'}\n", "")
    shown = trained("export", "tiny", str(tmp_path / "b b")).stdout
    assert "run tiny, step 20, averaged weights in float16" in shown
    assert f"vma score '{tmp_path / 'b b'}'\n" in shown
    assert "    vma score './b b'\n" in (tmp_path / "b b" / "README.md").read_text("utf-8")


def test_shipped_weights_are_exported_too(shell: Shell) -> None:
    shell("export", "omniglot-vae", str(shell.folder / "out"))
    shipped = find_run("omniglot-vae", runs_dir=shell.runs).path / "averaged.safetensors"
    assert (shell.folder / "out" / "averaged.safetensors").read_bytes() == shipped.read_bytes()


def test_foreseen_failures(trained: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "empty").mkdir()
    for run, folder, words in (
        ("tiny", tmp_path / "file", "exists already: name a folder that is not there yet"),
        ("tiny", tmp_path / "empty", "exists already: name a folder that is not there yet"),
        ("tiny", tmp_path / "file" / "below", "cannot"),
        ("absent", tmp_path / "new", "known: tiny"),
    ):
        assert words in trained.refused("export", run, str(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("tiny",), ("tiny", "a", "b"), ("tiny", "a", "--device", "cpu")])
def test_wrong_usage(trained: Shell, arguments: tuple[str, ...]) -> None:
    trained.misused("export", *arguments)
