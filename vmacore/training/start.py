"""What a new run starts from: the weights of one run, h and h_q of another, and whether idle parts are brought back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vmacore import distributed
from vmacore.config import Config
from vmacore.data.characters import Dataset
from vmacore.episodes import training_sampler
from vmacore.errors import VmaError
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.networks import residual
from vmacore.runs.finding import Location
from vmacore.runs.weights import load_weights, read_tensors, weights_file
from vmacore.seeds import Stream, generator
from vmacore.training.revival import Revived, revive

EMBEDDING = ("key_network.", "query_network.")  # names of the weights of h and h_q begin so
POINT = "query_point"  # e_p lives in the space of the keys
MAY_DIFFER = ("latent", "posterior_hidden")  # in a revived model
# What h, h_q and p(a) depend on.
OF_EMBEDDING = (
    "system", "network", "size", "view", "channels", "layers", "stages", "blocks", "hidden", "normalised_embedding",
    "embedding", "similarity", "address_prior", "tied",
)  # fmt: skip
EPISODES = 3  # of training, in which a part has to be of use


@dataclass(frozen=True)
class Start:
    """Weights that a run starts from, averaged ones.

    init: of all networks. addresses: of h, h_q and e_p, the query point of p(a), which a training of h and h_q alone
    (`objective.trains = "addresses"`) leaves where p(a) is flat; None: as `init` says. revive: units, maps and latents
    of `init` that are out of use are drawn anew (`vmacore.training.revival`), and the model may have another `latent`
    or `posterior_hidden`: what both have in the same shape is taken, the rest is as a new run has it.
    """

    init: Location | None = None
    addresses: Location | None = None
    revive: bool = False

    def check(self, config: Config) -> None:
        """Raises VmaError where the model of a configuration cannot take these weights."""
        ours = _model(config)
        if self.revive and self.init is None:
            raise VmaError("--revive brings idle parts of trained weights back: name them with --init")
        if self.revive and config.model.network != "residual":
            raise VmaError("only residual networks can be revived: leave --revive out")
        if self.revive and config.model.learns_slots:
            raise VmaError("a learned memory has no episodes to look for idle parts with: leave --revive out")
        if self.init is not None:
            spared = {*(MAY_DIFFER if self.revive else ()), *(("normalised_embedding",) if self.addresses else ())}
            # Without the vector z, the hidden units of h's MLP are the only ones.
            spared |= {"hidden"} if self.revive and self.addresses and not config.model.latent else set()
            _compare(self.init, ours, [key for key in ours if key not in spared])
        if self.addresses is not None:
            if config.model.system != "vma" or config.model.learns_slots:
                raise VmaError("only models with h of images take --addresses-from: leave it out")
            _compare(self.addresses, ours, OF_EMBEDDING)
        if config.objective.trains == "images" and self == Start():
            raise VmaError(
                "h and h_q would stay as they are drawn: take them from a run with --addresses-from or --init"
            )

    def recorded(self, config: Config) -> Config:
        """The configuration with where its weights come from."""
        changes: dict[str, object] = {"revived": self.revive}
        for field, location in (("init", self.init), ("addresses_from", self.addresses)):
            if location is not None:
                changes[field] = f"{location.run}, step {location.step}"
        return config.model_copy(update=changes)

    @torch.no_grad()
    def load(self, model: GenerativeModel, config: Config, dataset: Dataset) -> Revived | None:
        """Fill in the weights, in every process the same; what was drawn anew.

        Raises:
            VmaError: a file that is missing or damaged, or lacks what this model needs.
        """
        if self.init is not None and not self.revive and self.addresses is None:
            load_weights(model, weights_file(self.init, "averaged"))
            return None
        own = model.state_dict()
        if self.init is not None:
            stored = read_tensors(weights_file(self.init, "averaged"))
            for name, tensor in own.items():
                if name in stored and stored[name].shape == tensor.shape:
                    tensor.copy_(stored[name])
                elif not self.revive and not name.startswith(EMBEDDING):
                    raise VmaError(f"{self.init.run}: {name} is missing or of another shape")
        if self.addresses is not None:
            file = weights_file(self.addresses, "averaged")
            stored = read_tensors(file)
            for name, tensor in own.items():
                if not name.startswith((*EMBEDDING, POINT)):
                    continue
                if name not in stored or stored[name].shape != tensor.shape:
                    raise VmaError(f"{file}: {name} is missing or of another shape")
                tensor.copy_(stored[name])
        if self.revive and isinstance(model, VariationalMemoryAddressing):
            device = next(model.parameters()).device
            sampler = training_sampler(config, dataset.train, device, config.training.seed)
            draw = generator(config.training.seed, 0, Stream.REVIVAL)
            found = revive(model, [sampler.at(step) for step in range(EPISODES)], config.objective.samples, draw)
            distributed.copy_from_first(model.state_dict().values())  # what is idle is a matter of rounding
            return found
        return None


def _compare(location: Location, ours: dict[str, object], keys: Iterable[str]) -> None:
    theirs = _model(location.config)
    for key in keys:
        if ours.get(key) != theirs.get(key):  # a key that only other networks read is in neither
            raise VmaError(f"{location.run} has another model.{key}: {theirs.get(key)}, not {ours.get(key)}")


def _model(config: Config) -> dict[str, object]:
    """Settings of the model, with what None stands for."""
    keys = config.model.model_dump()
    if isinstance(config.model, residual.Options):
        keys["normalised_embedding"] = config.model.normalises_embedding
    return keys
