"""What a recipe holds: the network, what is done to its input, and how it is trained (docs/recipes.md).

Values are checked by pydantic, whoever makes them; `reidtrain.recipes.loading` turns what it finds into plain errors.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from reidtrain.data.preprocessing import Augmentation
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.self_attention import SelfAttentionConfig

Network = Literal["attention-driven", "self-attention"]

NETWORKS: dict[Network, type[AttentionDrivenConfig] | type[SelfAttentionConfig]] = {
    "attention-driven": AttentionDrivenConfig,
    "self-attention": SelfAttentionConfig,
}

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)

# Strict: true is no number, and "3" is none either. Lists are taken for tuples.
Side = Annotated[int, Field(ge=16, lt=2**16, strict=True)]
Whole = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Count = Annotated[int, Field(ge=1, lt=2**63, strict=True)]
Number = Annotated[float, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Below1 = Annotated[float, Field(ge=0, lt=1, strict=True)]
Switch = Annotated[bool, Field(strict=True)]


def _as_sides(value: object) -> object:
    """The two sides of HEIGHTxWIDTH, as reidprep's options take it; anything else as it is."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", value, re.ASCII) if isinstance(value, str) else None
    return value if match is None else (int(match[1]), int(match[2]))


ImageSize = Annotated[tuple[Side, Side], BeforeValidator(_as_sides)]


@dataclass(frozen=True, config=CHECKED)
class Input:
    """What the network is given.

    Attributes:
        whole_size: height and width of the whole body, [160, 80] or 160x80, which crops are resized to on the training
            device.
        part_size: the same of each part.
        image_size: the same of the plain image.
        divisor: of the values after the channel means are subtracted. 255 leaves a range of at most 1; about 57 fits
            ImageNet weights trained with torchvision's normalisation.
    """

    whole_size: ImageSize = (384, 192)
    part_size: ImageSize = (96, 192)
    image_size: ImageSize = (256, 128)
    divisor: Positive = 255.0

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width by the names of `reidprep.shards.format.View`; `part_size` goes for all parts."""
        return {"whole": self.whole_size, "parts": self.part_size, "image": self.image_size}


@dataclass(frozen=True, config=CHECKED)
class BatchShape:
    """Images of a step, in one process: `size` shuffled ones, or P `identities` with K `images` each."""

    size: Count | None = None
    identities: Count | None = None
    images: Count | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> BatchShape:
        given = (self.size is not None, self.identities is not None, self.images is not None)
        if given not in ((True, False, False), (False, True, True)):
            raise ValueError("give either size (shuffled images), or identities and images (P x K), not both")
        return self

    @property
    def total(self) -> int:
        """Images in a batch."""
        return self.size if self.size is not None else (self.identities or 0) * (self.images or 0)


@dataclass(frozen=True, config=CHECKED)
class Optimizer:
    """PyTorch's optimiser of that name; `momentum` and `nesterov` are those of sgd.

    `adamw` decays weights apart from the gradient; with `adam`, as with `sgd`, the decay is part of it, and Adam scales
    it up where the gradient is small.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.01
    momentum: Below1 = 0.9
    nesterov: Switch = False
    weight_decay: Number = 5e-4

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Optimizer:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0; set nesterov=false")
        return self


@dataclass(frozen=True, config=CHECKED)
class Schedule:
    """Learning rate over the epochs of a stage.

    Attributes:
        name: `constant`; `step`, times `factor` after every `every` epochs; `cosine`, down to 0 at the end.
        every: epochs of a step.
        factor: of a step.
        warmup: epochs over which the rate rises linearly from nearly 0 at the start, on top of the above.
    """

    name: Literal["constant", "step", "cosine"] = "step"
    every: Count = 40
    factor: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.1
    warmup: Number = 0.0


@dataclass(frozen=True, config=CHECKED)
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

    softmax: Number = 1.0
    branch_weight: Number = 0.1
    label_smoothing: Below1 = 0.0
    sac: Number = 0.0
    ranking: Literal["none", "triplet-hard", "quadruplet-hard"] = "none"
    ranking_weight: Number = 1.0
    margin: Number = 0.5
    wide_margin: Number = 0.2

    @model_validator(mode="after")
    def _has_a_term(self) -> Loss:
        if self.softmax == 0 and self.sac == 0 and (self.ranking == "none" or self.ranking_weight == 0):
            raise ValueError("every term has weight 0, there is nothing to learn; set softmax=1")
        return self


