"""From uint8 batches to network input, on the training device, a whole batch at a time.

The papers' recipe is channel-mean subtraction alone; every augmentation is off unless switched on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from reidprep.shards.format import VIEWS
from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import Batch

_ERASED_AREA = (0.02, 0.4)
_ERASED_ASPECT = 0.3

Strength = Annotated[float, Field(ge=0, le=1, strict=True)]
"""Strength of a change, from 0, off, to 1."""


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class Augmentation:
    """Switches of the random changes to training images; 0 is off.

    Attributes:
        horizontal_flip: probability that a sample is mirrored, all its views together. Parts are bands of the body
            from top to bottom, so none changes its place.
        pad_and_crop: pad each image by this fraction of its width on all sides with the channel mean, and cut a
            random window of the old size; drawn anew for every image, each part included.
        random_erasing: probability that a random rectangle of an image is set to the channel mean, 2 to 40 % of its
            area, height / width 0.3 to 1 / 0.3, sides cut to the image's; drawn anew for every image, each part
            included (Zhong et al., AAAI 2020).
        brightness: values are multiplied by a factor from 1 - this to 1 + this.
        contrast: the same for the distance to the image's mean grey.
        saturation: the same for the distance of each pixel to its own grey. The three factors are drawn once per
            sample, for all its views; each step is cut to 0 to 255.
    """

    horizontal_flip: Strength = 0.0
    pad_and_crop: Strength = 0.0
    random_erasing: Strength = 0.0
    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return any(getattr(self, field.name) > 0 for field in fields(self))


@dataclass(frozen=True)
class ChannelMeans:
    """Mean red, green and blue, 0 to 255, of the training images.

    Attributes:
        whole: of the whole-body crops.
        parts: of each of the four parts.
        image: of the plain images, None where the shards have none.
    """

    whole: tuple[float, float, float]
    parts: tuple[tuple[float, float, float], ...]
    image: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, *sets: ShardSet) -> ChannelMeans:
        """The means measured when the shards were built; of several, every training image counts as much."""
        means = [cls(**vars(shards.summary.channel_means)) for shards in sets]
        if len(means) == 1:
            return means[0]
        shares = np.array([max(1, len(shards)) for shards in sets], np.float64)

        def mean(view: str) -> Any:
            values = [getattr(each, view) for each in means]
            return None if None in values else np.average(values, axis=0, weights=shares).round(3).tolist()

        return cls(*(mean(view) for view in VIEWS))


class Preprocessor(nn.Module):
    """Turn a uint8 batch into (value - channel mean) / divisor, float32, with random changes if switched on.

    As with other modules, `eval()` switches the random changes off.

    The order is: flip, resize, colour jitter, mean subtraction, pad-and-crop, erasing. The means are buffers: they
    follow the module to its device and into the state dict, so that a model keeps those it was trained with.

    Args:
        means: of the training images.
        augmentation: what to change at random; nothing by default.
        divisor: 255 leaves a range of at most 1; about 57 fits weights trained on ImageNet by torchvision, which
            divide by 255 and then by standard deviations near 0.225.
        sizes: height and width of the network's input for each view, a part's for `parts`; views without stay as they
            are stored.
    """

    def __init__(
        self,
        means: ChannelMeans,
        augmentation: Augmentation | None = None,
        *,
        divisor: float = 255.0,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.augmentation = augmentation or Augmentation()
        self.divisor = divisor
        self.sizes = dict(sizes or {})
        for view in VIEWS:
            mean = getattr(means, view)
            self.register_buffer(f"{view}_mean", None if mean is None else torch.tensor(mean)[..., None, None])

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Batch:
        """Preprocess all views of a batch.

        Args:
            batch: uint8 views, on the module's device.
            generator: source of all random decisions, required if the augmentation is active. One on the CPU decides
                the same for every device; one on the batch's device saves small copies that the host waits for.

        Raises:
            ValueError: an active augmentation without a generator.
        """
        if not (self.training and self.augmentation.active):
            return batch.map_views(self._resize).map_views(self._subtract_mean)
        if generator is None:
            raise ValueError("augmentation needs a generator")
        draws = _Draws(generator, batch.labels.device)
        if self.augmentation.horizontal_flip:
            flipped = draws.uniform(len(batch)) < self.augmentation.horizontal_flip
            batch = batch.map_views(lambda _, images: flip(images, flipped))
        batch = batch.map_views(self._resize)
        for name, adjust in _COLOUR_JITTER.items():
            if strength := getattr(self.augmentation, name):
                factor = draws.uniform(len(batch), 1 - strength, 1 + strength)
                batch = batch.map_views(partial(_adjusted, adjust, factor))
        batch = batch.map_views(self._subtract_mean)
        return batch.map_views(lambda _, images: self._move_and_erase(images, draws))

    def _resize(self, view: str, images: Tensor) -> Tensor:
        # Flip and resize come first, while pixels are uint8: the flip is cheapest on the fewer pixels that are stored,
        # and a CPU resizes uint8 fast. Windows and rectangles are cut later, by whole pixels of the network's input.
        return resize(images, self.sizes.get(view))

    def _subtract_mean(self, view: str, images: Tensor) -> Tensor:
        mean: Tensor = getattr(self, f"{view}_mean")
        # In a tensor of its own, in place: on a CPU, fresh memory costs more than the arithmetic.
        return images.to(torch.float32, copy=True).sub_(mean).div_(self.divisor)

    def _move_and_erase(self, images: Tensor, draws: _Draws) -> Tensor:
        """Change every image by itself, each of a sample's parts included."""
        shape, images = images.shape, images.flatten(0, -4)
        number, _, height, width = images.shape
        if padding := round(self.augmentation.pad_and_crop * width):
            top, left = (draws.integers(2 * padding + 1, number) for _ in range(2))
            images = pad_and_crop(images, padding, top, left)
        if self.augmentation.random_erasing:
            images = erase(images, *draws.rectangles(self.augmentation.random_erasing, number, height, width))
        return images.view(shape)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply (n, ..., 3, height, width) images, 0 to 255, by (n,) factors; cut to 0 to 255, as the next two do."""
    return (images * _per_sample(factor, images)).clamp(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the distance of all values to the mean grey of their image."""
    return _scale_from(grey(images).mean(dim=(-2, -1), keepdim=True), images, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the distance of each pixel's values to its grey."""
    return _scale_from(grey(images), images, factor)


_COLOUR_JITTER = {"brightness": adjust_brightness, "contrast": adjust_contrast, "saturation": adjust_saturation}


def grey(images: Tensor) -> Tensor:
    """(..., 1, height, width) luma, ITU-R BT.601, of (..., 3, height, width) RGB images."""
    red, green, blue = images.unbind(dim=-3)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)


