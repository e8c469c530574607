"""`vma score`: how likely a trained model finds images, given drawings of their classes in memory."""

from __future__ import annotations

import math
from typing import Annotated

import typer
from rich.console import RenderableType

from vmacli import options
from vmacli.opening import open_run
from vmacli.output import reporting
from vmacli.session import Session, uses
from vmacli.tables.score import breakdown, numbers


@uses("data_dir", "runs_dir", "device", "seed", "weights", "offline")
def score(
    session: Session,
    wanted: options.Wanted,
    split: options.Split = "test",
    classes: options.Classes = 8,
    shots: options.Shots = 4,
    samples: Annotated[int, typer.Option("--samples", min=1, help="K, the samples in the bound.")] = 1000,
    episodes: Annotated[int, typer.Option("--episodes", min=2, help="Memories drawn.")] = 20,
    targets: Annotated[int, typer.Option("--targets", min=1, help="Targets of each class in memory.")] = 4,
) -> None:
    """Score a run: the K-sample bound in nats per image, and the ELBO with its parts."""
    with reporting(session) as output:
        from vmacore.errors import diverged
        from vmacore.evaluation.likelihood import score as measure

        opened = open_run(output, wanted, session)
        with output.progress("episodes", episodes) as progress:
            found = measure(
                opened.model,
                opened.with_at_least(split, shots + targets, output),
                classes=classes,
                shots=shots,
                samples=samples,
                episodes=episodes,
                targets=targets,
                seed=session.seed,
                device=opened.device,
                progress=progress.update,
            )
        if not (math.isfinite(found.nll) and math.isfinite(found.elbo)):
            raise diverged(f"the NLL of {opened.location.run} is")
        document = {
            **opened.document("score", split=split),
            "memory": {"classes": classes, "shots": shots, "slots": found.slots},
            "samples": samples,
            "decoder": "float32",  # scripts may read it
            "nll": found.nll,
            "nll_se": found.nll_se,
            "nll_class_se": found.nll_class_se,
            "elbo": found.elbo,
            "reconstruction": found.reconstruction,
            "kl_address": found.kl_address,
            "kl_latent": found.kl_latent,
            "kl_levels": list(found.kl_levels[:0:-1]),  # of the latents finer than z, finest first
            "prior_entropy": found.prior_entropy,
            "posterior_entropy": found.posterior_entropy,
            "targets": found.targets,
            "episodes": found.episodes,
        }
        learned = opened.model.learned_memory is not None
        heading = opened.heading(
            split,
            f"{found.slots} learned slots"
            if learned
            else f"memory {classes} classes × {shots} drawing{'s' * (shots > 1)}",
            f"K = {samples}",
            f"{found.targets} targets in {found.episodes} episodes",
        )
        shown: list[RenderableType] = [heading, numbers(found, samples), breakdown(found, opened.model.latent_names)]
        output.result(document, shown, f"{found.nll:.4f}")
