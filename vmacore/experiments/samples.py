"""Samples that keep their class: recognised by a judge, and as diverse as real drawings (Boutin et al. 2022)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from vmacore.evaluation.recognition import EACH, REFERENCES, WAY, Recognition, recognise
from vmacore.experiments.lab import systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan, Trained
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import System
from vmacore.models.vma import VariationalMemoryAddressing

# h on pixels, from the 30 background alphabets alone: it saw no test class, and nothing was tuned to it. Its latents,
# which it does not train, are those of its recipe when it was settled: they decide which first weights a seed draws.
JUDGED_BY = (
    "data.protocol=30-20",
    "model.view=pixels",
    "model.normalised_embedding=true",
    "model.latent_maps=[4,4,8]",
    "model.latent_layers=[]",
)
JUDGE = Plan("omniglot-addresses", "omniglot-judge", JUDGED_BY, full=6000)
BEST = System("best", "omniglot-best", Plan("omniglot-best", full=20_000))
MEASURED = (BEST, systems.VMA, systems.VAE)
DRAWN = ((1.0, 1), (0.7, 1), (0.5, 1), (1.0, 4), (0.7, 4), (1.0, 16), (1.0, 64))  # temperature, candidates
EPISODES, SEED = 100, 0
SPLITS = ("test", "validation")


def run(lab: Lab) -> Result:
    """Every system at every temperature, of several candidates too, beside real drawings of the same classes."""
    found = {system.key: lab.trained(system.plan)[0] for system in MEASURED}
    judging = lab.trained(JUDGE)[0]
    judge = judging.model
    rows: list[Row] = []
    notes = [f"{judging.plan.run}, the judge: {judging.source}"]
    how: dict[str, Any] = {"episodes": EPISODES, "seed": SEED, "device": lab.device}
    for split in SPLITS:
        for system in MEASURED:
            trained, config = found[system.key], system.plan.config()
            dataset = lab.dataset(trained.config or config)
            characters = dataset.split(split).binarised(config.data.seed)
            there = isinstance(judge, VariationalMemoryAddressing) and trained.model is not None
            real = recognise(judge, characters, **how) if isinstance(judge, VariationalMemoryAddressing) else None
            if system is BEST:
                notes.insert(0, systems.describe(dataset, f"{split} split", "averaged weights", f"seed {SEED}"))
                rows += _rows(judging, "real drawings", split, real, real)
            # A model that draws no address has nothing to tell candidates apart by.
            for temperature, candidates in DRAWN[:1] if system is systems.VAE else DRAWN:
                samples = None
                if there and isinstance(judge, VariationalMemoryAddressing):
                    as_drawn: dict[str, Any] = {"temperature": temperature, "candidates": candidates}
                    samples = recognise(judge, characters, trained.model, **as_drawn, **how)
                    lab.check_stop()
                one_of = f", one of {candidates}" if candidates > 1 else ""
                rows += _rows(trained, f"{system.label}, temperature {temperature:g}{one_of}", split, samples, real)
    notes += [
        f"{EPISODES} episodes of {WAY} classes, a drawing of each in memory, {EACH} samples of each; a pixel is ink "
        "where its mean is above a half",
        f"recognised: nearest, among the {WAY} classes, to the mean of {REFERENCES} other drawings of the own class",
        "diversity: 1 − the mean cosine of two samples of a class, in per cent of that of two real drawings",
        "one of N: of so many samples that one is kept whose slot gets most of q(a|x, M)",
        "the defaults of vma sample were chosen on the validation classes, on some of which the judge was trained",
    ]
    ordered = sorted(rows, key=lambda row: (SPLITS.index(row.group.split()[-1]), not row.group.startswith("recog")))
    return Result(ordered, notes)


def _rows(trained: Trained, label: str, split: str, samples: Recognition | None, real: Recognition | None) -> list[Row]:
    recognised = _percent(samples.recognised) if samples else ()
    diversity = _percent(samples.spread / real.spread.mean()) if samples and real else ()
    return [
        Row.of(trained, label, *recognised, unit="%", group=f"recognised as their class, {split}"),
        Row.of(trained, label, *diversity, unit="%", group=f"diversity, real drawings 100 %, {split}"),
    ]


def _percent(values: Tensor) -> tuple[float, float]:
    """Mean over episodes [N] and its standard error, in per cent."""
    return 100 * float(values.mean()), 100 * float(values.std()) / math.sqrt(len(values))
