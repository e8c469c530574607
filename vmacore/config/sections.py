"""The sections of a configuration."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from vmacore.config.kinds import KindSection, Section
from vmacore.shelf import EPISODES, ESTIMATORS, MODELS, NETWORKS, Shelf


class DataConfig(Section):
    """Which drawings a run sees."""

    dataset: str
    protocol: str | None = None  # None: the data set's default
    seed: int = Field(0, ge=0, lt=2**63)  # made-up data, and the binarisation of evaluation images
    # Grey levels become training pixels anew in every step, or once by `seed`.
    binarise: Literal["resampled", "fixed"] = "resampled"
    # Of a folder of pictures without a folder validation: the classes that validate, as a run found them when it began.
    validation: tuple[str, ...] | None = None  # None: a tenth, by a rule


class EpisodeConfig(KindSection):
    """A step's targets and memory."""

    KINDS: ClassVar[dict[str, Shelf]] = {"memory": EPISODES}
    by_class: ClassVar[bool] = False  # whether the slots are of the same classes as the targets

    memory: str = "few-shot"
    classes: int = Field(8, ge=1)
    targets: int = Field(4, ge=1)  # drawings of each class

    @property
    def varies(self) -> bool:
        """Whether the number of slots changes from step to step."""
        return False

    @property
    def masked(self) -> bool:
        """Whether a target sees a part of the memory only."""
        return False

    @property
    def may_be_empty(self) -> bool:
        """Whether there are targets that see no slot at all."""
        return False

    @property
    def plain(self) -> Self:
        """The same episodes with nothing that is for training alone."""
        return self

    def out_of(self, n_classes: int) -> Self:
        """Plain episodes with fewer classes where there are fewer."""
        return self.plain.model_copy(update={"classes": min(self.classes, n_classes)})


class ModelConfig(KindSection):
    """Which model, and the shapes of its networks."""

    KINDS: ClassVar[dict[str, Shelf]] = {"system": MODELS, "network": NETWORKS}

    system: str = "vma"
    network: str = "convolutional"
    size: tuple[int, int] = (26, 26)  # set from the data when a run starts
    # What h and h_q look at: the pixels that are modelled, or a view of the same drawings twice as fine, in grey.
    view: Literal["pixels", "finer"] = "pixels"
    latent: int = Field(64, ge=0)  # 0: networks with finer latents alone

    @property
    def learns_slots(self) -> bool:
        """Whether the slots are parameters; if not, memory comes with each episode."""
        return False

    @property
    def vector_slots(self) -> bool:
        """Whether a slot is a vector; if not, it is an image."""
        return False

    @property
    def finer_latents(self) -> bool:
        """Whether there are latents finer than z."""
        return False

    @property
    def one_embedding(self) -> bool:
        """Whether h_q is h."""
        return False

    def settled(self) -> dict[str, Any]:
        """The settings, with what each that is left open stands for."""
        return self.model_dump()

    def check(self) -> None:
        """Raises ValueError for shapes that are none."""
        if min(self.size) < 1:
            raise ValueError("size must be positive")
        if not self.latent and not self.finer_latents:
            raise ValueError("latent must be at least 1, but in residual networks with latent_maps")


# Keys that several kinds of models and networks read.
Channels = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(default=(48, 48, 48, 64, 64, 64), min_length=1)]
Embedding = Annotated[int, Field(default=128, ge=1)]  # size of keys and queries
Hidden = Annotated[int, Field(default=256, ge=1)]  # units of each MLP's hidden layer
Similarity = Annotated[Literal["normalised", "inner", "cosine"], Field(default="normalised")]


class ObjectiveConfig(KindSection):
    """The bound and how its gradient is estimated; a model that draws no address has the plain bound."""

    KINDS: ClassVar[dict[str, Shelf]] = {"estimator": ESTIMATORS}

    estimator: str = "vimco"
    samples: int = Field(4, ge=1)  # K; enumeration takes every slot instead
    # What is trained. "addresses": h alone, from labels; nothing is decoded, and NLL and best are of the class.
    trains: Literal["all", "addresses"] = "all"


class LabelsConfig(Section):
    """What labels of the training classes teach h = h_q, in batches of their own.

    A drawing is asked for its class among the others of the batch (`vmacore.episodes.labels`).
    """

    weight: float = Field(0.0, ge=0)  # of log Σ_{a∈c} q(a|x) beside the bound; 0: no label is used
    alone: bool = True  # whether the bound then leaves h alone
    # "drawings": no label of a class is used; each drawing is a class of its own, told from all others by its changes.
    of: Literal["classes", "drawings"] = "classes"
    classes: int = Field(64, ge=2)
    drawings: int = Field(3, ge=2)  # of each class; of drawings: how often each is there, changed anew
    # Strengths of an affine and of an elastic change of each drawing (`vmacore.episodes.augmentation`).
    jittered: float = Field(1.0, ge=0, le=2)
    bent: float = Field(1.0, ge=0)
    strokes: float = Field(0.0, ge=0, le=1)  # probability that a drawing's strokes are thickened or outlined


# The sections in which kinds are chosen.
KIND_SECTIONS: dict[str, type[KindSection]] = {
    "episode": EpisodeConfig,
    "model": ModelConfig,
    "objective": ObjectiveConfig,
}


class OptimiserConfig(Section):
    """Adam and a schedule of its rate."""

    learning_rate: float = Field(3e-4, gt=0)
    warmup: int = Field(0, ge=0)  # updates at first over which the rate rises linearly
    decay: float = Field(0.0, ge=0, le=1)  # part of training.steps, at the end, over which it falls linearly to 0
    weight_decay: float = Field(0.0, ge=0)  # L2, added to the gradient
    clip: float | None = Field(None, gt=0)  # largest norm of the gradient
    beta2: float = Field(0.999, gt=0, lt=1)  # decay of the second moment
    average: float = Field(0.999, ge=0, lt=1)  # decay of the averaged weights, reached gradually


class TrainingConfig(Section):
    """How long, and how often a run looks at itself. All schedules count steps."""

    steps: int = Field(10_000, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
    metrics_every: int = Field(20, ge=1)
    validate_every: int = Field(500, ge=1)
    validation_episodes: int = Field(20, ge=2)
    checkpoint_every: int = Field(500, ge=1)
    # highest: float32 throughout. high: on CUDA, TF32 in products and convolutions. bfloat16: autocast.
    precision: Literal["highest", "high", "bfloat16"] = "high"
    cuda_graph: bool = True  # on one CUDA device: an update is recorded once and replayed
