"""ResNet-50 (He et al., Deep Residual Learning for Image Recognition, Table 1) with torchvision's parameter names.

The stages are conv1 and conv2x-conv5x; in code, as in torchvision, `conv1` and `layer1` to `layer4`. The stride of a
unit is in its 3x3 convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Bottleneck, conv, initialise


def stage(in_channels: int, width: int, units: int, stride: int, dilations: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """Residual units of `width` -> 4 * `width` channels; the dilations are those of the first unit and of the rest."""
    first, rest = dilations
    return nn.Sequential(
        Bottleneck(in_channels, width, 4 * width, stride, first),
        *(Bottleneck(4 * width, width, 4 * width, dilation=rest) for _ in range(units - 1)),
    )


class ResNetStages(nn.Module):
    """Stages 1-5 of ResNet-50: 1/32 of the resolution, or 1/8 with dilation.

    With dilation, stages 4 and 5 keep the resolution of stage 3. Every 3x3 convolution that came after a removed
    stride is dilated by it, 2 in stage 4 and 4 in stage 5, so receptive fields and pre-trained weights stay valid; the
    first unit of a stage still sees its predecessor's spacing.

    With small images, stage 1 keeps the resolution: a 3x3 convolution of stride 1 and no pooling, as He et al. begin
    their networks for CIFAR (section 4.2). All later resolutions are four times as high, to 1/8, or 1/2 with dilation.
    """

    def __init__(self, dilation: bool = False, small_images: bool = False) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 3) if small_images else conv(3, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(64, 64, 3, stride=1)
        self.layer2 = stage(256, 128, 4, stride=2)
        if dilation:
            self.layer3 = stage(512, 256, 6, stride=1, dilations=(1, 2))
            self.layer4 = stage(1024, 512, 3, stride=1, dilations=(2, 4))
        else:
            self.layer3 = stage(512, 256, 6, stride=2)
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
