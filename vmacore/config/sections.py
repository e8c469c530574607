"""The sections of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vmacore.errors import VmaError
from vmacore.shelf import EPISODES, ESTIMATORS, MODELS, NETWORKS, Shelf


def _of(shelf: Shelf) -> AfterValidator:
    """A name that stands on a shelf."""

    def check(name: str) -> str:
        try:
            return shelf.check(name)
        except VmaError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which drawings a run sees."""

    dataset: str
    protocol: str | None = None  # None: the data set's default
    seed: int = Field(0, ge=0, lt=2**63)  # made-up data, and the binarisation of evaluation images
    # Grey levels become training pixels anew in every step, or once by `seed`.
    binarise: Literal["resampled", "fixed"] = "resampled"


# What validation and evaluation never do to an episode.
TRAINING_ALONE = ("shots_between", "turned", "warped", "jittered")


class EpisodeConfig(Section):
    """A step's targets and memory.

    few-shot: the same classes, disjoint drawings (section 4.2). recall: `slots` drawings of all classes alike, the
    targets among them bit for bit (section 4.1). none: targets of all classes alike, for a memory that is learned or a
    model without one. sequence: `sequences` sequences of `length` drawings of at most `classes` classes each; of every
    drawing the earlier ones are the memory (Bartunov & Vetrov 2016).
    """

    memory: Annotated[str, _of(EPISODES)] = "few-shot"
    classes: int = Field(8, ge=1)
    memories: int = Field(1, ge=1)  # few-shot: memories that share the classes out; targets see their own alone
    targets: int = Field(4, ge=1)  # drawings of each class
    shots: int = Field(4, ge=1)  # slots of each class
    # few-shot, in training alone: slots of each class vary from step to step, log-uniform between these, ends included.
    shots_between: tuple[int, int] | None = None
    # few-shot, in training alone: probability that a class is turned by a symmetry of the square, and strength of a
    # small affine change that every class gets, and of one that every drawing gets.
    turned: float = Field(0.0, ge=0, le=1)
    warped: float = Field(0.0, ge=0, le=1)
    jittered: float = Field(0.0, ge=0, le=1)
    slots: int = Field(256, ge=1)  # recall: slots in all
    sequences: int = Field(8, ge=1)  # sequence: of a step
    length: int = Field(10, ge=1)  # sequence: drawings of each
    replacement: bool = False  # sequence: whether a drawing may come twice

    @property
    def varies(self) -> bool:
        """Whether the number of slots changes from step to step."""
        return self.shots_between is not None

    @property
    def plain(self) -> EpisodeConfig:
        """The same episodes with nothing that is for training alone."""
        return self.model_copy(update={name: EpisodeConfig.model_fields[name].default for name in TRAINING_ALONE})

    @model_validator(mode="after")
    def _check(self) -> EpisodeConfig:
        if self.shots_between is not None and not 1 <= self.shots_between[0] <= self.shots_between[1]:
            raise ValueError("shots_between needs a smallest number of at least 1 and one that is not smaller")
        if self.varies and self.memories > 1:
            raise ValueError("several memories share out the same classes in every step: set memories to 1")
        if self.memory != "few-shot" and self.plain != self:
            raise ValueError(f"{', '.join(TRAINING_ALONE)} are of few-shot episodes: leave them out")
        return self


