"""Image classification sets as samples of the networks' views, so that they are trained on like shards."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from reidprep.errors import ImageError, ReidError
from reidprep.images import crop_box
from reidprep.shards.format import VIEWS, View
from reidprep.skeleton import PARTS
from reidtrain.data.classification.base import ClassificationData, ClassificationSplit
from reidtrain.data.dataset import Item
from reidtrain.data.preprocessing import ChannelMeans

MOST_REPLACED = 10
"""Unreadable images in a row after which reading gives up: the fault is not one of single files then."""
MOST_UNREADABLE = 0.1
"""Share of the images looked at for the channel means that may be unreadable."""


class ClassificationDataset(Dataset[Item]):
    """The images of one split, for a `reidtrain.data.dataset.BatchLoader`.

    Every view shows the image resized as a whole, its aspect not kept: `whole` and `image` all of it, `parts` its four
    equal horizontal strips (`reidprep.alignment.boxes.strip_boxes`). The label stands for the person; the camera is 0.

    An image that cannot be read is replaced by the next of its class, the same in every epoch, with a warning that
    names it: one damaged file among a million must not end a run of days.

    Args:
        root: the folder that names are relative to, for messages.
        split: the images.
        views: what to return of each.
        sizes: (height, width) of each view, in pixels; of `parts` that of one.

    Raises:
        ReidError: an unknown view.
    """

    def __init__(
        self, root: Path, split: ClassificationSplit, views: Sequence[View], sizes: Mapping[str, tuple[int, int]]
    ) -> None:
        if unknown := [view for view in views if view not in VIEWS]:
            raise ReidError(f"unknown view {unknown[0]!r}; choose from {', '.join(VIEWS)}")
        self.root = root
        self.images = split.images
        self.labels = split.labels
        self.views = tuple(views)
        self._sizes = {
            view: (len(PARTS) * sizes[view][0], sizes[view][1]) if view == "parts" else sizes[view] for view in views
        }

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        """Read and resize one image.

        Raises:
            IndexError: out of range.
            ReidError: neither it nor the next of its class can be read; names the first.
        """
        index = range(len(self))[index]
        pixels = self._readable(index)
        # The strips of an image at their size are the rows of the whole image at its: one resize where sizes agree.
        resized = {size: torch.from_numpy(_resized(pixels, size)) for size in set(self._sizes.values())}
        views = {view: resized[size] for view, size in self._sizes.items()}
        if "parts" in views:
            views["parts"] = views["parts"].reshape(len(PARTS), -1, *views["parts"].shape[1:])
        label = int(self.labels[index])
        return Item(
            whole=views.get("whole"),
            parts=views.get("parts"),
            image=views.get("image"),
            label=label,
            pid=label,
            camid=0,
            index=index,
        )

    def _readable(self, index: int) -> NDArray[np.uint8]:
        try:
            return self.images.read(index)
        except ImageError as error:
            reason = str(error)
        name = self.root / self.images.name(index)
        same = np.flatnonzero(self.labels == self.labels[index])
        after = np.roll(same, -1 - int(np.searchsorted(same, index)))
        for other in after[: min(MOST_REPLACED, len(same) - 1)].tolist():
            try:
                pixels = self.images.read(other)
            except ImageError:
                continue
            warnings.warn(f"{name}: {reason}; {self.images.name(other)} takes its place", stacklevel=2)
            return pixels
        raise ReidError(
            f"{name}: {reason}, and no other image of its class that was tried can be read; "
            "check that the disk is still there and the data set whole"
        )


def classification_dataset(
    data: ClassificationData, split: str, views: Sequence[View], sizes: Mapping[str, tuple[int, int]]
) -> ClassificationDataset:
    """One split, `train` or `val`, as the samples of a network; see `ClassificationDataset`.

    Raises:
        ReidError: the data set lacks the split, or a view is unknown.
    """
    return ClassificationDataset(data.root, data.split(split), views, sizes)


def channel_means(data: ClassificationData, random: np.random.Generator, *, images: int = 2000) -> ChannelMeans:
    """Mean red, green and blue over a random sample of the training images, each image of equal weight.

    Also a first look at the files: damaged ones are left out, but too many end the run before it starts.

    Args:
        data: the data set.
        random: draws the sample; the same generator, the same means.
        images: size of the sample; all images if there are not more.

    Returns:
        The means of the whole image, for `whole` and `image`, and of its four strips.

    Raises:
        ReidError: more than `MOST_UNREADABLE` of the sample cannot be read; names the first.
    """
    train = data.train
    sample = np.sort(random.choice(len(train), min(images, len(train)), replace=False))
    strips, unreadable = [], []
    for index in sample.tolist():
        try:
            strips.append(_strip_means(train.images.read(index)))
        except ImageError as error:
            unreadable.append(f"{train.images.name(index)}: {error}")
    if len(unreadable) > MOST_UNREADABLE * len(sample):
        raise ReidError(
            f"{data.root}: {len(unreadable):,} of {len(sample):,} training images that were tried cannot be read, "
            f"first {unreadable[0]}; repair or remove them"
        )
    parts = np.mean(strips, axis=0)
    red, green, blue = parts.mean(axis=0).tolist()
    return ChannelMeans(
        whole=(red, green, blue),
        parts=tuple((r, g, b) for r, g, b in parts.tolist()),
        image=(red, green, blue),
    )


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image resampled as the crops of shards are; its edges blend into its mean colour."""
    return crop_box(image, (0, 0, image.shape[1], image.shape[0]), size, cv2.mean(image)[:3])


def _strip_means(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(parts, 3) mean colour of each of the equal horizontal strips; a row cut by an edge counts in parts."""
    height = len(image)
    rows = image.mean(axis=1, dtype=np.float64)
    sums = np.concatenate([np.zeros((1, 3)), rows.cumsum(axis=0)])
    edges = np.linspace(0, height, len(PARTS) + 1)
    at_edges = np.stack([np.interp(edges, np.arange(height + 1), sums[:, channel]) for channel in range(3)], axis=1)
    strips: NDArray[np.float64] = np.diff(at_edges, axis=0) * len(PARTS) / height
    return strips
