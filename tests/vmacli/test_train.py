"""`vma train`: new runs, resumed runs, what is refused, and interrupts."""

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from tests.vmacli.conftest import ADDRESSES, TINY, Shell
from vmacli import options
from vmacore.config import Config, DataConfig
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import export_weights
from vmacore.shelf import ESTIMATORS
from vmacore.training.graphs import bfloat16_units

Start = Callable[..., subprocess.Popen[str]]
PATIENCE = 300  # seconds; what it takes is five, but the machine may be busy


def test_first_line_says_what_is_trained_on(shell: Shell) -> None:
    result = shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    first = result.stderr.splitlines()[0]
    for word in ("digits", "standard", "8x8", "Bernoulli", str(shell.runs / "a")):
        assert word in first
    assert "step 10: validation NLL" in result.stderr
    assert "accuracy" in result.stderr
    assert RunDirectory.open(shell.runs / "a").pointed("latest") == 10


def test_json_document(shell: Shell) -> None:
    document = shell.json("train", "--recipe", "digits", "--steps", "10", "--seed", "3", *TINY)
    assert document["run"] == str(shell.runs / "digits-1")
    assert document["step"] == 10
    assert document["seed"] == 3
    assert document["samples"] == 4
    assert (document["protocol"], document["split"], document["weights"]) == ("standard", "train", "raw")
    assert all(document[key] > 0 for key in ("steps_per_second", "nll"))
    assert {"kl_address", "kl_latent"} <= document.keys()
    assert RunDirectory.open(shell.runs / "digits-1").config.training.seed == 3


def test_estimator(shell: Shell) -> None:
    assert get_args(options.EstimatorName) == ESTIMATORS.names()
    run = shell.json("train", "--dataset", "digits", "--estimator", "rloo", "--steps", "3", *TINY)["run"]
    assert RunDirectory.open(Path(run)).config.objective.estimator == "rloo"
    assert "--estimator" in shell.refused("train", "--resume", run, "--estimator", "vimco", "--steps", "5")
    assert shell.json("train", "--resume", run, "--estimator", "rloo", "--steps", "5")["step"] == 5


def test_says_where_bfloat16_is_faster(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*more: str) -> bool:
        result = shell("train", "--steps", "1", *more, *TINY)
        return "--set training.precision=bfloat16" in result.stderr

    for flags, faster in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags, raising=False)
        assert told("--dataset", "digits") == faster
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert not told("--dataset", "digits", "--set", "training.precision=bfloat16")
    assert not bfloat16_units(torch.device("cuda"))
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not bfloat16_units(torch.device("cpu"))


def test_quiet_prints_the_run_alone(shell: Shell) -> None:
    result = shell("train", "--dataset", "digits", "--steps", "10", "--quiet", *TINY)
    assert (result.stdout, result.stderr) == (f"{shell.runs / 'digits-1'}\n", "")


def test_recipe_on_another_data_set(shell: Shell) -> None:
    document = shell.json("train", "--recipe", "digits", "--dataset", "glyphs", "--steps", "5", *TINY)
    config = RunDirectory.open(Path(document["run"])).config
    assert (config.data.dataset, config.recipe, config.model.size) == ("glyphs", "digits", (26, 26))