class ModelConfig(Section):
    """Which model, and the shapes of its networks."""

    system: Annotated[str, _of(MODELS)] = "vma"
    network: Annotated[str, _of(NETWORKS)] = "convolutional"
    size: tuple[int, int] = (26, 26)  # set from the data when a run starts
    # What h and h_q look at: the pixels that are modelled, or a view of the same drawings twice as fine, in grey.
    view: Literal["pixels", "finer"] = "pixels"
    latent: int = Field(64, ge=0)  # 0: residual networks with finer latents alone
    embedding: int = Field(128, ge=1)
    channels: tuple[int, ...] = (48, 48, 48, 64, 64, 64)  # convolutional: maps of each layer
    hidden: int = Field(256, ge=1)  # convolutional: units of each MLP's hidden layer
    layers: tuple[int, ...] = (256, 128)  # fully connected: units of each layer
    # residual: maps and blocks of each stage, finest first, and maps of the latent there, finer than z (0: none).
    stages: tuple[int, ...] = (64, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 1)
    latent_maps: tuple[int, ...] = (0, 0, 0)
    # residual: hidden units of an MLP by which q of a finer latent sees decoder and recognition together; 0: none.
    posterior_hidden: int = Field(0, ge=0)
    # residual: inputs of blocks and MLPs have mean 0 and variance 1; those of h and h_q: None is as the rest.
    normalised: bool = False
    normalised_embedding: bool | None = None
    similarity: Literal["normalised", "inner", "cosine"] = "normalised"
    address_prior: Literal["learned", "flat"] = "learned"
    tied: bool = False  # h_q is h
    read: Literal["features", "pixels"] = "features"  # soft attention: what the weights mix
    hops: int = Field(1, ge=1)  # matching network: reads of the set before each of its distributions
    learned_slots: int = Field(0, ge=0)  # slots that are parameters; 0: memory comes with each episode
    slot: int = Field(256, ge=1)  # size of a learned slot of a fully connected model
    slot_scale: float = Field(0.3, gt=0)  # standard deviation of its numbers at first
    # Fully connected: how a slot enters at the pixels: by a matrix, each pixel by itself with a gain, or not at all.
    skip: Literal["matrix", "gain", "none"] = "matrix"

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if not self.channels or min(self.channels) < 1 or not self.layers or min(self.layers) < 1:
            raise ValueError("channels and layers need at least one entry, and every entry at least 1")
        if min(self.size) < 1:
            raise ValueError("size must be positive")
        if self.view == "finer" and (self.system != "vma" or self.learned_slots):
            raise ValueError("only h of images has another view than the pixels: leave view out")
        if self.learned_slots and self.system != "vma":
            raise ValueError(f"a {self.system} model has no learned memory: set learned_slots to 0")
        if self.system == "matching" and self.network != "convolutional":
            raise ValueError("the matching network is convolutional: leave model.network out")
        if self.skip == "gain" and self.learned_slots and self.network == "fully-connected":
            raise ValueError(
                "learned slots here are vectors, which have no gain at a pixel: set skip to matrix or none"
            )
        lengths = {len(self.stages), len(self.blocks), len(self.latent_maps)}
        if len(lengths) > 1 or min(self.stages, default=0) < 1 or min(self.blocks + self.latent_maps) < 0:
            raise ValueError(
                "stages, blocks and latent_maps need an entry for each size of the maps, stages at least 1"
            )
        if not self.latent and (self.network != "residual" or not any(self.latent_maps)):
            raise ValueError("latent must be at least 1, but in residual networks with latent_maps")
        if self.network == "residual" and self.system != "vma":
            raise ValueError(f"a {self.system} model has no residual network: leave model.network out")
        if self.tied and self.learned_slots and self.network == "fully-connected":
            raise ValueError("learned slots here are vectors, which cannot share an embedding with images: untie")
        return self


class ObjectiveConfig(Section):
    """The bound and how its gradient is estimated; a model that draws no address has the plain bound."""

    estimator: Annotated[str, _of(ESTIMATORS)] = "vimco"
    samples: int = Field(4, ge=1)  # K; enumeration takes every slot instead
    temperature: float = Field(0.5, gt=0)  # of gumbel and st-gumbel
    # few-shot: weight of log Σ_{a∈c} q(a|x), c the class of x, beside the bound; h and h_q learn the classes from it.
    labels: float = Field(0.0, ge=0)
    # What is trained. "addresses": h and h_q alone, on log Σ_{a∈c} q(a|x) alone; nothing is decoded, and NLL and best
    # are of the class. "images": all but h and h_q, on the bound alone.
    trains: Literal["all", "addresses", "images"] = "all"
    # Residual with finer latents: log p − log q of all but the finest come to count over so many steps, from nothing,
    # so that coarse ones come into use before the finest makes them superfluous (warm-up: Sønderby et al. 2016).
    coarse_warmup: int = Field(0, ge=0)
    # With tied networks: weight of the same for every slot among the others, beside that of the targets.
    slot_class_weight: float = Field(0.0, ge=0)


class LabelsConfig(Section):
    """What labels of the training classes teach h = h_q, in batches of their own; the bound then leaves h alone.

    A batch holds drawings of some classes, each class turned by a symmetry of the square at random as a class of its
    own, each drawing changed (`vmacore.episodes.augmentation`). A drawing is asked for its class among the others of
    the batch.
    """

    weight: float = Field(0.0, ge=0)  # of log Σ_{a∈c} q(a|x) beside the bound; 0: no label is used
    classes: int = Field(64, ge=2)
    drawings: int = Field(3, ge=2)  # of each class
    turned: float = Field(0.875, ge=0, le=1)
    jittered: float = Field(1.0, ge=0, le=1)
    bent: float = Field(1.0, ge=0)


class OptimiserConfig(Section):
    """Adam and a schedule of its rate."""

    learning_rate: float = Field(3e-4, gt=0)
    warmup: int = Field(0, ge=0)  # updates at first over which the rate rises linearly
    decay: float = Field(0.0, ge=0, le=1)  # part of training.steps, at the end, over which it falls linearly to 0
    weight_decay: float = Field(0.0, ge=0)  # L2, added to the gradient
    clip: float | None = Field(None, gt=0)  # largest norm of the gradient
    beta2: float = Field(0.999, ge=0, lt=1)  # decay of the second moment
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


# The keys that choose a kind, by section, and where the kinds stand.
KINDS = {
    "episode": {"memory": EPISODES},
    "model": {"network": NETWORKS, "system": MODELS},
    "objective": {"estimator": ESTIMATORS},
}
