"""`vma score`: the document, the table, and what cannot be scored."""

import re
import shutil

import pytest

from tests.vmacli.conftest import Shell
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.errors import target_classes
from vmacore.evaluation.likelihood import score
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model

QUICK = ("--samples", "5", "--episodes", "2", "--classes", "4", "--shots", "2", "--targets", "3")


def test_json_document(trained: Shell) -> None:
    document = trained.json("score", "tiny", *QUICK)
    assert document["memory"] == {"classes": 4, "shots": 2, "slots": 8}
    assert (document["dataset"], document["protocol"], document["split"]) == ("digits", "standard", "test")
    assert (document["weights"], document["seed"], document["samples"]) == ("averaged", 0, 5)
    assert (document["targets"], document["episodes"]) == (24, 2)
    assert document["checkpoint"].endswith("step-00000020")
    parts = document["reconstruction"] + document["kl_address"] + document["kl_latent"]
    assert parts == pytest.approx(-document["elbo"])
    assert 0 < document["nll"] < 64
    assert document["nll_se"] > 0
    assert 0 < document["posterior_entropy"] < document["prior_entropy"] + 1


def _characters(trained: Shell, split: str) -> Characters:
    """What the run scores, by the library."""
    data = find_run("tiny", runs_dir=trained.runs).config.data
    digits = load_dataset(
        "digits", protocol=data.protocol, data_dir=trained.folder / "data", seed=data.seed, offline=True
    )
    return digits.split(split).binarised(data.seed)


def _expected(trained: Shell, split: str, seed: int) -> float:
    """The NLL that QUICK should find, by the library."""
    model, sizes = load_model(find_run("tiny", runs_dir=trained.runs)), {"classes": 4, "shots": 2, "targets": 3}
    return score(model, _characters(trained, split), samples=5, episodes=2, seed=seed, **sizes).nll


def test_the_seed_chooses_the_episodes_and_the_noise(trained: Shell) -> None:
    found = [trained.json("score", "tiny", *QUICK, "--seed", str(seed))["nll"] for seed in (0, 3)]
    assert found == pytest.approx([_expected(trained, "test", seed) for seed in (0, 3)], rel=1e-6)
    assert found[0] != pytest.approx(found[1], rel=1e-4)


def test_the_split_chooses_the_classes(trained: Shell) -> None:
    splits = ("train", "validation", "test")
    found = [trained.json("score", "tiny", *QUICK, "--split", split)["nll"] for split in splits]
    assert found == pytest.approx([_expected(trained, split, 0) for split in splits], rel=1e-6)
    assert len({round(nll, 3) for nll in found}) == 3


def test_one_class_has_no_error_over_classes(trained: Shell) -> None:
    """Where both episodes draw the same class: null in the document, a dash in the table."""
    characters, quick = _characters(trained, "test"), ("--samples", "2", "--episodes", "2", "--classes", "1")

    def classes(seed: int) -> int:
        sampler = EpisodeSampler(characters, n_way=1, n_shot=4, n_target=4, seed=seed)
        return len(set(target_classes(sampler, characters, 2)))

    for wanted in (1, 2):
        seed = str(next(seed for seed in range(100) if classes(seed) == wanted))
        found = trained.json("score", "tiny", *quick, "--seed", seed)["nll_class_se"]
        table = trained("score", "tiny", *quick, "--seed", seed).stdout
        (row,) = (line.split() for line in table.splitlines() if "NLL, 2-sample bound" in line)
        assert (found is None) is (wanted == 1)
        assert row[-1] == "–" if found is None else float(row[-1]) == pytest.approx(found, rel=0.05)


def test_table_and_document_say_at_which_size_the_latents_carry(shell: Shell) -> None:
    networks = ("network=residual", "stages=[4,4]", "blocks=[1,1]", "latent_maps=[1,1]", "hidden=8")
    settings = [part for setting in networks for part in ("--set", f"model.{setting}")]
    told = shell("train", "--dataset", "digits", "--name", "levels", "--steps", "2", *settings).stderr
    assert re.search(r"step 2: validation NLL .*, KL_z \S+ \(none at 2×2, 4×4\)", told)
    levels = shell.json("score", "levels", *QUICK)["kl_levels"]
    assert len(levels) == 2
    table = shell("score", "levels", *QUICK).stdout
    for size, level in zip(("4×4", "2×2"), levels, strict=True):
        assert re.search(rf"of it at {size} +{level:.2f}", table)


