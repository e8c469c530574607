"""MNIST with a learned memory of several sizes, beside a plain VAE (section 4.1).

The paper finds KL_a = 2.5 ± 0.3 whatever the size, so some 9 to 16 clusters, an entropy of p(a) well above that, so
several slots for a cluster, and a likelihood about that of a VAE of the same architecture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vmacore.episodes.none import MinibatchSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, learned_slots
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.experiments.lab.systems import System
from vmacore.models.vma import VariationalMemoryAddressing

RECIPE, VAE_RECIPE, DEFAULT = "mnist-learned", "mnist-vae", 256
SIZES = (64, 128, 256, 512, 1024)
# Slots at first where the recipe's make q(a|x) settle too soon on two of few slots, or keep it flat over many.
SCALES = {64: 0.1, 1024: 0.6}
FULL = 50_000  # updates asked for at least; the paper does not print its own
SAMPLES, TARGETS, BATCHES = 4, 250, 40
PAPER_KL = 2.5


def plan(slots: int, seed: int = 0) -> Plan:
    """The recipe with that many slots."""
    if slots == DEFAULT:
        return Plan(RECIPE, seed=seed, full=FULL)
    scale = (f"model.slot_scale={SCALES[slots]}",) if slots in SCALES else ()
    return Plan(RECIPE, f"{RECIPE}-{slots}", (f"model.learned_slots={slots}", *scale), seed=seed, full=FULL)


VAE = System("vae", "plain VAE", Plan(VAE_RECIPE, full=FULL), 4)
SYSTEMS = (*(System(str(slots), f"|M| = {slots}", plan(slots), 0) for slots in SIZES), VAE)

Measured = dict[str, Mapping[str, Score]]  # by split


def run(lab: Lab) -> Result:
    """Train all to equal steps, then score them on training and test images."""
    study = Study(lab, *SYSTEMS)
    splits = {"training": study.dataset.train, "test": study.characters()}
    measured: Measured = {}
    for split, share in (("training", 0.4), ("test", 0.8)):
        sampler = MinibatchSampler(splits[split], n_target=TARGETS, seed=SEED, device=lab.device)
        measured[split] = study.scores(sampler, samples=SAMPLES, episodes=BATCHES, share=share)
    models = {slots: model for slots in SIZES if (model := _model(study, slots)) is not None}
    used = {slots: learned_slots.usage(model, splits["test"]) for slots, model in models.items()}
    rows = [row for slots in SIZES for row in _address_rows(study, measured, used, slots)]
    rows += [row for system in SYSTEMS for row in _likelihood_rows(study, measured, system)]
    written = (
        figures.save(learned_slots.sizes(measured, SIZES, SAMPLES, PAPER_KL), lab.out / "mnist-learned")
        if measured["test"]
        else []
    )
    shown = _model(study, DEFAULT)
    if shown is not None:
        histograms = learned_slots.histograms(shown, splits["test"])
        written += figures.save(histograms, lab.out / "mnist-learned-posteriors")
    counts = {split: next(iter(scores.values())).targets for split, scores in measured.items() if scores}
    notes = study.notes(
        ("averaged weights", f"K = {SAMPLES}"),
        "targets, drawn with replacement, the same for all: "
        + ", ".join(f"{split} {count:,}" for split, count in counts.items()),
        "slots are vectors in R^256; encoder and decoder of 256 and 128 units, minibatches of 32",
        f"steps/full: of the {FULL:,} updates that this experiment asks for",
        of_the_first="the slots in use",
    )
    data = {split: {key: _parts(score) for key, score in scores.items()} for split, scores in measured.items()} | {
        "slots_used": used
    }
    return Result(rows, notes, written, data)


def _model(study: Study, slots: int) -> VariationalMemoryAddressing | None:
    model = study.found[str(slots)][0].model
    assert model is None or isinstance(model, VariationalMemoryAddressing)
    return model


def _address_rows(study: Study, measured: Measured, used: Mapping[int, int], slots: int) -> list[Row]:
    """What the address carries with that many slots."""
    trained, group = study.found[str(slots)], f"|M| = {slots}: address"
    seen, unseen = (measured[split].get(str(slots)) for split in ("training", "test"))
    entropy = None if unseen is None else unseen.prior_entropy
    note = (
        "" if entropy is None else f"of log |M| = {math.log(slots):.2f}; {used[slots]} slots are the first of a q(a|x)"
    )
    return [
        Row.of(trained, "KL_a, training", seen.kl_address if seen else None, paper=PAPER_KL, group=group),
        Row.of(trained, "KL_a, test", unseen.kl_address if unseen else None, paper=PAPER_KL, group=group),
        Row.of(trained, "entropy of p(a)", entropy, paper="well above KL_a", group=group, note=note),
        Row.of(trained, "entropy of q(a|x), test", unseen.posterior_entropy if unseen else None, group=group),
    ]


def _likelihood_rows(study: Study, measured: Measured, system: System) -> list[Row]:
    """NLL on training and test images, and the gap."""
    group = f"NLL, K = {SAMPLES}"
    seen, unseen = (measured[split].get(system.key) for split in ("training", "test"))
    gap = unseen.nll - seen.nll if seen and unseen else None
    gap_se = math.hypot(unseen.nll_se, seen.nll_se) if seen and unseen else None
    words = "" if system is VAE else "about the VAE's"
    note = f"KL_z {unseen.kl_latent:.2f}, reconstruction {unseen.reconstruction:.2f} on test" if unseen else ""
    more = "slightly larger than the VAE's" if words else None
    label = f"{system.label}, test"
    return [
        study.row(system, label, unseen, paper=words or None, group=group, note=note),
        Row.of(study.found[system.key], f"{label} less training", gap, gap_se, paper=more, group=group),
    ]


def _parts(score: Score) -> dict[str, float]:
    names = ("nll", "nll_se", "reconstruction", "kl_address", "kl_latent", "prior_entropy", "posterior_entropy")
    return {name: getattr(score, name) for name in (*names, "targets")}
