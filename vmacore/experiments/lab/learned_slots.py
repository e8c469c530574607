"""Which slots of a learned memory q(a|x) looks at, in numbers and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures
from vmacore.models.vma import VariationalMemoryAddressing

SHOWN = 6  # images whose q(a|x) is drawn
MARGIN = 0.3  # of the paper's KL_a


@torch.no_grad()
def posterior(model: VariationalMemoryAddressing, images: Tensor) -> Tensor:
    """q(a|x) [N, S] of images uint8 [N, H, W]."""
    assert model.learned_memory is not None
    slots = model.learned_memory()
    memory = model.read(slots)
    return model.address(images[:, None].to(slots), memory).log_q.exp()


def usage(model: VariationalMemoryAddressing, characters: Characters, count: int = 2000) -> int:
    """How many slots have the largest share of q(a|x) for some image."""
    every = max(1, len(characters.images) // count)
    return len(posterior(model, characters.images[::every]).argmax(1).unique())


def histograms(model: VariationalMemoryAddressing, characters: Characters) -> Figure:
    """q(a|x) of a test image each of some classes, and its mean over the images of every class."""
    shown = [int(characters.offsets[c]) for c in range(min(SHOWN, characters.n_classes))]
    each = posterior(model, characters.images[shown])
    means = torch.stack(
        [posterior(model, characters.images[characters.labels == c][:200]).mean(0) for c in range(characters.n_classes)]
    )
    # Slots in the order of the class that uses them most: those of one cluster stand together.
    order = (means.argmax(0) * 10 - means.max(0).values).argsort()
    used = order[means[:, order].max(0).values > 0.5 / len(order)]
    figure, axes = figures.new(len(shown) + 1, 2, width=7.2, height=7.2, width_ratios=(1, 8))
    for row, (index, q) in enumerate(zip(shown, each, strict=True)):
        figures.picture(axes[row, 0], characters.images[index].float())
        axes[row, 1].bar(range(len(used)), q[used].tolist(), color=figures.STYLES[0].colour)
        axes[row, 1].set(ylim=(0, 1), xticks=[], xlim=(-1, len(used)))
    axes[0, 1].set(title=f"q(a|x) over the {len(used)} slots in use, of {each.shape[1]}")
    axes[-1, 0].axis("off")
    axes[-1, 1].imshow((1 - means[:, used] / means.max()).numpy(), cmap="gray", aspect="auto", interpolation="nearest")
    axes[-1, 1].set(xlabel="slot, by the class that uses it most", ylabel="class", xlim=(-1, len(used)))
    axes[-1, 1].grid(False)
    return figure


def sizes(measured: Mapping[str, Mapping[str, Score]], wanted: Sequence[int], samples: int, paper: float) -> Figure:
    """What the address carries and how wide p(a) is, by |M|, beside the paper's KL_a; and the likelihoods.

    measured: by split, then by |M|, and the VAE's as `vae`.
    """
    figure, (left, right) = figures.new(1, 2, width=9.6)
    there = [slots for slots in wanted if str(slots) in measured["test"]]
    for style, split in zip(figures.STYLES, ("training", "test"), strict=False):
        scores = measured[split]
        values = [scores[str(slots)].kl_address for slots in there]
        left.plot(there, values, **style.line(), label=f"KL_a, {split}")
        nll = [scores[str(slots)].nll for slots in there]
        right.plot(there, nll, **style.line(), label=f"learned memory, {split}")
        if "vae" in scores:
            line = {**style.line(), "marker": "", "linestyle": ":"}
            right.axhline(scores["vae"].nll, **{k: line[k] for k in ("color", "linestyle")}, label=f"VAE, {split}")
    entropies = [measured["test"][str(slots)].prior_entropy for slots in there]
    left.plot(there, entropies, **figures.STYLES[2].line(), label="entropy of p(a)")
    left.plot(there, [math.log(slots) for slots in there], **figures.OPTIMUM, label="log |M|")
    left.axhspan(paper - MARGIN, paper + MARGIN, color="0.9", label="KL_a in the paper")
    for axes in (left, right):
        figures.counts_axis(axes, wanted)
        axes.set(xlabel="slots |M|", ylabel="nats")
        figures.legend(axes, loc="lower left" if axes is left else "center right")
    left.set(ylim=(0, None))
    right.set(ylabel=f"NLL, K = {samples}, in nats")
    return figure