def resize(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Bring uint8 images to another height and width, all of them in one call; None leaves them as they are.

    Bilinear, averaging over all that a pixel covers where a side shrinks. Channels-last memory stays so.

    Args:
        images: (..., 3, height, width) uint8.
        size: height and width.

    Returns:
        float32, or uint8 on a CPU: rounded as crops stored at full size are, and over ten times as fast.
    """
    height, width = images.shape[-2:]
    if size is None or tuple(size) == (height, width):
        return images
    flat = images.flatten(0, -4)
    resized = F.interpolate(
        flat if flat.device.type == "cpu" else flat.float(),
        tuple(size),
        mode="bilinear",
        align_corners=False,
        antialias=size[0] < height or size[1] < width,
    )
    return resized.view(*images.shape[:-2], *size)


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror those of n samples (n, ..., width) that are marked in the (n,) bool `flipped`."""
    return torch.where(_per_sample(flipped, images), images.flip(-1), images)


def pad_and_crop(images: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Cut windows of the old size out of images padded with zeros.

    Args:
        images: (n, channels, height, width).
        padding: pixels on each side.
        top: (n,) int64 first row of each window in its padded image, 0 to 2 * `padding`.
        left: (n,) int64 first column.
    """
    number, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    sample = torch.arange(number, device=images.device)[:, None, None]
    rows = top[:, None, None] + torch.arange(height, device=images.device)[:, None]
    columns = left[:, None, None] + torch.arange(width, device=images.device)
    return padded.movedim(1, -1)[sample, rows, columns].movedim(-1, 1)


def erase(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Set a rectangle of each of (n, channels, rows, columns) images to zero; a height of 0 changes nothing.

    Args:
        images: (n, channels, rows, columns).
        top: (n,) first row.
        left: (n,) first column.
        height: (n,) rows.
        width: (n,) columns.
    """
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(images.shape[-1], device=images.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + height)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + width)[:, None])
    # Unlike masked_fill, this keeps channels-last memory.
    return torch.where((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0, images)


class _Draws:
    """Random numbers from one generator, as tensors on one device."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator = generator
        self.device = device

    def uniform(self, number: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(number,) float32 between `low` and `high`."""
        values = torch.rand(number, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * values).to(self.device, non_blocking=True)

    def integers(self, count: int | Tensor, number: int) -> Tensor:
        """(number,) int64 from 0 to `count` - 1; `count` may differ from one to the next."""
        drawn = (self.uniform(number) * count).long()
        # The product may round up to `count` itself.
        return drawn.clamp(max=count - 1) if isinstance(count, int) else torch.minimum(drawn, count - 1)

    def rectangles(self, probability: float, number: int, height: int, width: int) -> tuple[Tensor, ...]:
        """Top, left, height and width, (number,) int64 each, of rectangles to erase; the height of others is 0."""
        area = self.uniform(number, *_ERASED_AREA) * height * width
        aspect = self.uniform(number, math.log(_ERASED_ASPECT), -math.log(_ERASED_ASPECT)).exp()
        rows = (area * aspect).sqrt().round().long().clamp(1, height)
        columns = (area / aspect).sqrt().round().long().clamp(1, width)
        top, left = self.integers(height - rows + 1, number), self.integers(width - columns + 1, number)
        erased = self.uniform(number) < probability
        return top, left, rows * erased, columns


def _adjusted(adjust: Callable[[Tensor, Tensor], Tensor], factor: Tensor, view: str, images: Tensor) -> Tensor:
    return adjust(images.float(), factor)


def _per_sample(values: Tensor, images: Tensor) -> Tensor:
    return values.view(-1, *[1] * (images.ndim - 1))


def _scale_from(origin: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (origin + (images - origin) * _per_sample(factor, images)).clamp(0, 255)
