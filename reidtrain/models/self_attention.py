"""The dilated multi-level ResNet-50 (Jiang et al., Self-attention Learning for Person Re-identification)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidprep.errors import ReidError
from reidprep.shards import View

from .layers import initialise
from .resnet import ResNetStages, stage

FEATURES = 1024


@dataclass(frozen=True)
class SelfAttentionConfig:
    """A variant of the network; the default is setting 8 of Table 1, everything on.

    Attributes:
        dilation: DIL: stages 4 and 5 keep the resolution of stage 3.
        stage6: a stage like stage 5 with half its channels at the end, against gridding artifacts.
        multi_level: Multi: pool the concatenated stages 4, 5 and, where there is one, 6, instead of the last alone.
        small_images: stage 1 for images such as CIFAR's, 32x32: a 3x3 convolution of stride 1 and no pooling, so that
            the last stages see 4x4 positions, or 16x16 with dilation, and not one or 4x4.

    Raises:
        ReidError: multi-level features without dilation.
    """

    dilation: bool = True
    stage6: bool = True
    multi_level: bool = True
    small_images: bool = False

    def __post_init__(self) -> None:
        if self.multi_level and not self.dilation:
            raise ReidError(
                "multi_level: stages differ in resolution and cannot be concatenated without dilation; "
                "set dilation=true or multi_level=false"
            )

    @property
    def views(self) -> tuple[View, ...]:
        """The crops of a batch that `forward` takes, by name."""
        return ("image",)


class SelfAttentionOutput(NamedTuple):
    """What the network computes for n images.

    Attributes:
        logits: (n, classes).
        feature: (n, 1024).
        attention: (n, h, w) attention maps of stages 4, 5 and, where there is one, 6.
    """

    logits: Tensor
    feature: Tensor
    attention: tuple[Tensor, ...]

    @property
    def embedding(self) -> Tensor:
        """(n, 1024) feature to compare images with."""
        return self.feature


def attention_map(features: Tensor) -> Tensor:
    """Mean over channels of the squares, of length 1 over positions (Eq. 1): (n, c, h, w) to (n, h, w).

    A map of zeros stays one of zeros.
    """
    # Squares overflow half precision, so autocast must not reach them.
    squares = (features if features.dtype == torch.float64 else features.float()).square().mean(1)
    return F.normalize(squares.flatten(1), dim=1).view_as(squares)


class SelfAttentionNet(ResNetStages):
    """ResNet-50 with dilation, stage 6 and multi-level features (section 3.1, Fig. 1).

    Stages 1-5 have torchvision's names, stage 6 continues them as `layer5`.
    """

    def __init__(self, config: SelfAttentionConfig, classes: int) -> None:
        super().__init__(config.dilation, config.small_images)
        self.config = config
        self.layer5: nn.Sequential | None = None
        channels = [1024, 2048]
        if config.stage6:
            dilation = 4 if config.dilation else 1
            self.layer5 = stage(2048, 256, 3, stride=1, dilations=(dilation, dilation))
            channels.append(1024)
        self.reduce = nn.Linear(sum(channels) if config.multi_level else channels[-1], FEATURES)
        self.classifier = nn.Linear(FEATURES, classes)
        initialise(self)

    @property
    def views(self) -> tuple[View, ...]:
        """See the configuration."""
        return self.config.views

    def forward(self, image: Tensor) -> SelfAttentionOutput:
        """(n, 3, 256, 128) plain images to logits, features and attention maps."""
        stages = list(self.stages_4_and_5(image))
        if self.layer5 is not None:
            stages.append(self.layer5(stages[-1]))
        # The mean of a concatenation is the concatenation of the means, without a copy of the feature maps.
        pooled = [level.mean((2, 3)) for level in (stages if self.config.multi_level else stages[-1:])]
        feature = self.reduce(torch.cat(pooled, 1))
        return SelfAttentionOutput(self.classifier(feature), feature, tuple(attention_map(level) for level in stages))
