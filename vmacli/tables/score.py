"""The tables of `vma score`: the bound, and what it is the sum of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from vmacli.output import figures, nats, table

if TYPE_CHECKING:
    from vmacore.evaluation.likelihood import Score


def numbers(found: Score, samples: int) -> Table:
    """The bound with its errors, and entropies."""
    made = table("nats per image", "mean", "± s.e.", "over classes")
    over_classes = "–" if found.nll_class_se is None else figures(found.nll_class_se, 2)
    made.add_row(f"NLL, {samples}-sample bound", nats(found.nll), figures(found.nll_se, 2), over_classes)
    made.add_row("−ELBO, one sample", nats(-found.elbo), "", "")
    made.add_row("entropy of p(a)", nats(found.prior_entropy), "")
    made.add_row("entropy of q(a|x)", nats(found.posterior_entropy), "")
    return made


def breakdown(found: Score, names: tuple[str, ...]) -> Table:
    """The parts that −ELBO is the sum of, each with a bar as long as its share, and where the latent's part lies."""
    made = table("−ELBO is the sum of", "nats", "share")
    made.add_column("", no_wrap=True)
    parts = {
        "reconstruction": found.reconstruction,
        "KL_z, the latent": found.kl_latent,
        "KL_a, the address": found.kl_address,
    }
    for name, part in parts.items():
        share = part / -found.elbo
        made.add_row(name, nats(part), f"{share:z.1%}", "█" * round(32 * max(share, 0.0)) or "▏")
        if name.startswith("KL_z"):
            for latent, level in list(zip(names, found.kl_levels, strict=True))[:0:-1]:
                made.add_row(f"  of it at {latent}", nats(level), "")
    return made
