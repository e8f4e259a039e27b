"""What a recipe holds: the network, what is done to its input, and how it is trained (docs/recipes.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from reidprep.errors import ReidError
from reidtrain.data.preprocessing import Augmentation
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.self_attention import SelfAttentionConfig

Network = Literal["attention-driven", "self-attention"]

NETWORKS: dict[Network, type[AttentionDrivenConfig] | type[SelfAttentionConfig]] = {
    "attention-driven": AttentionDrivenConfig,
    "self-attention": SelfAttentionConfig,
}


@dataclass(frozen=True)
class Input:
    """What the network is given.

    Attributes:
        whole_size: height and width of the whole body, which crops are resized to on the training device.
        part_size: the same of each part.
        image_size: the same of the plain image.
        divisor: of the values after the channel means are subtracted. 255 leaves a range of at most 1; about 57 fits
            ImageNet weights trained with torchvision's normalisation.
    """

    whole_size: tuple[int, int] = (384, 192)
    part_size: tuple[int, int] = (96, 192)
    image_size: tuple[int, int] = (256, 128)
    divisor: float = 255.0

    def __post_init__(self) -> None:
        for name, size in self.sizes.items():
            _require(min(size) >= 16, f"input.{name}_size", size, "height and width of at least 16")
        _require(self.divisor > 0, "input.divisor", self.divisor, "a number above 0")

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width by the names of `reidprep.shards.format.View`; `part_size` goes for all parts."""
        return {"whole": self.whole_size, "parts": self.part_size, "image": self.image_size}


@dataclass(frozen=True)
class BatchShape:
    """Images of a step, in one process: `size` shuffled ones, or P `identities` with K `images` each."""

    size: int | None = None
    identities: int | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        shuffled = self.size is not None and self.identities is None and self.images is None
        by_identity = self.size is None and self.identities is not None and self.images is not None
        if not (shuffled or by_identity):
            raise ReidError("batch: give either size (shuffled images), or identities and images (P x K), not both")
        for name in ("size", "identities", "images"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"batch.{name}", value, "a whole number of at least 1")

    @property
    def total(self) -> int:
        """Images in a batch."""
        return self.size if self.size is not None else (self.identities or 0) * (self.images or 0)


