"""Table 1: hard addressing beside the generative matching network (GMN), on that network's own data.

Both systems are measured with drawings drawn with and without replacement and with the columns counted either way, as
`lab.table1_cells` says, and without replacement first.
"""

from __future__ import annotations

from collections.abc import Mapping

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab import table1_cells as cells
from vmacore.experiments.lab import table1_views as views
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.paired import differences, episode_se
from vmacore.experiments.lab.plans import comparable
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.experiments.lab.table1_cells import GMN, PAPER, VMA, Cell, Setting, classes_label, parts, settings

SAMPLES, EPISODES = (1000, 100), 400
ENOUGH = 200  # episodes; where there is no time for so many, fewer samples do
DIFFERENCES = (1, 5, 19)  # columns of which the table shows the paired difference


def run(lab: Lab) -> Result:
    """Train both to equal steps and score them, the paper's own cells first."""
    study = Study(lab, VMA, GMN)
    measured, samples = _measure(study)
    rows = [_row(study, measured.get(cell), cell, samples) for part in parts()[:2] for cell in part]
    rows += [_difference(study, measured, setting) for setting in _compared(measured)]
    views.write(lab.out / "tables.md", measured)
    targets = f"{max((score.targets for score in measured.values()), default=0)} targets, the same in all cells"
    about = ("test split", f"K = {samples}", targets, f"seed {SEED}", "averaged weights")
    notes = [
        systems.describe(study.dataset, *about),
        "VMA's columns count the items of each class, the GMN's those altogether, as the paper's seem to; tables.md "
        "has both counts for both, as far as there was time.",
        "With replacement, as the GMN's released code draws them at test time too, a target may already be in memory.",
        *systems.seeds_note(study.found),
    ]
    written = figures.save(views.figure(measured), lab.out / "table1") if measured else []
    return Result(rows, notes, written, views.kept(measured))


def _measure(study: Study) -> tuple[dict[Cell, Score], int]:
    """Scores of as many of the `parts` as there is time for, all of the same episodes, and their K."""
    lab, test, there = study.lab, study.characters(), systems.there(study.found)

    def score(cell: Cell, episodes: int, samples: int) -> Score:
        system, setting = cell
        one, sampler = {system.key: there[system.key]}, setting.sampler(test, lab.device)
        scored = systems.scores(lab, one, sampler, samples=samples, episodes=episodes, seed=SEED, fixed=True)
        return scored[system.key]

    wanted = [[cell for cell in part if cell[0].key in there] for part in parts()]
    # One cell in the middle of each table stands for the time of all.
    classes, items = cells.CLASSES[len(cells.CLASSES) // 2], cells.ITEMS[len(cells.ITEMS) // 2]
    middle = [cell for cell in wanted[0] if (cell[1].classes, cell[1].items) == (classes, items)]
    episodes, samples = 0, SAMPLES[-1]
    for samples in SAMPLES if middle else ():

        def probe(count: int, samples: int = samples) -> None:
            for cell in middle:
                score(cell, count, samples)

        share = 0.9 * len(middle) / (len(wanted[0]) + len(wanted[1]))
        episodes = lab.affordable(probe, EPISODES, share=share)
        if episodes >= min(ENOUGH, EPISODES):
            break
    measured: dict[Cell, Score] = {}
    for number, part in enumerate(wanted if episodes else []):
        before = lab.time_left()
        measured |= {cell: score(cell, episodes, samples) for cell in part}
        # The next part is no longer than this one. The first two go together.
        if number and lab.time_left() < 1.1 * (before - lab.time_left()):
            break
    return measured, samples


def _row(study: Study, score: Score | None, cell: Cell, samples: int) -> Row:
    system, setting = cell
    paper = PAPER.get((system, setting.classes))
    return study.row(
        system,
        f"{system.label}, {setting.column}",
        score,
        group=f"NLL {setting.protocol}, {classes_label(setting.classes)}, K = {samples}",
        paper=paper[setting.items] if paper else None,
    )


def _compared(measured: Mapping[Cell, Score]) -> list[Setting]:
    """Settings without replacement, of some columns, in which both systems saw the same episodes."""
    wanted = settings(False, False, cells.CLASSES) + settings(False, True, cells.CLASSES[1:])
    both = [one for one in wanted if (VMA, one) in measured and (GMN, one) in measured]
    return [one for one in both if one.items in DIFFERENCES]


def _difference(study: Study, measured: Mapping[Cell, Score], setting: Setting) -> Row:
    found = study.found
    both = [*found[VMA.key], *found[GMN.key]]
    label = f"{classes_label(setting.classes)}, {setting.column}"
    group = f"VMA less GMN, paired, {setting.protocol}"
    if not comparable(both):
        steps = f"{found[VMA.key][0].updates:,} and {found[GMN.key][0].updates:,}"
        return Row.of(both, label, group=group, note=f"not compared: trained for {steps} updates")
    one, other = measured[VMA, setting], measured[GMN, setting]
    return Row.of(both, label, float(differences(one, other).mean()), episode_se(one, other), group=group)
