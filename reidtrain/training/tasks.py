"""What is learnt: images with classes, and how the model is scored meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from reidprep.shards.format import View
from reidprep.shards.reader import ShardSet
from reidprep.store.fields import plain
from reidprep.store.manifest import MANIFEST
from reidtrain.data.dataset import Item, ShardDataset
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.data.splits import choose_identities
from reidtrain.evaluation.images import RankedImages, query_gallery_images
from reidtrain.evaluation.scoring import Scoring, score
from reidtrain.features.extractor import Computer, plain_features
from reidtrain.features.files import Features
from reidtrain.metrics.protocols import Protocol
from reidtrain.recipes.schema import Recipe

_OR_NONE = "switch validation off by --set validation.every=0"
_OR_NOT_ON_TEST = f"hold training identities out to validate on, such as --set validation.identities=50, or {_OR_NONE}"
_OR_OTHERS = f"hold more identities out by validation.identities, or {_OR_NONE}"


@dataclass(frozen=True)
class Task:
    """Training images and what they are for.

    Attributes:
        dataset: the training images, with labels from 0 to `classes` - 1.
        labels: (images,) int64, those labels.
        classes: how many.
        means: of the training images.
        source: what the result is traced by, as plain values: kind, path, hashes.
        class_names: of each class, such as the person ids.
        validate: scores a model on other images, higher is better; None where there are none.
        validation_images: how many of them.
        monitor: the score by which the best epoch is chosen.
    """

    dataset: Dataset[Item]
    labels: NDArray[np.int64]
    classes: int
    means: ChannelMeans
    source: Mapping[str, Any]
    class_names: tuple[str, ...]
    validate: Callable[[Computer], dict[str, float]] | None
    validation_images: int
    monitor: str


class _Relabelled(Dataset[Item]):
    """Some samples of a dataset, with labels of their own."""

    def __init__(self, dataset: Dataset[Item], indices: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        self.dataset = dataset
        self.indices = indices
        self.labels = labels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        item = self.dataset[int(self.indices[index])]
        return replace(item, label=int(self.labels[index]), index=index)


def identities_task(shards: Path, recipe: Recipe, views: Sequence[View]) -> Task:
    """Learn to tell the training identities of a shard directory apart.

    Args:
        shards: the directory.
        recipe: how many identities to train on and to hold out.
        views: crops the network takes.

    Raises:
        ReidError: crops are missing, too few identities, or nothing to validate on.
    """
    train = ShardSet.open(shards, "train")
    dataset = ShardDataset(train, views)
    trained, held_out = choose_identities(train, recipe.identities, recipe.validation.identities, recipe.seed)
    scored = _scored_images(shards, train, held_out) if recipe.validation.every else None
    classes = {pid: label for label, pid in enumerate(trained)}
    indices = np.flatnonzero(np.isin(train.pids, trained))
    labels = np.array([classes[pid] for pid in train.pids[indices].tolist()], dtype=np.int64)
    return Task(
        dataset=_Relabelled(dataset, indices, labels),
        labels=labels,
        classes=len(trained),
        means=ChannelMeans.of(train),
        source={
            "kind": "shards",
            "path": str(shards),
            "manifest_sha256": hashlib.sha256((shards / MANIFEST).read_bytes()).hexdigest(),
            "schema": [train.manifest.schema.name, train.manifest.schema.version],
            "alignment": train.plan.alignment,
            "plan": plain(train.plan),
            "images": len(indices),
            "validation": "none"
            if scored is None
            else ("held-out identities" if held_out else "test")
            + (CAMERAS_IGNORED if scored.protocol == "no-cameras" else ""),
        },
        class_names=tuple(str(pid) for pid in trained),
        validate=None if scored is None else _validation(scored, views),
        validation_images=0 if scored is None else len(np.union1d(scored.query, scored.gallery)),
        monitor="mAP",
    )


CAMERAS_IGNORED = ", cameras ignored"
"""Said of a validation by the protocol `no-cameras`."""


def _scored_images(shards: Path, train: ShardSet, held_out: Sequence[int]) -> RankedImages:
    """The identities held out, else the query and gallery splits; without cameras where all images are of one."""
    if held_out:
        images, instead = RankedImages.held_out(train, held_out), _OR_OTHERS
    else:
        images, instead = query_gallery_images(shards, instead=_OR_NOT_ON_TEST), _OR_NOT_ON_TEST
    cameras = np.unique(images.shards.camids[np.union1d(images.query, images.gallery)])
    images = images.under("no-cameras" if len(cameras) == 1 else "market1501")
    images.require_match(_protocol(images), instead)
    return images


def _protocol(images: RankedImages) -> Protocol:
    """By which a validation is scored, whatever the dataset."""
    return "no-cameras" if images.protocol == "no-cameras" else "market1501"


def _validation(images: RankedImages, views: Sequence[View]) -> Callable[[Computer], dict[str, float]]:
    """Scores the embedding on some images."""

    def validate(compute: Computer) -> dict[str, float]:
        def embed(samples: ShardSet, rows: NDArray[np.int64], _: object) -> Features:
            return Features.of(samples, rows, compute(ShardDataset(samples, views), plain_features, rows))

        scores = score(*images.features(embed), Scoring(_protocol(images))).named()
        return {name: scores[name] for name in ("rank1", "rank5", "mAP", "mINP")}

    return validate
