"""The card of exported weights: a README.md that says what they are and how to measure them."""

from __future__ import annotations

import shlex
from typing import Any

from vmacore.config import Config
from vmacore.runs.directory import WEIGHTS, read_state
from vmacore.runs.finding import Location
from vmacore.runs.weights import read_tensors


def card(location: Location, name: str) -> str:
    """The text of the card, in Markdown, of weights in a folder called `name`. Numbers are those that training saved.

    Raises:
        VmaError: the state or the averaged weights cannot be read.
    """
    config, best = location.config, read_state(location.path)["best"]
    parameters = sum(tensor.numel() for tensor in read_tensors(location.path / WEIGHTS["averaged"]).values())
    height, width = config.model.size
    rows = {
        "Model": f"`{config.model.system}`, {config.model.network} networks, {parameters:,} parameters, "
        f"for binary images of {height}×{width}",
        "Data set": f"{config.data.dataset}, protocol {config.data.protocol}",
        "Training": _training(config, location.step),
        "Chosen": _chosen(location.step, best),
        "Validation": _validation(config, best),
        "Weights": "the running average of the weights, in float16",
        "Licence": "not stated: whoever passes these weights on says here what is allowed",
    }
    return "\n".join(
        [
            f"# {name}",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {title} | {text} |" for title, text in rows.items()),
            "",
            f"To measure them on classes of the test split, in the folder that holds `{name}`:",
            "",
            f"    {measured_by(config, f'./{name}')}",
            "",
            "In Python:",
            "",
            "    import vmacore",
            "",
            f'    model, config = vmacore.load("./{name}")',
            "",
            "`config.toml` has every setting.",
            "",
        ]
    )


def measured_by(config: Config, folder: str) -> str:
    """The command that measures the weights in a folder; addresses alone classify, and score nothing."""
    return f"vma {'classify' if config.objective.trains == 'addresses' else 'score'} {shlex.quote(folder)}"


def _training(config: Config, step: int) -> str:
    parts = [f"{step:,} steps of {config.training.steps:,}"]
    if config.recipe:
        parts.append(f"recipe `{config.recipe}`")
    if config.model.system == "vma":
        parts.append(f"gradients by {config.objective.estimator}")
    parts += [f"K = {config.objective.samples}", f"seed {config.training.seed}"]
    if config.objective.trains != "all":
        parts.append(f"{config.objective.trains} alone")
    if config.init:
        parts.append(f"started from {config.init}")
    return "; ".join(parts)


def _chosen(step: int, best: dict[str, Any]) -> str:
    if not best:
        return f"on no split: step {step:,} is the last, and no step was validated"
    if best["step"] == step:
        return f"on the validation split: step {step:,} has the lowest NLL"
    return f"by hand: step {step:,}; on the validation split step {best['step']:,} has the lowest NLL"


def _validation(config: Config, best: dict[str, Any]) -> str:
    if not best:
        return "none"
    what = "NLL of the class" if config.objective.trains == "addresses" else f"NLL at K = {config.objective.samples}"
    text = f"step {best['step']:,}: {what} {best['nll']:.2f} nats, on {config.training.validation_episodes} episodes"
    if best.get("accuracy") is not None:
        text += f"; 5-way 1-shot accuracy {best['accuracy']:.1%}"
    return text