def test_resume_extends(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    document = shell.json("train", "--resume", "a", "--steps", "20")
    assert document["step"] == 20
    again = shell.json("train", "--resume", str(shell.runs / "a"), "--dataset", "digits")
    assert again["step"] == 20


def test_resume_refuses_what_would_change_the_run(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    for option in (
        ("--dataset", "glyphs"),
        ("--recipe", "glyphs"),
        ("--name", "b"),
        ("--seed", "9"),
        ("--set", "model.latent=5"),
        ("--init", "a"),
    ):
        assert option[0] in shell.refused("train", "--resume", "a", *option)
    assert "--steps" in shell.refused("train", "--resume", "a", "--steps", "5")


def test_init_starts_from_weights(trained: Shell, shell: Shell) -> None:
    tiny = str(trained.runs / "tiny")
    fresh = (
        "train",
        "--dataset",
        "digits",
        "--seed",
        "5",
        "--steps",
        "1",
        "--set",
        "optimiser.learning_rate=1e-12",
        *TINY,
    )
    run = shell.json(*fresh, "--init", tiny)["run"]
    options = ("--samples", "2", "--weights", "averaged", "--json")
    assert shell.json("score", run, *options)["nll"] == pytest.approx(trained.json("score", *options)["nll"])
    assert "there is no run" in shell.refused("train", "--dataset", "digits", "--init", "absent", *TINY)


def test_addresses_alone(shell: Shell) -> None:
    options = ("--name", "h", "--steps", "2", *TINY, *ADDRESSES)
    told = shell("train", "--dataset", "digits", *options)
    assert "step 2: validation NLL of the class " in told.stderr
    assert "KL_z" not in told.stderr
    assert shell.json("classify", "h", "--way", "3", "--shot", "1", "--episodes", "5")["results"]
    assert "draws nothing: classify with it" in shell.refused("score", "h")


def test_a_run_is_never_overwritten(trained: Shell) -> None:
    line = trained.refused("train", "--dataset", "digits", "--name", "tiny", *TINY)
    assert "--resume tiny" in line
    assert "--name" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "glyphs", "--recipe", "absent"], "choose one of"),
        (["--dataset", "glyphs", "--protocol", "45-5"], "glyphs has no protocol '45-5'; choose one of standard"),
        (["--dataset", "glyphs", "--set", "model.absent=1"], "model.absent"),
        (["--dataset", "glyphs", "--set", "model.latent=many"], "model.latent"),
        (["--dataset", "glyphs", "--set", "objective.samples=1"], "VIMCO"),
        (["--dataset", "digits", "--set", "episode.classes=11"], "11 classes"),
        (["--dataset", "digits", "--set", "episode.shots=1000"], "1000"),
        (["--dataset", "omniglot"], "vma download omniglot"),
        (["--dataset", "mnist"], "vma download mnist"),
        (["--resume", "absent"], "absent"),
    ],
)
def test_foreseen_failures_leave_nothing_behind(shell: Shell, arguments: list[str], words: str) -> None:
    assert words in shell.refused("train", *arguments)
    assert not shell.runs.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dataset", "absent"],
        ["--dataset", "digits", "--steps", "0"],
        ["--dataset", "digits", "--steps", "many"],
        ["--dataset", "digits", "--seed", "-1"],
        ["--dataset", "digits", "--seed", str(2**32)],
        ["--dataset", "digits", "--device", "abacus"],
        ["--dataset", "digits", "--name", "../up"],
        ["--dataset", "digits", "--name", ".hidden"],
        ["--dataset", "digits", "--absent"],
        ["--dataset", "digits", "--estimator", "importance"],
    ],
)
def test_wrong_usage(shell: Shell, arguments: list[str]) -> None:
    shell.misused("train", *arguments)
    assert not shell.runs.exists()


def test_runs_folder_that_cannot_be_made(shell: Shell) -> None:
    shell.runs.write_text("a file")
    assert str(shell.runs) in shell.refused("train", "--dataset", "digits", "--name", "a", *TINY)


