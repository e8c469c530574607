"""Variational memory addressing: a generative model that picks one memory slot and redraws it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmacore.config import Config
    from vmacore.evaluation.few_shot_classifier import FewShotClassifier
    from vmacore.models import GenerativeModel

__version__ = "1.0.0"
__all__ = ["FewShotClassifier", "load"]


def load(
    run: str | Path,
    *,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    weights: str = "averaged",
    device: str = "cpu",
) -> tuple[GenerativeModel, Config]:
    """The model of a run directory, a checkpoint folder or shipped weights, with the configuration it was trained by.

    data_dir: where downloaded weights lie; None: what VMA_DATA names, else data.

    Raises:
        VmaError: there is no such run, or its weights cannot be read.
    """
    # Here, so that `import vmacore` does not import torch.
    from vmacore.runs.finding import find_run, settled
    from vmacore.runs.weights import load_model

    def read() -> tuple[GenerativeModel, Config]:
        downloads = None if data_dir is None else Path(data_dir)
        location = find_run(run, runs_dir=Path(runs_dir), data_dir=downloads)
        return load_model(location, weights=weights, device=device), location.config

    return settled(read)


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for, since it imports torch and scikit-learn."""
    if name != "FewShotClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vmacore.evaluation.few_shot_classifier import FewShotClassifier

    return FewShotClassifier
