"""The dilated multi-level ResNet-50 (Jiang et al., Self-attention Learning for Person Re-identification).

Its stages are conv1 and conv2x-conv5x (He et al., Deep Residual Learning for Image Recognition, Table 1); in code, as
in torchvision, `conv1` and `layer1` to `layer4`. The stride of a unit is in its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidprep.errors import ReidError
from reidprep.shards.format import View
from reidtrain.models.layers import Bottleneck, conv, initialise, initialise_classifier


def stage(in_channels: int, width: int, units: int, stride: int, dilations: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """Residual units of `width` -> 4 * `width` channels; the dilations are those of the first unit and of the rest."""
    first, rest = dilations
    return nn.Sequential(
        Bottleneck(in_channels, width, 4 * width, stride, first),
        *(Bottleneck(4 * width, width, 4 * width, dilation=rest) for _ in range(units - 1)),
    )


DEPTHS = {50: 6, 101: 23}
"""Units of stage 4 by the number of layers (He et al., Table 1)."""


class ResNetStages(nn.Module):
    """Stages 1-5 of ResNet-50 or ResNet-101: 1/32 of the resolution, or 1/8 with dilation.

    With dilation, stages 4 and 5 keep the resolution of stage 3. Every 3x3 convolution that came after a removed
    stride is dilated by it, 2 in stage 4 and 4 in stage 5, so receptive fields and pre-trained weights stay valid; the
    first unit of a stage still sees its predecessor's spacing.

    With small images, stage 1 keeps the resolution: a 3x3 convolution of stride 1 and no pooling, as He et al. begin
    their networks for CIFAR (section 4.2). All later resolutions are four times as high, to 1/8, or 1/2 with dilation.
    """

    def __init__(self, dilation: bool = False, small_images: bool = False, depth: int = 50) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 3) if small_images else conv(3, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(64, 64, 3, stride=1)
        self.layer2 = stage(256, 128, 4, stride=2)
        if dilation:
            self.layer3 = stage(512, 256, DEPTHS[depth], stride=1, dilations=(1, 2))
            self.layer4 = stage(1024, 512, 3, stride=1, dilations=(2, 4))
        else:
            self.layer3 = stage(512, 256, DEPTHS[depth], stride=2)
            self.layer4 = stage(1024, 512, 3, stride=2)

    def stages_4_and_5(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, h, w) images to (n, 1024, h / 16, w / 16) and (n, 2048, h / 32, w / 32); 1/8 with dilation.

        Four times that with small images.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        stage4 = self.layer3(self.layer2(self.layer1(x)))
        return stage4, self.layer4(stage4)


class ResNet50(ResNetStages):
    """Image classifier; its state dict has the names and shapes of torchvision's `resnet50`."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.fc = nn.Linear(2048, classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) images to (n, classes) logits."""
        _, stage5 = self.stages_4_and_5(images)
        logits: Tensor = self.fc(stage5.mean((2, 3)))
        return logits


FEATURES = 1024


@dataclass(frozen=True)
class SelfAttentionConfig:
    """A variant of the network; the default is setting 8 of Table 1, everything on.

    Attributes:
        dilation: DIL: stages 4 and 5 keep the resolution of stage 3.
        stage6: a stage like stage 5 with half its channels at the end, against gridding artifacts.
        stage6_dilation: of its 3x3 convolutions. 1 mixes all positions; with 4, as in stage 5, each of the 16 lattices
            that the positions fall into stays by itself.
        multi_level: Multi: pool the concatenated stages 4, 5 and, where there is one, 6, instead of the last alone.
        small_images: stage 1 for images such as CIFAR's, 32x32: a 3x3 convolution of stride 1 and no pooling, so that
            the last stages see 4x4 positions, or 16x16 with dilation, and not one or 4x4.
        depth: layers of the ResNet, 50 or 101 (Table 4).

    Raises:
        ReidError: multi-level features without dilation, a dilation below 1, or another depth.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    dilation: bool = True
    stage6: bool = True
    stage6_dilation: int = 1
    multi_level: bool = True
    small_images: bool = False
    depth: int = 50

    def __post_init__(self) -> None:
        if self.multi_level and not self.dilation:
            raise ReidError(
                "multi_level: stages differ in resolution and cannot be concatenated without dilation; "
                "set dilation=true or multi_level=false"
            )
        if self.stage6_dilation < 1:
            raise ReidError(f"stage6_dilation is {self.stage6_dilation}; it must be a whole number of at least 1")
        if self.depth not in DEPTHS:
            raise ReidError(f"depth is {self.depth}; choose from {', '.join(map(str, DEPTHS))}")

    @property
    def views(self) -> tuple[View, ...]:
        """The crops of a batch that `forward` takes, by name."""
        return ("image",)


class SelfAttentionOutput(NamedTuple):
    """What the network computes for n images.

    Attributes:
        logits: (n, classes).
        feature: (n, 1024).
        attention: (n, h, w) attention maps of stages 4, 5 and, where there is one, 6. Empty unless asked for.
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
        super().__init__(config.dilation, config.small_images, config.depth)
        self.config = config
        self.layer5: nn.Sequential | None = None
        channels = [1024, 2048]
        if config.stage6:
            self.layer5 = stage(2048, 256, 3, stride=1, dilations=(config.stage6_dilation, config.stage6_dilation))
            channels.append(1024)
        self.reduce = nn.Linear(sum(channels) if config.multi_level else channels[-1], FEATURES)
        self.classifier = nn.Linear(FEATURES, classes)
        initialise(self)
        initialise_classifier(self.classifier)

    @property
    def views(self) -> tuple[View, ...]:
        """See the configuration."""
        return self.config.views

    def forward(self, image: Tensor, attention_maps: bool = False) -> SelfAttentionOutput:
        """(n, 3, 256, 128) plain images to logits, features and, if asked for, attention maps."""
        stages = list(self.stages_4_and_5(image))
        if self.layer5 is not None:
            stages.append(self.layer5(stages[-1]))
        # The mean of a concatenation is the concatenation of the means, without a copy of the feature maps.
        pooled = [level.mean((2, 3)) for level in (stages if self.config.multi_level else stages[-1:])]
        feature = self.reduce(torch.cat(pooled, 1))
        maps = tuple(attention_map(level) for level in stages) if attention_maps else ()
        return SelfAttentionOutput(self.classifier(feature), feature, maps)