def test_more_samples_tighten_the_bound(trained: Shell) -> None:
    one, many = (trained.json("score", *QUICK, "--samples", k)["nll"] for k in ("1", "200"))
    assert many < one


def test_first_line_says_which_run_and_weights(trained: Shell) -> None:
    for arguments, words in (
        ((), "run tiny, step 20, averaged weights, on cpu"),
        (("tiny", "--weights", "raw"), "run tiny, step 20, raw weights, on cpu"),
        (
            (str(trained.runs / "tiny" / "checkpoints" / "step-00000020"),),
            "checkpoint tiny/step-00000020, step 20",
        ),
    ):
        assert trained("score", *arguments, *QUICK).stderr.splitlines()[0].startswith(words)


def test_tables_fit_into_80_columns(trained: Shell) -> None:
    text = trained("score", *QUICK).stdout
    assert max(map(len, text.splitlines())) <= 80
    for word in (
        "NLL, 5-sample bound",
        "KL_a",
        "KL_z",
        "reconstruction",
        "q(a|x)",
        "█",
        "4 classes × 2 drawings",
        "K = 5",
        "Bernoulli",
    ):
        assert word in " ".join(text.split())
    assert "…" not in text


def test_quiet_prints_the_bound_alone(trained: Shell) -> None:
    result = trained("score", *QUICK, "--quiet")
    assert float(result.stdout) == pytest.approx(trained.json("score", *QUICK)["nll"], abs=1e-4)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent",), "known: tiny"),
        (("--dataset", "glyphs"), "vma train --dataset glyphs"),
        (("tiny", "--dataset", "glyphs"), "trained on images of 8×8, but glyphs here is 26×26"),
        (("--classes", "11"), "11 classes"),
        (("--shots", "1000"), "1000"),
    ],
)
def test_foreseen_failures(trained: Shell, arguments: tuple[str, ...], words: str) -> None:
    assert words in trained.refused("score", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--samples", "0"),
        ("--classes", "-1"),
        ("--episodes", "1"),
        ("--split", "dev"),
        ("--weights", "mean"),
        ("a", "b"),
    ],
)
def test_wrong_usage(trained: Shell, arguments: tuple[str, ...]) -> None:
    trained.misused("score", *arguments)


def test_without_any_run(shell: Shell) -> None:
    assert "vma train" in shell.refused("score", "--dataset", "digits")


def test_damaged_runs(trained: Shell, shell: Shell) -> None:
    shutil.copytree(trained.runs, shell.runs)
    run = shell.runs / "tiny"
    checkpoint = run / "checkpoints" / "step-00000020"

    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("latent = 4", "latent = 5"))
    line = shell.refused("score", "tiny", *QUICK)
    assert "shape" in line
    (run / "config.toml").write_text(config.replace("size = [", "size = [9, 9]\nsize_ = ["))
    shell.refused("score", "tiny", *QUICK)
    (run / "config.toml").write_text(config)

    weights = checkpoint / "averaged.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "damaged" in shell.refused("score", "tiny", *QUICK)
    shell("score", "tiny", "--weights", "raw", *QUICK)
    (checkpoint / "state.json").unlink()
    assert "step 10" in shell("score", "tiny", *QUICK).stderr  # the one before
    shutil.rmtree(checkpoint.parent)
    assert "tiny" in shell.refused("score", "tiny", *QUICK)
    (run / "config.toml").unlink()
    assert "not a run" in shell.refused("score", "tiny", *QUICK)


def test_a_training_that_diverged_is_said_in_one_line(shell: Shell) -> None:
    settings = ("--set", "optimiser.learning_rate=1e3", "--set", "training.checkpoint_every=1")
    small = ("--set", "model.channels=[4,4,4,4,4,4]", "--set", "model.hidden=8", "--set", "training.metrics_every=1000")
    shell("train", "--dataset", "digits", "--name", "wild", "--steps", "20", *settings, *small, code=1)
    for way in ((), ("--json",)):
        assert "the NLL of wild" in shell.refused("score", "wild", *QUICK, *way)


def test_more_samples_than_a_computer_counts(trained: Shell) -> None:
    assert "not enough memory" in trained.refused("score", "tiny", "--samples", "9" * 400, "--classes", "2")
