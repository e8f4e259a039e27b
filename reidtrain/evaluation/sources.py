"""Features to rank by: from a file, or computed by a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet
from reidtrain.evaluation.images import query_gallery_images
from reidtrain.features.files import ABOUT_FILE, EMBEDDING
from reidtrain.features.numpy_files import NPZ

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.features.extractor import Computing


@dataclass(frozen=True)
class Source:
    """Features to rank by: an `.npz` file, checkpoint or run folder, and the shards it is for."""

    path: Path
    shards: Path


def compared_features(
    sources: Sequence[Source],
    computing: Computing | None = None,
    progress: Progress = unseen,
    which: Which = "last",
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Features by which the same images are ranked in several ways.

    Args:
        sources: whose shards hold the same query and gallery images, in whatever crops.
        computing: how models compute.
        progress: called with images done and in total, for each model that computes.
        which: checkpoint of run folders, `last` or `best`.

    Returns:
        Label of each source -> features of the query and of the gallery split, (images, dimension) each.

    Raises:
        ReidError: as `split_features`; shards of different images; or a source that is given twice.
    """
    first = sources[0].shards
    for source in sources[1:]:
        for split in ("query", "gallery"):
            ours, theirs = (ShardSet.open(path, split).column("paths") for path in (first, source.shards))
            if not np.array_equal(ours, theirs):
                raise ReidError(f"the {split} images of {first} and {source.shards} differ; give shards of one dataset")
    one = all(source.shards == first for source in sources)
    labels = [str(source.path) if one else f"{source.path} on {source.shards}" for source in sources]
    if len(set(labels)) < len(labels):
        raise ReidError(f"{labels[0]} would be compared with itself; give another --against")
    return {
        label: split_features(source.path, source.shards, computing, progress, which)
        for label, source in zip(labels, sources, strict=True)
    }


def split_features(
    path: Path,
    shards: Path,
    computing: Computing | None = None,
    progress: Progress = unseen,
    which: Which = "last",
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features of the query and of the gallery split, in the order of the shards.

    Args:
        path: a file or folder of features as `reidtrain score` reads it, a checkpoint or a run folder.
        shards: a complete shard directory.
        computing: how a model computes.
        progress: called with images done and in total, when a model computes.
        which: checkpoint of a run folder, `last` or `best`.

    Returns:
        (queries, dimension) and (gallery, dimension).

    Raises:
        ReidError: an unusable file or shards, or features of other images than those of the shards.
    """
    images = query_gallery_images(shards, junk=True)
    if path.suffix == NPZ or (path / ABOUT_FILE).exists():
        query, gallery = images.read(path)
    else:
        from reidtrain.checkpoints import load_checkpoint
        from reidtrain.features.extractor import Computing, Extractor

        query, gallery = images.features(Extractor(load_checkpoint(path, which), computing or Computing()), progress)
    return query.arrays[EMBEDDING], gallery.arrays[EMBEDDING]
