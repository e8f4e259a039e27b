"""What both networks are built from: convolutions, the bottleneck, fully connected layers.

`groups` counts equal networks that run side by side: their channels lie one after the other, every layer is
grouped, and no channel of one network reaches another. Weights are stacked along their first dimension, so that
slicing that dimension takes one network out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class GroupedConv2d(nn.Conv2d):
    """A convolution by groups, as one dense convolution on a GPU.

    cuDNN has fast kernels for dense convolutions alone. With channels as few as here, the products with zeros cost less
    than they save.
    """

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Conv2d`."""
        if self.groups == 1 or not input.is_cuda:
            return super().forward(input)
        weight = block_diagonal(self.weight, self.groups)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation)


def block_diagonal(weight: Tensor, groups: int) -> Tensor:
    """Weights (out, in / groups, h, w) of a convolution by groups, as those (out, in, h, w) of a dense one."""
    outputs, inputs, height, width = weight.shape
    each = weight.reshape(groups, outputs // groups, 1, inputs, height, width)
    of_group = torch.eye(groups, dtype=weight.dtype, device=weight.device).view(groups, 1, groups, 1, 1, 1)
    dense = (each * of_group).reshape(outputs, groups * inputs, height, width)
    # Weights of another layout would have everything after them computed in theirs.
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return dense.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Convolution that keeps the resolution at stride 1; channels are those of one group."""
    padding = dilation * (kernel - 1) // 2
    return GroupedConv2d(
        groups * in_channels, groups * out_channels, kernel, stride, padding, dilation, groups=groups, bias=bias
    )


def normed_conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """`conv` and a batch norm; channels are those of one group."""
    return nn.Sequential(
        conv(in_channels, out_channels, kernel, stride, groups=groups), nn.BatchNorm2d(groups * out_channels)
    )


class Bottleneck(nn.Module):
    """Residual unit of He et al. 2016: 1x1, 3x3 with the stride, 1x1, added to its input.

    Attribute names are torchvision's. Channels are those of one group.
    """

    def __init__(
        self, in_channels: int, width: int, out_channels: int, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, width, 1, groups=groups)
        self.bn1 = nn.BatchNorm2d(groups * width)
        self.conv2 = conv(width, width, 3, stride, dilation, groups)
        self.bn2 = nn.BatchNorm2d(groups * width)
        self.conv3 = conv(width, out_channels, 1, groups=groups)
        self.bn3 = nn.BatchNorm2d(groups * out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or in_channels != out_channels:
            self.downsample = normed_conv(in_channels, out_channels, 1, stride, groups)

    def forward(self, x: Tensor) -> Tensor:
        """(n, groups * in_channels, h, w) to (n, groups * out_channels, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x)).add_(identity)
        out: Tensor = self.relu(x)
        return out


class GroupedLinear(nn.Module):
    """A fully connected layer for each group.

    `weight` is (groups, out_features, in_features), `bias` (groups, out_features).
    """

    def __init__(self, in_features: int, out_features: int, groups: int = 1) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(groups, out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(n, groups, in_features) to (n, groups, out_features)."""
        return torch.einsum("ngi,goi->ngo", x, self.weight) + self.bias


def initialise(model: nn.Module) -> None:
    """Initialise convolutions per group: He et al. 2015 by the fan-out where a batch norm follows, else unit gain.

    Convolutions without a batch norm are those with a bias: the last of the attention masks, whose sigmoid must not
    start saturated. The last norm of every residual unit starts at zero (Goyal et al. 2017, section 5.1): units start
    as their shortcuts, and activations do not grow from one to the next. A learning rate of 0.1 needs that, and
    `initialise_classifier`.
    """
    for module in model.modules():
        if isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1]
            if module.bias is None:
                nn.init.normal_(module.weight, std=math.sqrt(2 * module.groups / (kernel * module.out_channels)))
            else:
                nn.init.normal_(module.weight, std=math.sqrt(module.groups / (kernel * module.in_channels)))
                nn.init.zeros_(module.bias)


def initialise_classifier(classifier: nn.Linear) -> None:
    """Initialise the last of two linear layers in a row almost at zero, with the deviation usual in re-identification.

    The feature below is linear in pooled activations with a large mean that all images share. With classes weighed at
    random, each batch pushes all features the same way, by the difference between its classes and an even spread. At a
    learning rate of 0.1 that push outgrows the feature within some steps.
    """
    nn.init.normal_(classifier.weight, std=0.001)
    nn.init.zeros_(classifier.bias)


@contextmanager
def without_weights() -> Iterator[None]:
    """Networks made in here have shapes only, on PyTorch's meta device; no time is lost on weights nobody asks for."""
    with torch.device("meta"), _NoInitialisation():
        yield


class _NoInitialisation(TorchFunctionMode):
    """Has `torch.nn.init` do nothing, which on the meta device takes longer than on any other."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function of PyTorch, or hand back the tensor that it was to fill."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
