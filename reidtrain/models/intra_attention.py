"""The attention path of blocks 2-4 (Yang et al., Attention Driven Person Re-identification, section 3.3, Fig. 5)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidtrain.models.layers import Bottleneck, conv, normed_conv

Attention = Literal["decomposed", "plain", "none"]


class EncoderDecoder(nn.Module):
    """Confidence scores A of the block's input v: down by max-pooling and residual units, up with additive skips.

    Keeps channels and resolution. Channels are those of one group.
    """

    def __init__(self, channels: int, width: int, poolings: int, groups: int = 1) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.encoder = nn.ModuleList(Bottleneck(channels, width, channels, groups=groups) for _ in range(poolings))

    def forward(self, v: Tensor) -> Tensor:
        """(n, groups * channels, h, w) to the same shape."""
        levels = [v]
        for unit in self.encoder:
            levels.append(unit(self.pool(levels[-1])))
        scores = levels.pop()
        for skip in reversed(levels):
            wide = F.interpolate(scores, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            # Autocast interpolates in float32, and the sum would then be float32, too.
            scores = skip + wide.to(skip.dtype)
        return scores


class DecomposedMask(nn.Module):
    """m = sigmoid(1x1 conv(S x C)), with spatial attention S and channel attention C (Eq. 6).

    S = conv(A) has one channel per group and takes the block's stride; C = conv(average pool(A)). As every
    convolution of the base network, both are followed by a batch norm: the scores A are sums of what was rectified,
    and their product would drive the sigmoid to 0 or 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.groups = groups
        self.spatial = normed_conv(in_channels, 1, 3, stride, groups)
        self.channel = normed_conv(in_channels, out_channels, 1, 1, groups)
        self.mix = conv(out_channels, out_channels, 1, groups=groups, bias=True)

    def forward(self, scores: Tensor) -> Tensor:
        """(n, groups * in_channels, h, w) to (n, groups * out_channels, h / stride, w / stride), in 0 to 1."""
        spatial = self.spatial(scores).unsqueeze(2)
        channel = self.channel(F.adaptive_avg_pool2d(scores, 1))
        # S has one channel, so mix(S x C) = S x mix(C): the 1x1 convolution runs on one position, not on all.
        mixed = F.conv2d(channel, self.mix.weight, groups=self.groups)
        assert self.mix.bias is not None
        # Under autocast a float32 bias would make the mask, and with it the block and all that follows, float32.
        bias = self.mix.bias.to(spatial.dtype)
        per_group = (-1, self.groups, self.mix.out_channels // self.groups, 1, 1)
        return torch.sigmoid(torch.addcmul(bias.view(per_group), spatial, mixed.view(per_group))).flatten(1, 2)


class PlainMask(nn.Module):
    """m = sigmoid(1x1 conv(conv(A))): attention without decomposition (Table 8).

    The first convolution is that of the spatial attention, with a channel of its own for every output channel.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.dense = normed_conv(in_channels, out_channels, 3, stride, groups)
        self.mix = conv(out_channels, out_channels, 1, groups=groups, bias=True)

    def forward(self, scores: Tensor) -> Tensor:
        """(n, groups * in_channels, h, w) to (n, groups * out_channels, h / stride, w / stride), in 0 to 1."""
        return torch.sigmoid(self.mix(self.dense(scores)))


class IntraAttention(nn.Module):
    """Attention mask m of a block from its input v: m = M(v) (Eq. 4)."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int,
        poolings: int,
        attention: Literal["decomposed", "plain"],
        groups: int = 1,
    ) -> None:
        super().__init__()
        mask = DecomposedMask if attention == "decomposed" else PlainMask
        self.scores = EncoderDecoder(in_channels, width, poolings, groups)
        self.mask = mask(in_channels, out_channels, stride, groups)

    def forward(self, v: Tensor) -> Tensor:
        """(n, groups * in_channels, h, w) to (n, groups * out_channels, h / stride, w / stride), in 0 to 1."""
        mask: Tensor = self.mask(self.scores(v))
        return mask
