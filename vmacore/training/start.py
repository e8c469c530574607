"""What a new run starts from: the averaged weights of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vmacore.config import Config
from vmacore.errors import VmaError
from vmacore.models.base import GenerativeModel
from vmacore.runs.finding import Location
from vmacore.runs.weights import fill, read_tensors, weights_file


@dataclass(frozen=True, eq=False)
class Start:
    """Weights as they were read, since a run that is still trained soon has others.

    config: of the run that they come from. weights: by name.
    """

    run: str
    step: int
    config: Config
    file: Path
    weights: Mapping[str, Tensor]

    @staticmethod
    def of(location: Location) -> Start:
        """The averaged weights there.

        Raises:
            VmaError: absent or damaged.
        """
        file = weights_file(location, "averaged")
        return Start(location.run, location.step, location.config, file, read_tensors(file))

    def check(self, config: Config) -> None:
        """Raises VmaError where the model of a configuration has other settings."""
        ours, theirs = config.model.settled(), self.config.model.settled()
        for key in ours:
            if ours[key] != theirs.get(key):
                raise VmaError(f"{self.run} has another model.{key}: {theirs.get(key)}, not {ours[key]}")

    def recorded(self, config: Config) -> Config:
        """The configuration with where its weights come from."""
        return config.model_copy(update={"init": f"{self.run}, step {self.step}"})

    def load(self, model: GenerativeModel) -> None:
        """Fill in the weights.

        Raises:
            VmaError: they lack what this model needs, or have more.
        """
        fill(model, self.weights, self.file)