def test_debug_shows_the_traceback(shell: Shell) -> None:
    result = shell("train", "--resume", "absent", "--debug", code=1)
    assert type(result.exception).__name__ == "VmaError"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_saves_and_resumes(tmp_path: Path, start: Start, number: signal.Signals, code: int) -> None:
    process = start(tmp_path, "train", "--dataset", "digits", "--name", "a", "--steps", "1000000", "--json", *TINY)
    latest = tmp_path / "runs" / "a" / "latest"
    _wait_for(latest.exists, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, stderr
    document = json.loads(stdout)
    assert document["interrupted"] is True
    assert document["step"] == int(latest.read_text())
    assert "vma train --resume runs/a" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr

    resumed = Shell(tmp_path).json("train", "--resume", "a", "--steps", str(document["step"] + 1))
    assert (resumed["step"], resumed["interrupted"]) == (document["step"] + 1, False)


def _wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_tensorboard_events_on_request(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", "--tensorboard", *TINY)
    events = list((shell.runs / "a" / "tensorboard").glob("events.out.tfevents.*"))
    assert len(events) == 1
    content = events[0].read_bytes()
    assert b"train/kl_address" in content
    assert b"validation/accuracy" in content


def test_init_from_other_networks_leaves_no_run_behind(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    other = ("--init", "a", *TINY, "--set", "model.hidden=9")
    result = shell("train", "--dataset", "digits", "--name", "b", *other, code=1)
    assert "a has another model.hidden" in result.stderr
    assert not (shell.runs / "b").exists()


def test_a_run_that_never_started_leaves_its_name_free(shell: Shell) -> None:
    huge = ("--set", "model.hidden=100000000000")
    result = shell("train", "--dataset", "digits", "--name", "a", *TINY, *huge, code=1)
    assert "not enough memory" in result.stderr.splitlines()[-1]
    assert not (shell.runs / "a").exists()


def test_resume_finds_the_last_checkpoint_where_the_pointer_was_lost(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    (shell.runs / "a" / "latest").unlink()
    result = shell("train", "--resume", "a", "--steps", "20")
    assert "from step 0" not in result.stderr
    steps = [json.loads(line)["step"] for line in (shell.runs / "a" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert {5, 10, 15, 20} <= set(steps)


def test_weights_without_moments_are_not_resumed(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    location = find_run("a", runs_dir=shell.runs)
    export_weights(location, shell.runs / "exported")
    files = sorted(shell.runs.joinpath("exported").iterdir())
    result = shell("train", "--resume", "exported", code=1)
    assert "holds weights alone, of no training to go on with" in result.stderr
    assert sorted(shell.runs.joinpath("exported").iterdir()) == files
    assert find_run("exported", runs_dir=shell.runs).step == 10


def test_resuming_a_damaged_run_and_a_step_of_it(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "20", *TINY)
    latest = shell.runs / "a" / "checkpoints" / "step-00000020"
    (latest / "weights.safetensors").write_bytes(b"")
    told = shell("train", "--resume", "a").stderr
    assert "weights.safetensors is missing or damaged" in told
    assert "going on from step 10" in told
    assert "from step 10 to step 20" in shell("train", "--resume", str(latest.parent / "step-00000010")).stderr
    latest.rename(latest.parent / "mine")
    assert "--init" in shell.refused("train", "--resume", str(latest.parent / "mine"))


def test_a_training_that_diverged_says_how_to_go_on(shell: Shell) -> None:
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    wild = ("--set", "optimiser.learning_rate=1e30", "--steps", "30")
    line = shell.refused("train", "--init", "a", "--name", "b", *wild, "--set", "training.validate_every=1")
    assert "not finite" in line
    assert "Infinity" not in (shell.runs / "b" / "metrics.jsonl").read_text()
    (shell.runs / "b" / "best").write_text("0")  # where it started from
    config = RunDirectory.open(shell.runs / "b").config
    run = RunDirectory(shell.runs / "b", config)
    told = run.way_back()
    assert told.startswith("go on from step 0 at a lower rate: vma train --init ")
    command = shlex.split(told.partition(": vma ")[2])
    assert command[-1] == "optimiser.learning_rate=3.3e+29"
    command[-1] = "optimiser.learning_rate=1e-4"
    shell(*command, "--name", "c", "--steps", "12")
    settings = RunDirectory.open(shell.runs / "c").config
    assert (settings.model, settings.init) == (config.model, "b/step-00000000, step 0")


def test_a_name_that_another_process_takes_meanwhile(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    RunDirectory.create(shell.runs / "digits-1", Config(data=DataConfig(dataset="digits")))
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "digits-1" and exists(path))
    assert shell("train", "--dataset", "digits", "--steps", "1", *TINY, "--quiet").stdout.endswith("digits-2\n")


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "\u202edetcerid"])
def test_names_are_printable(shell: Shell, name: str) -> None:
    shell.misused("train", "--dataset", "digits", "--name", name)


@pytest.mark.parametrize("setting", ["init=a, step 1", "recipe=table1"])
def test_where_a_run_comes_from_is_not_set_by_hand(shell: Shell, setting: str) -> None:
    assert "where a run comes from" in shell.refused("train", "--dataset", "digits", "--set", setting)


@pytest.mark.parametrize(
    "setting",
    ["model.channels=[8]", "model.channels=[1,1,1,1,1,1]", "episode.memory=sequence", "episode.memories=2",
     "optimiser.beta2=0", "model.latent=" + "9" * 400, "model.latent=" + "9" * 4400, f"model.latent={2**62}",
     "model.channels=" + "{a=" * 2000, "model.slot_scale=" + "[" * 100_000, "x" * 100_000],
    ids=range(11),
)  # fmt: skip
def test_settings_that_no_model_can_do(shell: Shell, setting: str) -> None:
    line = shell.refused("train", "--dataset", "digits", "--set", setting)
    assert len(line) < 1000
    assert not shell.runs.exists()
