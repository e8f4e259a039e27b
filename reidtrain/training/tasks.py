"""What is learnt: images with classes, and how the model is scored meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from reidprep.errors import ReidError
from reidprep.shards.format import View
from reidprep.shards.reader import ShardSet
from reidprep.store.fields import plain
from reidprep.store.manifest import MANIFEST
from reidtrain.data.dataset import Item, ShardDataset
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.data.sets import LabelledSamples, NamedShards, check_together, open_sets
from reidtrain.data.splits import choose_of_each
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


def identities_task(shards: Path | Sequence[Path], recipe: Recipe, views: Sequence[View]) -> Task:
    """Learn to tell the training identities of a shard directory, or of several, apart.

    Those of several are all different people, and their order does not matter. A network is validated on each; the
    score by which the best epoch is chosen is the mean.

    Args:
        shards: the directory or directories.
        recipe: how many identities to train on and to hold out, of all together.
        views: crops the network takes.

    Raises:
        ReidError: crops are missing, too few identities, nothing to validate on, or directories that do not go
            together.
    """
    sets = open_sets([shards] if isinstance(shards, Path) else shards, "train")
    check_together(sets)
    trains = [each.shards for each in sets]
    datasets = [ShardDataset(train, views) for train in trains]
    chosen = choose_of_each(trains, recipe.identities, recipe.validation.identities, recipe.seed)
    held_out = any(unseen for _, unseen in chosen)
    scored: list[tuple[NamedShards, RankedImages]] = []
    if recipe.validation.every:
        scored = _scored_images(sets, [unseen for _, unseen in chosen] if held_out else None)
    people = [(number, pid) for number, (trained, _) in enumerate(chosen) for pid in trained]
    classes = {person: label for label, person in enumerate(people)}
    rows = [np.flatnonzero(np.isin(train.pids, trained)) for train, (trained, _) in zip(trains, chosen, strict=True)]
    of_set = np.repeat(np.arange(len(sets)), [len(own) for own in rows])
    pids = np.concatenate([train.pids[own] for train, own in zip(trains, rows, strict=True)])
    labels = np.array([classes[person] for person in zip(of_set.tolist(), pids.tolist(), strict=True)], dtype=np.int64)
    first = trains[0]
    return Task(
        dataset=LabelledSamples(datasets, of_set, np.concatenate(rows), labels),
        labels=labels,
        classes=len(classes),
        means=ChannelMeans.of(*trains),
        source={
            "kind": "shards",
            **_traced(sets, rows),
            "schema": [first.manifest.schema.name, first.manifest.schema.version],
            "alignment": first.plan.alignment,
            "plan": plain(first.plan),
            "images": len(labels),
            "validation": _how(scored, held_out),
        },
        class_names=tuple(sets[number].person(pid) for number, pid in people),
        validate=_validation(scored, views) if scored else None,
        validation_images=sum(len(np.union1d(images.query, images.gallery)) for _, images in scored),
        monitor="mAP",
    )


def _traced(sets: Sequence[NamedShards], rows: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    """Which shards, by their hashes."""
    entries = {
        each.name: {
            "path": str(each.path),
            "manifest_sha256": hashlib.sha256((each.path / MANIFEST).read_bytes()).hexdigest(),
        }
        for each in sets
    }
    if len(sets) == 1:
        return entries[sets[0].name]
    return {
        "sets": {name: {**entry, "images": len(own)} for (name, entry), own in zip(entries.items(), rows, strict=True)}
    }


def _how(scored: Sequence[tuple[NamedShards, RankedImages]], held_out: bool) -> str:
    if not scored:
        return "none"
    ignored = any(images.protocol == "no-cameras" for _, images in scored)
    names = [each.name for each, _ in scored if each.name]
    on = "held-out identities" if held_out else "test"
    return on + (f" of {' and '.join(names)}" if names else "") + (CAMERAS_IGNORED if ignored else "")


CAMERAS_IGNORED = ", cameras ignored"
"""Said of a validation by the protocol `no-cameras`."""


def _scored_images(
    sets: Sequence[NamedShards], held_out: Sequence[Sequence[int]] | None
) -> list[tuple[NamedShards, RankedImages]]:
    """What to validate on: of each set the identities held out, else its query and gallery splits.

    Without cameras where all images are of one. Of several sets those count that have something to score.
    """
    instead = _OR_NOT_ON_TEST if held_out is None else _OR_OTHERS
    scored: list[tuple[NamedShards, RankedImages]] = []
    problems: list[ReidError] = []
    for number, each in enumerate(sets):
        try:
            if held_out is None:
                images = query_gallery_images(each.path, instead=instead)
            else:
                images = RankedImages.held_out(each.shards, held_out[number])
            cameras = np.unique(images.shards.camids[np.union1d(images.query, images.gallery)])
            images = images.under("no-cameras" if len(cameras) == 1 else "market1501")
            images.require_match(_protocol(images), instead)
            scored.append((each, images))
        except ReidError as error:
            problems.append(error)
    if not scored:
        raise problems[0]
    return scored


def _protocol(images: RankedImages) -> Protocol:
    """By which a validation is scored, whatever the dataset."""
    return "no-cameras" if images.protocol == "no-cameras" else "market1501"


def _validation(
    scored: Sequence[tuple[NamedShards, RankedImages]], views: Sequence[View]
) -> Callable[[Computer], dict[str, float]]:
    """Scores the embedding on some images: of several sets the mean, and the mAP on each."""

    def validate(compute: Computer) -> dict[str, float]:
        def embed(samples: ShardSet, rows: NDArray[np.int64], _: object) -> Features:
            return Features.of(samples, rows, compute(ShardDataset(samples, views), plain_features, rows))

        found = [score(*images.features(embed), Scoring(_protocol(images))).named() for _, images in scored]
        names = ("rank1", "rank5", "mAP", "mINP")
        means = {name: sum(scores[name] for scores in found) / len(found) for name in names}
        each = {f"mAP {of.name}": scores["mAP"] for (of, _), scores in zip(scored, found, strict=True) if of.name}
        return means | each

    return validate