@dataclass(frozen=True)
class Optimizer:
    """PyTorch's optimiser of that name; `momentum` and `nesterov` are those of sgd."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        _require(0 < self.lr < math.inf, "optimizer.lr", self.lr, "a finite number above 0")
        _require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "0 to 1, 1 excluded")
        _require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "0 or more")
        _require(self.momentum > 0 or not self.nesterov, "optimizer.nesterov", self.nesterov, "false without momentum")


@dataclass(frozen=True)
class Schedule:
    """Learning rate over the epochs of a stage.

    Attributes:
        name: `constant`; `step`, times `factor` after every `every` epochs; `cosine`, down to 0 at the end.
        every: epochs of a step.
        factor: of a step.
        warmup: epochs over which the rate rises linearly from nearly 0 at the start, on top of the above.
    """

    name: Literal["constant", "step", "cosine"] = "step"
    every: int = 40
    factor: float = 0.1
    warmup: float = 0.0

    def __post_init__(self) -> None:
        _require(self.every >= 1, "schedule.every", self.every, "a whole number of at least 1")
        _require(0 < self.factor <= 1, "schedule.factor", self.factor, "above 0, at most 1")
        _require(self.warmup >= 0, "schedule.warmup", self.warmup, "0 or more epochs")


@dataclass(frozen=True)
class Loss:
    """Weights of the loss terms; what a network has no such output for must stay at its default.

    Attributes:
        softmax: weight of the cross-entropy, on the branches and the fused feature for attention-driven networks.
        branch_weight: lambda of the attention-driven paper, Eq. 11, within `softmax`.
        label_smoothing: of the cross-entropy.
        sac: weight of the self-attention constraint (self-attention paper, Eq. 2); needs stage 6.
        ranking: loss on the distances of embeddings; needs batches of identities.
        ranking_weight: its weight.
        margin: epsilon_1 of the ranking loss.
        wide_margin: epsilon_2 of quadruplet-hard.
    """

    softmax: float = 1.0
    branch_weight: float = 0.1
    label_smoothing: float = 0.0
    sac: float = 0.0
    ranking: Literal["none", "triplet-hard", "quadruplet-hard"] = "none"
    ranking_weight: float = 1.0
    margin: float = 0.5
    wide_margin: float = 0.2

    def __post_init__(self) -> None:
        for name in ("softmax", "branch_weight", "sac", "ranking_weight", "margin", "wide_margin"):
            _require(getattr(self, name) >= 0, f"loss.{name}", getattr(self, name), "0 or more")
        _require(0 <= self.label_smoothing < 1, "loss.label_smoothing", self.label_smoothing, "0 to 1, 1 excluded")
        if self.softmax == 0 and self.sac == 0 and (self.ranking == "none" or self.ranking_weight == 0):
            raise ReidError("loss: every term has weight 0, there is nothing to learn; set loss.softmax=1")


@dataclass(frozen=True)
class Stage:
    """Epochs with the same batches, optimiser and loss; the next stage starts from its weights with a new optimiser."""

    epochs: int
    batch: BatchShape
    name: str = "train"
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    loss: Loss = field(default_factory=Loss)

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", self.epochs, "a whole number of at least 1")
        if self.loss.ranking != "none" and not (self.batch.identities and (self.batch.images or 0) >= 2):
            raise ReidError(
                f"loss.ranking is {self.loss.ranking}, which compares images of the same identity: "
                "give the batch as identities and at least 2 images each, such as batch: {identities: 18, images: 4}"
            )


@dataclass(frozen=True)
class Validation:
    """When and on what the model is scored during training.

    Attributes:
        every: epochs between validations; the last epoch is always validated. 0: never.
        identities: training identities held out for it: one image of each camera is a query, all are the gallery.
            0: the query and gallery splits of the shards, which makes the choice of the best epoch optimistic.
        batch_size: images at once.
    """

    every: int = 10
    identities: int = 0
    batch_size: int = 64

    def __post_init__(self) -> None:
        _require(self.every >= 0, "validation.every", self.every, "0 (never) or more epochs")
        _require(self.identities >= 0, "validation.identities", self.identities, "0 or more")
        _require(self.batch_size >= 1, "validation.batch_size", self.batch_size, "at least 1")


@dataclass(frozen=True)
class Execution:
    """How steps are computed.

    Attributes:
        precision: `float32`, or `bf16` for automatic mixed precision with float32 weights.
        compile: run the network through torch.compile.
        channels_last: memory layout of images and convolution weights.
        accumulate: batches whose gradients are averaged before a step of the optimiser.
        gradient_clip: largest norm of the gradient; 0 is off.
        deterministic: refuse operations whose result may differ from run to run on a GPU.
    """

    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    channels_last: bool = True
    accumulate: int = 1
    gradient_clip: float = 0.0
    deterministic: bool = False

    def __post_init__(self) -> None:
        _require(self.accumulate >= 1, "execution.accumulate", self.accumulate, "at least 1")
        _require(self.gradient_clip >= 0, "execution.gradient_clip", self.gradient_clip, "0 (off) or more")


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a trained model, but for the data.

    Attributes:
        model: variant of the network.
        stages: in the order they are trained.
        input: sizes and scale of the images.
        augmentation: random changes to them.
        validation: how the model is scored meanwhile.
        execution: how steps are computed.
        identities: training identities to use, drawn by the seed; None is all.
        seed: of the weights, the order of images, augmentation and dropout.

    Raises:
        ReidError: values that contradict each other.
    """

    model: AttentionDrivenConfig | SelfAttentionConfig
    stages: tuple[Stage, ...]
    input: Input = field(default_factory=Input)
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation: Validation = field(default_factory=Validation)
    execution: Execution = field(default_factory=Execution)
    identities: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise ReidError("stages: at least one is needed")
        _require(self.seed >= 0, "seed", self.seed, "0 or more")
        _require(self.identities is None or self.identities >= 2, "identities", self.identities, "2 or more, or null")
        has_stage6 = isinstance(self.model, SelfAttentionConfig) and self.model.dilation and self.model.stage6
        for index, stage in enumerate(self.stages):
            if stage.loss.sac and not has_stage6:
                raise ReidError(
                    f"stages.{index}.loss.sac is {stage.loss.sac}: the constraint compares stages 4, 5 and 6 of a "
                    "self-attention network with dilation and stage6; switch these on or set it to 0"
                )

    @property
    def network(self) -> Network:
        """The kind of network."""
        return next(name for name, config in NETWORKS.items() if isinstance(self.model, config))

    @property
    def epochs(self) -> int:
        """Of all stages."""
        return sum(stage.epochs for stage in self.stages)


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise ReidError(f"{name} is {value}; it must be {wanted}")
