"""Few-shot classification by what the model knows already (section 4.2)."""

from __future__ import annotations

from matplotlib.figure import Figure

from vmacore.evaluation.classification import Z95, Classification, Classifier
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.models.vma import VariationalMemoryAddressing

PAPER = {(5, 1): 91.0, (5, 5): 97.0, (20, 1): 77.0, (20, 5): 90.0}
EPISODES, SEED = 1000, 0
DECODED_EPISODES, QUERIES = 20, 5  # for the rules that decode every slot for every query


def run(lab: Lab) -> Result:
    """The paper's rule on many episodes; then all rules on the same fewer ones."""
    found = systems.trained(lab, [systems.VMA])
    trained = found[systems.VMA.key][0]
    config = systems.VMA.plan.config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    rows: list[Row] = []
    paper_rule: dict[tuple[int, int], Classification] = {}
    decoded: dict[tuple[int, int], list[Classification]] = {}
    if isinstance(trained.model, VariationalMemoryAddressing):
        classifier = Classifier(trained.model, test, seed=SEED, device=lab.device)
        for position, (way, shot) in enumerate(PAPER):
            measured = measure(lab, classifier, way, shot, EPISODES, 0.3 / (len(PAPER) - position))
            if measured:
                paper_rule[way, shot] = measured[0]
        for position, (way, shot) in enumerate(PAPER):
            every = measure(
                lab, classifier, way, shot, DECODED_EPISODES, 1 / (len(PAPER) - position), ("posterior", "likelihood"),
                QUERIES,
            )  # fmt: skip
            if every:
                decoded[way, shot] = every
    for (way, shot), paper in PAPER.items():
        one = paper_rule.get((way, shot))
        values = (100 * one.accuracy, 100 * one.ci95 / Z95) if one else (None, None)
        label = f"{way}-way {shot}-shot"
        rows.append(Row.of(trained, label, *values, paper=paper, unit="%", group="by Σ q(a|x), all queries"))
    for (way, shot), several in decoded.items():
        for each in several:
            values = (100 * each.accuracy, 100 * each.ci95 / Z95)
            rows.append(Row.of(
                trained, f"{way}-way {shot}-shot, {each.rule}", *values, unit="%",
                group=f"both rules on the same episodes, {QUERIES} queries a class",
            ))  # fmt: skip
    rows += [
        Row(
            f"{way}-way {shot}-shot", 100 * one.pixel_accuracy, 100 * one.pixel_ci95 / Z95, unit="%",
            group="nearest neighbour on pixels",
        )
        for (way, shot), one in paper_rule.items()
    ]  # fmt: skip
    notes = [
        systems.describe(dataset, "test split, classes of all its alphabets", "averaged weights", f"seed {SEED}"),
        *(f"{way}-way {shot}-shot: {one.episodes} episodes, {one.queries:,} queries"
          for (way, shot), one in paper_rule.items()),
        *(f"both rules, {way}-way {shot}-shot: {several[0].episodes} episodes; likelihood: every slot decoded with "
          f"{several[-1].samples} samples of z" for (way, shot), several in decoded.items()),
    ]  # fmt: skip
    if paper_rule:
        over_classes = {task: 100 * one.ci95_classes / Z95 for task, one in paper_rule.items()}
        errors = ", ".join(f"{way}-way {shot}-shot {error:.1f}" for (way, shot), error in over_classes.items())
        notes.append(f"by Σ q(a|x), standard errors over classes, in %: {errors}")
    written = figures.save(_figure(paper_rule), lab.out / "classification") if paper_rule else []
    return Result(rows, notes, written)


def measure(
    lab: Lab,
    classifier: Classifier,
    way: int,
    shot: int,
    episodes: int,
    share: float,
    rules: tuple[str, ...] = ("posterior",),
    queries: int | None = None,
) -> list[Classification] | None:
    """Accuracies by each rule over as many episodes as fit into a share of the time left; None where none do."""

    def measured(count: int) -> list[Classification]:
        with lab.reporter.progress("episodes", count) as counter:

            def progress(done: int, total: int) -> None:
                counter.update(done, detail=f"{way}-way {shot}-shot, {' and '.join(rules)}")
                lab.check_stop()

            return classifier.measure(
                way=way, shot=shot, episodes=count, rules=rules, queries=queries, progress=progress
            )

    return lab.within_budget(measured, episodes, share=share)


def _figure(measured: dict[tuple[int, int], Classification]) -> Figure:
    figure, axes = figures.new(height=3.4)
    tasks = list(measured)
    series = (
        ("paper, q(a|x)", [PAPER[task] for task in tasks], "0.75", ""),
        ("ours, q(a|x)", [100 * measured[task].accuracy for task in tasks], figures.COLOURS[0], ""),
        ("pixels", [100 * measured[task].pixel_accuracy for task in tasks], "white", "//"),
    )
    for position, (label, values, colour, hatch) in enumerate(series):
        places = [place + 0.27 * (position - 1) for place in range(len(tasks))]
        axes.bar(places, values, 0.25, label=label, color=colour, hatch=hatch, edgecolor="0.25", linewidth=0.6)
        for place, value in zip(places, values, strict=True):
            axes.text(place, value + 1, f"{value:.0f}", ha="center", fontsize=8)
    for place, (way, _) in enumerate(tasks):
        chance = {"label": "chance"} if place == 0 else {}
        axes.plot([place - 0.42, place + 0.42], [100 / way] * 2, **figures.OPTIMUM, **chance)
    axes.set_xticks(range(len(tasks)), [f"{way}-way {shot}-shot" for way, shot in tasks])
    axes.set(ylabel="accuracy in %", ylim=(0, 108))
    axes.grid(False, axis="x")
    figures.legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=4)
    return figure
