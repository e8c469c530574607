"""`vma classify`: cells, rules, documents, and what cannot be classified."""

from pathlib import Path

import pytest

from tests.vmacli.conftest import Shell
from vmacli.classify_options import Rule
from vmacli.tables.classify import BASELINES
from vmacore.evaluation import tasks

QUICK = ("--episodes", "3")


def test_json_document(trained: Shell) -> None:
    document = trained.json("classify", "tiny", "--way", "5", "--way", "10", "--shot", "1", "--shot", "5", *QUICK)
    assert [(cell["way"], cell["shot"]) for cell in document["results"]] == [(5, 1), (5, 5), (10, 1), (10, 5)]
    for cell in document["results"]:
        assert cell["rule"] == "posterior"
        assert cell["episodes"] == 3
        assert 0 <= cell["accuracy"] <= 1
        assert cell["ci95"] >= 0
        assert cell["ci95_classes"] > 0
        assert cell["pixel_ci95_classes"] > 0
        assert 1 / cell["way"] < cell["pixel_accuracy"] <= 1
        assert cell["chance"] == pytest.approx(1 / cell["way"])
        assert cell["queries"] > 3 * cell["way"] * 25
    assert (document["dataset"], document["protocol"], document["split"]) == ("digits", "standard", "test")
    assert (document["weights"], document["seed"]) == ("averaged", 0)
    assert document["samples"] is None
    assert document["queries_per_class"] is None
    assert document["baselines"] == []
    assert "checkpoint" in document


EVERY_RULE = ("--rule", "posterior", "--rule", "likelihood", "--rule", "mixture", "--samples", "2")


def test_rules_share_episodes_and_queries(trained: Shell) -> None:
    document = trained.json("classify", "--way", "5", "--way", "10", *EVERY_RULE, "--mixture-weight", "0.5", *QUICK)
    assert (document["samples"], document["queries_per_class"]) == (2, 2)
    cells = document["results"]
    assert [(cell["way"], cell["rule"]) for cell in cells] == [
        (way, rule) for way in (5, 10) for rule in ("posterior", "likelihood", "mixture")
    ]
    assert [cell["samples"] for cell in cells] == [None, 2, 2] * 2
    assert [cell["weight"] for cell in cells] == [None, None, 0.5] * 2
    assert [cell["queries"] for cell in cells] == [3 * 5 * 2] * 3 + [3 * 10 * 2] * 3
    assert len({cell["pixel_accuracy"] for cell in cells[:3]}) == 1
    alone = trained.json("classify", "--way", "5", "--queries", "2", *QUICK)["results"]
    assert alone == cells[:1]


def test_tasks_within_an_alphabet(trained: Shell) -> None:
    """Digits are one alphabet, so that nothing else changes."""
    plain = trained.json("classify", "--way", "5", "--shot", "1", "--shot", "2", *QUICK)["results"]
    within = trained.json("classify", "--way", "5", "--shot", "1", "--shot", "2", "--within-alphabet", *QUICK)[
        "results"
    ]
    assert [cell.pop("alphabets") for cell in within] == [{"digits": cell["accuracy"]} for cell in plain]
    assert within == plain
    shown = trained("classify", "--within-alphabet", *QUICK)
    assert "alphabet" in shown.stdout
    assert "no alphabet of this split has 11 classes" in trained.refused("classify", "--way", "11", "--within-alphabet")
    assert "--within-alphabet" in trained.misused("classify", "--within-alphabet", "--baselines")


def test_what_is_refused(trained: Shell) -> None:
    tasks = ("--way", "4", "--shot", "3", "--shot", "1", "--queries", "5", *QUICK)
    assert trained.json("classify", *tasks)["unknown"] == []
    document = trained.json("classify", *tasks, "--unknown", "--reject", "0.3")
    three, one = document["unknown"]
    assert [(cell["way"], cell["shot"], cell["reject"], cell["episodes"]) for cell in (three, one)] == [
        (4, 3, 0.3, 3),
        (4, 1, 0.3, 3),
    ]
    for name in ("known", "unknown"):
        assert three[name]["queries"] == 3 * 4 * 5
        assert 0 < three[name]["part"] < 1
        assert one[name]["part"] == 0
    assert 0.5 < three["auroc"] <= 1
    assert three["known"]["part"] < three["unknown"]["part"]
    shown = trained("classify", *tasks, "--unknown").stdout
    assert "none of these" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "--way below 10" in trained.refused("classify", "--way", "10", "--unknown", *QUICK)
    assert "--unknown" in trained.misused("classify", "--within-alphabet", "--unknown", *QUICK)


