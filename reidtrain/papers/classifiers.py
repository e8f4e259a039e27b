"""The image classifiers that Table 12 of the attention-driven paper lists, layer by layer as published.

They are counted, not trained: activations, local response norms and dropout, which have no weights and no
multiply-adds, are left out. Each ends in a layer called `classifier`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


def alexnet(groups: int = 2) -> nn.Module:
    """AlexNet (Krizhevsky et al. 2012, Fig. 2) for 224x224 images.

    Args:
        groups: 2 as published, where two GPUs hold half of the channels each; 1 connects them.
    """
    return _classifier(
        4096,
        _conv(3, 96, 11, stride=4, padding=2),
        nn.MaxPool2d(3, 2),
        _conv(96, 256, 5, groups=groups),
        nn.MaxPool2d(3, 2),
        _conv(256, 384, 3),
        _conv(384, 384, 3, groups=groups),
        _conv(384, 256, 3, groups=groups),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.Linear(4096, 4096),
    )


def vgg16() -> nn.Module:
    """VGG with 16 layers (Simonyan and Zisserman 2015, Table 1, column D) for 224x224 images."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers.append(_conv(channels, width, 3))
            channels = width
        layers.append(nn.MaxPool2d(2))
    return _classifier(4096, *layers, nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.Linear(4096, 4096))


class Inception(nn.Module):
    """Four convolutions side by side (Szegedy et al. 2015, Fig. 2b).

    Args:
        channels: of the input.
        one: channels of the 1x1 convolution.
        three: of the reduction before the 3x3 convolution, and of this.
        five: of the reduction before the 5x5 convolution, and of this.
        pool: of the 1x1 convolution after the pooling.
    """

    def __init__(self, channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            [
                _conv(channels, one, 1),
                nn.Sequential(_conv(channels, three[0], 1), _conv(*three, 3)),
                nn.Sequential(_conv(channels, five[0], 1), _conv(*five, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _conv(channels, pool, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the channels of all four."""
        return torch.cat([path(x) for path in self.paths], 1)


def googlenet() -> nn.Module:
    """GoogLeNet (Szegedy et al. 2015, Table 1) without the auxiliary classifiers of its training."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, padding=1)

    return _classifier(
        1024,
        _conv(3, 64, 7, stride=2),
        pool(),
        _conv(64, 64, 1),
        _conv(64, 192, 3),
        pool(),
        Inception(192, 64, (96, 128), (16, 32), 32),
        Inception(256, 128, (128, 192), (32, 96), 64),
        pool(),
        Inception(480, 192, (96, 208), (16, 48), 64),
        Inception(512, 160, (112, 224), (24, 64), 64),
        Inception(512, 128, (128, 256), (24, 64), 64),
        Inception(512, 112, (144, 288), (32, 64), 64),
        Inception(528, 256, (160, 320), (32, 128), 128),
        pool(),
        Inception(832, 256, (160, 320), (32, 128), 128),
        Inception(832, 384, (192, 384), (48, 128), 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int | None = None, groups: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2 if padding is None else padding, groups=groups
    )


def _classifier(features: int, *layers: nn.Module) -> nn.Module:
    """The layers and, on their `features`, the classes of ImageNet."""
    return nn.Sequential(OrderedDict(layers=nn.Sequential(*layers), classifier=nn.Linear(features, 1000)))
