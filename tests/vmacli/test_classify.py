"""`vma classify`: cells, documents, and what cannot be classified."""

import pytest

from tests.vmacli.conftest import Shell

QUICK = ("--episodes", "3")


def test_json_document(trained: Shell) -> None:
    document = trained.json("classify", "tiny", "--way", "5", "--way", "10", "--shot", "1", "--shot", "5", *QUICK)
    assert [(cell["way"], cell["shot"]) for cell in document["results"]] == [(5, 1), (5, 5), (10, 1), (10, 5)]
    for cell in document["results"]:
        assert cell["rule"] == "posterior"
        assert cell["episodes"] == 3
        assert 0 <= cell["accuracy"] <= 1
        assert cell["ci95"] >= 0
        assert 1 / cell["way"] < cell["pixel_accuracy"] <= 1
        assert cell["chance"] == pytest.approx(1 / cell["way"])
        assert cell["queries"] > 3 * cell["way"] * 25
    assert (document["dataset"], document["protocol"], document["split"]) == ("digits", "standard", "test")
    assert (document["weights"], document["seed"]) == ("averaged", 0)
    assert {"samples", "checkpoint"} <= document.keys()


def test_seed_decides(trained: Shell) -> None:
    first, again, other = (
        trained.json("classify", *QUICK, "--seed", seed)["results"][0]["pixel_accuracy"] for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_table_fits_into_80_columns(trained: Shell) -> None:
    result = trained("classify", "--way", "10", "--shot", "1", "--shot", "5", *QUICK)
    assert result.stderr.startswith("run tiny, step 20, averaged weights")
    assert "10-way 5-shot" in result.stdout
    assert "±" in result.stdout
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_quiet_prints_accuracies_alone(trained: Shell) -> None:
    way, shot, accuracy = trained("classify", "--quiet", *QUICK).stdout.split()
    assert (way, shot) == ("5", "1")
    assert 0 <= float(accuracy) <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--way", "11"), "10 classes"),
        (("--shot", "1000"), "drawings"),
        (("tiny", "--dataset", "mnist"), "trained on digits"),
        (("--device", "cuda"), "--device auto"),
    ],
)
def test_foreseen_failures(
    trained: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert words in trained.refused("classify", *arguments, *QUICK)


@pytest.mark.parametrize("arguments", [("--way", "1"), ("--shot", "0"), ("--episodes", "1"), ("--rule", "guess")])
def test_wrong_usage(trained: Shell, arguments: tuple[str, ...]) -> None:
    trained.misused("classify", *arguments)


def test_every_cell_is_checked_before_any_is_measured(trained: Shell) -> None:
    result = trained("classify", "--way", "5", "--way", "11", "--episodes", "100000", code=1)
    assert "10 classes" in result.stderr
    assert "episodes/s" not in result.stderr