def test_a_table_that_cannot_be_written_is_told_before_the_work(trained: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = trained("classify", "--episodes", "100000", "--csv", str(tmp_path / "file" / "a.csv"), code=1)
    assert "choose another --csv" in result.stderr
    assert "episodes/s" not in result.stderr


def test_a_rule_asked_twice_is_measured_once(trained: Shell) -> None:
    assert len(trained.json("classify", "--rule", "posterior", "--rule", "posterior", *QUICK)["results"]) == 1


def test_baselines_say_how_many_episodes(trained: Shell) -> None:
    document = trained.json("classify", "--shot", "1", "--shot", "2", "--baselines", "--baseline-episodes", "2", *QUICK)
    found = [(item["shot"], item["name"]) for item in document["baselines"]]
    assert found == [
        *((1, name) for name in ("pixels-logistic", "embeddings-nearest", "queries-nearest")),
        *((2, name) for name in BASELINES),
    ]
    for item in document["baselines"]:
        assert (item["way"], item["episodes"]) == (5, 2)
        assert 0 <= item["accuracy"] <= 1
        assert item["ci95_classes"] > 0
        assert item["queries"] > 2 * 5 * 25
    assert {cell["episodes"] for cell in document["results"]} == {3}


def test_fewer_episodes_where_a_rule_decodes(monkeypatch: pytest.MonkeyPatch, trained: Shell) -> None:
    monkeypatch.setattr(tasks, "EPISODES", 4)
    monkeypatch.setattr(tasks, "EPISODES_DECODING", 2)
    assert trained.json("classify")["results"][0]["episodes"] == 4
    assert trained.json("classify", "--rule", "likelihood", "--samples", "1")["results"][0]["episodes"] == 2


def test_rules_are_those_of_the_library() -> None:
    assert tuple(Rule) == tasks.RULES


def test_seed_decides(trained: Shell) -> None:
    first, again, other = (
        trained.json("classify", *QUICK, "--seed", seed)["results"][0]["pixel_accuracy"] for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_table_fits_into_80_columns(trained: Shell) -> None:
    result = trained("classify", "--way", "10", "--shot", "1", "--shot", "15", *EVERY_RULE, "--baselines", *QUICK)
    assert result.stderr.startswith("run tiny, step 20, averaged weights")
    words_of_it = ("10-way 15-shot", "3 episodes", "half a 95 % interval", "q(a|x)", "p(x, a), K = 2")
    for words in (*words_of_it, "mixture 0.3, K = 2", "queries of each class: 2"):
        assert words in result.stdout
    for words in ("nearest, pixels", *BASELINES.values(), "chance", "queries by h_q"):
        assert words in result.stdout
    lines = result.stdout.splitlines()
    named = next(number for number, line in enumerate(lines) if line.startswith(" task "))
    assert lines[named - 1].split() == ["%", "±", "over", "±", "over"]
    assert lines[named].split() == ["task", "by", "right", "episodes", "classes", "queries"]
    first = next(line for line in result.stdout.splitlines() if "10-way 1-shot" in line)
    cell = trained.json("classify", "--way", "10", "--queries", "2", *QUICK)["results"][0]
    percent = [f"{100 * cell[name]:.1f}" for name in ("accuracy", "ci95", "ci95_classes")]
    assert first.split()[2:] == ["q(a|x)", *percent, str(cell["queries"])]
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_quiet_prints_accuracies_alone(trained: Shell) -> None:
    way, shot, accuracy, rule = trained("classify", "--quiet", *QUICK).stdout.split()
    assert (way, shot, rule) == ("5", "1", "posterior")
    assert 0 <= float(accuracy) <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--way", "11"), "10 classes"),
        (("--shot", "1000"), "drawings"),
        (("tiny", "--dataset", "mnist"), "vma download mnist"),
        (("--device", "cuda"), "--device auto"),
    ],
)
def test_foreseen_failures(
    trained: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert words in trained.refused("classify", *arguments, *QUICK)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--way", "1"),
        ("--shot", "0"),
        ("--episodes", "1"),
        ("--rule", "guess"),
        ("--samples", "0"),
        ("--queries", "0"),
        ("--mixture-weight", "1.1"),
        ("--baseline-episodes", "1"),
        ("--baseline-episodes", "5"),  # these change nothing without another
        ("--reject", "0.1"),
        ("--mixture-weight", "0.5", "--rule", "likelihood"),
        ("--samples", "2", "--rule", "prototype"),
        ("--shifts", "1", "--rule", "likelihood"),
    ],
)
def test_wrong_usage(trained: Shell, arguments: tuple[str, ...]) -> None:
    trained.misused("classify", *arguments)


def test_every_cell_is_checked_before_any_is_measured(trained: Shell) -> None:
    result = trained("classify", "--way", "5", "--way", "11", "--episodes", "100000", code=1)
    assert "10 classes" in result.stderr
    assert "episodes/s" not in result.stderr