@dataclass(frozen=True, config=CHECKED)
class Stage:
    """Epochs with the same batches, optimiser and loss; the next stage starts from its weights with a new optimiser."""

    epochs: Count
    batch: BatchShape
    name: str = "train"
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    loss: Loss = field(default_factory=Loss)

    @model_validator(mode="after")
    def _ranking_has_pairs(self) -> Stage:
        if self.loss.ranking != "none" and not (self.batch.identities and (self.batch.images or 0) >= 2):
            raise ValueError(
                f"loss.ranking is {self.loss.ranking}, which compares images of the same identity: "
                "give the batch as identities and at least 2 images each, such as batch: {identities: 18, images: 4}"
            )
        return self


@dataclass(frozen=True, config=CHECKED)
class Validation:
    """When and on what the model is scored during training.

    Attributes:
        every: epochs between validations; the last epoch is always validated. 0: never.
        identities: training identities held out for it: one image of each camera is a query, all are the gallery.
            0: the query and gallery splits of the shards, which makes the choice of the best epoch optimistic.
        batch_size: images at once.
    """

    every: Whole = 10
    identities: Whole = 0
    batch_size: Count = 64


@dataclass(frozen=True, config=CHECKED)
class Checkpointing:
    """How often training is made safe.

    Attributes:
        minutes: at least, from one checkpoint to the next, within an epoch too; 0: after every epoch. A stage's end,
            what is to be validated and an epoch better than all before are written in any case.
    """

    minutes: Number = 2.0


@dataclass(frozen=True, config=CHECKED)
class Training:
    """How long training takes.

    Attributes:
        max_minutes: train for so long, whatever the machine's speed: the epochs of the stages are then those of the
            schedule, which is stretched over this time, with the last validation in it. Such a run is not repeatable
            to the bit. None: by epochs.
    """

    max_minutes: Positive | None = None


@dataclass(frozen=True, config=CHECKED)
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
    compile: Switch = False
    channels_last: Switch = True
    accumulate: Count = 1
    gradient_clip: Number = 0.0
    deterministic: Switch = False


@dataclass(frozen=True, config=CHECKED)
class Recipe:
    """Everything that shapes a trained model, but for the data.

    Attributes:
        model: variant of the network.
        stages: in the order they are trained.
        input: sizes and scale of the images.
        augmentation: random changes to them.
        validation: how the model is scored meanwhile.
        checkpoint: how often training is made safe.
        training: how long it takes.
        execution: how steps are computed.
        identities: training identities to use, drawn by the seed; None is all.
        seed: of the weights, the order of images, augmentation and dropout.

    Raises:
        pydantic.ValidationError: values out of range or that contradict each other.
    """

    model: AttentionDrivenConfig | SelfAttentionConfig
    stages: tuple[Stage, ...]
    input: Input = field(default_factory=Input)
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation: Validation = field(default_factory=Validation)
    checkpoint: Checkpointing = field(default_factory=Checkpointing)
    training: Training = field(default_factory=Training)
    execution: Execution = field(default_factory=Execution)
    identities: Annotated[int, Field(ge=2, lt=2**63, strict=True)] | None = None
    seed: Whole = 0

    @model_validator(mode="after")
    def _stages_fit_the_network(self) -> Recipe:
        if not self.stages:
            raise ValueError("stages: at least one is needed")
        if self.training.max_minutes and len({stage.name for stage in self.stages}) < len(self.stages):
            raise ValueError("training.max_minutes needs stages with names of their own; set stages.0.name and so on")
        has_stage6 = isinstance(self.model, SelfAttentionConfig) and self.model.dilation and self.model.stage6
        for index, stage in enumerate(self.stages):
            if stage.loss.sac and not has_stage6:
                raise ValueError(
                    f"stages.{index}.loss.sac is {stage.loss.sac}: the constraint compares stages 4, 5 and 6 of a "
                    "self-attention network with dilation and stage6; switch these on or set it to 0"
                )
        return self

    @property
    def network(self) -> Network:
        """The kind of network."""
        return next(name for name, config in NETWORKS.items() if isinstance(self.model, config))

    @property
    def epochs(self) -> int:
        """Sum over all stages."""
        return sum(stage.epochs for stage in self.stages)
