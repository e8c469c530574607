"""The paper's experiments, one a file. What stands here imports neither torch nor matplotlib: listing is quick."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmacore.errors import VmaError
from vmacore.spelling import choose_one_of

if TYPE_CHECKING:
    from vmacore.experiments.lab.lab import Lab
    from vmacore.experiments.lab.result import Result


@dataclass(frozen=True)
class About:
    """What is known of an experiment before it runs.

    title: one line. paper: the paper's result. data: the data sets needed. takes: about how long, on two cores and
    with trainings as the recipes have them. several_seeds: whether it has a use for more trainings of a kind than one.
    """

    id: str
    title: str
    paper: str
    data: tuple[str, ...]
    takes: str
    several_seeds: bool = True


EXPERIMENTS = (
    About(
        "fig2a",
        "MNIST, train to recall: targets are slots of a memory of 256",
        "NLL and KL_a approach log 256 = 5.55, KL_z goes to 0",
        ("mnist",),
        "hours",
    ),
    About(
        "mnist-learned",
        "MNIST with a learned memory of 64 to 1024 slots, beside a plain VAE",
        "KL_a = 2.5 ± 0.3 for all sizes; entropy of p(a) higher; NLL about the VAE's",
        ("mnist",),
        "hours",
    ),
    About(
        "fig2b",
        "MNIST samples from a learned memory; rows share a slot",
        "a picture",
        ("mnist",),
        "1 h",
        several_seeds=False,
    ),
    About(
        "burda",
        "Omniglot 28×28 with a learned memory, large and small",
        "large: KL_a near log |M|, overfitting; small: test NLL 103.6 at K = 5000",
        ("omniglot-burda", "or omniglot-gmn"),
        "hours",
    ),
    About(
        "fig3",
        "q(a|x) over 10 drawings of 8 unseen classes, and its top five slots",
        "a picture",
        ("omniglot",),
        "1 min",
        several_seeds=False,
    ),
    About(
        "fig4a",
        "One-shot samples with unseen test images in memory",
        "a picture",
        ("omniglot",),
        "1 min",
        several_seeds=False,
    ),
    About(
        "fig4b",
        "Where the nats go, with 1 to 16 drawings of 8 classes in memory",
        "KL_a 2.0 to 4.5, KL_z 28.2 to 21.8, NLL 75.1 to 69.1",
        ("omniglot",),
        "days",
    ),
    About(
        "baselines",
        "Plain VAE and soft attention beside hard addressing, on the same episodes",
        "VAE 90.8, soft attention 73.4 at best, VMA 69.1 to 75.1",
        ("omniglot",),
        "days",
    ),
    About(
        "fig5a",
        "1 to 144 classes in memory, beside the optimum NLL of one class + log C",
        "near the optimum up to 144 classes; soft attention degrades fast",
        ("omniglot",),
        "a day",
    ),
    About(
        "fig5b",
        "All 144 test classes in memory, 1 to 16 drawings of each",
        "curves that fall with more drawings; the VAE at none",
        ("omniglot",),
        "days",
    ),
    About(
        "table1",
        "VMA and the generative matching network on its own data, both protocols",
        "GMN ahead with one class and many drawings, VMA with four classes",
        ("omniglot-gmn",),
        "a day",
    ),
    About(
        "classification",
        "N-way K-shot by the address posterior, nothing retrained",
        "5-way 91 and 97 %, 20-way 77 and 90 % (1 and 5 shots)",
        ("omniglot",),
        "20 min",
        several_seeds=False,
    ),
    About(
        "samples",
        "Samples that keep their class: recognised by a judge, and diverse",
        "not in it",
        ("omniglot",),
        "2 h",
        several_seeds=False,
    ),
    About(
        "oneshot",
        "Omniglot's one-shot classification challenge, trained on the 30 background alphabets",
        "not in it; people err in 4.5 %, BPL in 3.3",
        ("omniglot", "omniglot-oneshot"),
        "1 h",
    ),
    About(
        "best",
        "A recipe of our own, omniglot-best, on everything the paper gives a number for",
        "NLL 75.1 to 68.8; 5-way 91 and 97 %, 20-way 77 and 90 %",
        ("omniglot",),
        "3 h",
    ),
    About(
        "table1-best",
        "A recipe of our own, omniglot-gmn-best, on the VMA rows of table 1",
        "NLL 86.5 to 73.9 with one class, 89.6 to 77.0 with sixteen",
        ("omniglot-gmn",),
        "4 h",
    ),
    About(
        "ablations",
        "Similarity, flat p(a), tied embeddings, 32 classes a minibatch; entropy of q(a|x)",
        "no better; very small loss; no difference; almost indistinguishable",
        ("omniglot",),
        "a day",
    ),
    About(
        "speed",
        "Time of an update against |M|, beside soft attention",
        "hard addressing is faster from |M| = 48 on, with 4 samples for 1",
        (),
        "3 min",
        several_seeds=False,
    ),
)


def about(experiment: str) -> About:
    """What is known of an experiment.

    Raises:
        VmaError: there is none of that name.
    """
    for one in EXPERIMENTS:
        if one.id == experiment:
            return one
    names = [one.id for one in EXPERIMENTS]
    raise VmaError(f"there is no experiment {experiment!r}; {choose_one_of(experiment, names)}")


def run(experiment: str, lab: Lab) -> Result:
    """Train what is missing and measure.

    Raises:
        VmaError: no such experiment, missing data, or a run that cannot be used.
    """
    module = importlib.import_module(f"vmacore.experiments.{about(experiment).id.replace('-', '_')}")
    result: Result = module.run(lab)
    return result
