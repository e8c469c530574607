"""Few-shot classification by what the model knows already (section 4.2)."""

from __future__ import annotations

from matplotlib.figure import Figure

from vmacore.evaluation.accuracy import Z95, Classification
from vmacore.evaluation.classification import Classifier
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.accuracy import Asked, measure, name, percentages
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.models.vma import VariationalMemoryAddressing

PAPER = {(5, 1): 91.0, (5, 5): 97.0, (20, 1): 77.0, (20, 5): 90.0}
EPISODES = 1000
BY_ADDRESS, BY_PIXELS = "by Σ q(a|x), all queries", "nearest neighbour on pixels"
DECODED_EPISODES, QUERIES = 20, 5  # for the rules that decode every slot for every query


def run(lab: Lab) -> Result:
    """The paper's rule on many episodes; then all rules on the same fewer ones."""
    study = Study(lab, systems.VMA)
    trained = study.first(systems.VMA)
    paper_rule: dict[tuple[int, int], Classification] = {}
    decoded: dict[tuple[int, int], list[Classification]] = {}
    if isinstance(trained.model, VariationalMemoryAddressing):
        classifier = Classifier(trained.model, study.characters(), seed=SEED, device=lab.device)
        for position, task in enumerate(PAPER):
            measured = measure(lab, classifier, task, Asked(EPISODES), 0.3 / (len(PAPER) - position))
            if measured:
                paper_rule[task] = measured[0]
        for position, task in enumerate(PAPER):
            asked = Asked(DECODED_EPISODES, ("posterior", "likelihood"), QUERIES)
            every = measure(lab, classifier, task, asked, 1 / (len(PAPER) - position))
            if every:
                decoded[task] = every
    both = f"both rules on the same episodes, {QUERIES} queries a class"
    rows = [
        Row.of(trained, name(task), *percentages(paper_rule.get(task)), paper=paper, unit="%", group=BY_ADDRESS)
        for task, paper in PAPER.items()
    ]
    rows += [
        Row.of(trained, f"{name(task)}, {each.rule}", *percentages(each), unit="%", group=both)
        for task, several in decoded.items()
        for each in several
    ]
    rows += [
        Row(name(task), 100 * one.pixel_accuracy, 100 * one.pixel_ci95 / Z95, unit="%", group=BY_PIXELS)
        for task, one in paper_rule.items()
    ]
    notes = [
        systems.describe(study.dataset, "test split, classes of all its alphabets", "averaged weights", f"seed {SEED}"),
        *(f"{name(task)}: {one.episodes} episodes, {one.queries:,} queries" for task, one in paper_rule.items()),
        *(
            f"both rules, {name(task)}: {several[0].episodes} episodes; likelihood: every slot decoded with "
            f"{several[-1].samples} samples of z"
            for task, several in decoded.items()
        ),
    ]
    if paper_rule:
        errors = (f"{name(task)} {100 * one.ci95_classes / Z95:.1f}" for task, one in paper_rule.items())
        notes.append(f"by Σ q(a|x), standard errors over classes, in %: {', '.join(errors)}")
    return Result(rows, notes, figures.save(_figure(paper_rule), lab.out / "classification") if paper_rule else [])


def _figure(measured: dict[tuple[int, int], Classification]) -> Figure:
    figure, axes = figures.new(height=3.4)
    series = (
        figures.Bars("paper, q(a|x)", [PAPER[task] for task in measured], "0.75"),
        figures.Bars("ours, q(a|x)", [100 * one.accuracy for one in measured.values()], figures.COLOURS[0]),
        figures.Bars("pixels", [100 * one.pixel_accuracy for one in measured.values()], "white", "//"),
    )
    figures.grouped(axes, series, list(map(name, measured)), step=0.27, decimals=0)
    for place, (way, _) in enumerate(measured):
        chance = {"label": "chance"} if place == 0 else {}
        axes.plot([place - 0.42, place + 0.42], [100 / way] * 2, **figures.OPTIMUM, **chance)
    axes.set(ylabel="accuracy in %", ylim=(0, 108))
    figures.legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=4)
    return figure
