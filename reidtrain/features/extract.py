"""From a checkpoint and shards to a file of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import TOOL, file_sha256
from reidprep.progress import Progress, unseen
from reidprep.shards.cropping import crop_parameters
from reidprep.shards.reader import ShardSet
from reidprep.store.manifest import MANIFEST
from reidtrain.checkpoints import Checkpoint, as_checkpoint
from reidtrain.features.extractor import Computing, Extractor
from reidtrain.features.files import GALLERY, QUERY, SCHEMA, Features, open_output

Images = Literal["test", "train", "query", "gallery", "all"]
"""Splits to take: `test` is query and gallery, each with its own arrays."""

ROWS_AT_ONCE = 16384


def extract_to_file(
    checkpoint: Checkpoint,
    shards: Path,
    out: Path,
    *,
    images: Images = "test",
    computing: Computing | None = None,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> dict[str, Any]:
    """Compute the features of samples of a shard directory, and write them.

    Args:
        checkpoint: the network.
        shards: the directory.
        out: an `.npz` file or, with any other ending, a folder; see `open_output`.
        images: which samples.
        computing: how the network computes.
        overwrite: replace what is there.
        progress: called with samples done and in total.

    Returns:
        What the file says about itself.

    Raises:
        ReidError: no such samples, something else in the way, or as `Extractor`.
    """
    computing = computing or Computing()
    splits = {QUERY: "query", GALLERY: "gallery"} if images == "test" else {"": None if images == "all" else images}
    sets = {prefix: ShardSet.open(shards, split) for prefix, split in splits.items()}
    for prefix, samples in sets.items():
        if not len(samples):
            raise ReidError(f"{shards}: no sample in the {splits[prefix]} split; choose another --split")
    done, total = 0, sum(map(len, sets.values()))

    def report(some: int, _: int) -> None:
        progress(done + some, total)

    dimensions: dict[str, int] = {}
    # Before the features: a run that goes on replaces its checkpoint.
    about = about_features(checkpoint, shards, images, computing)
    with open_output(out, overwrite) as output:
        extractor = Extractor(checkpoint, computing)
        for prefix, samples in sets.items():
            for first in range(0, len(samples), ROWS_AT_ONCE):
                rows = np.arange(first, min(first + ROWS_AT_ONCE, len(samples)))
                features = extractor(samples, rows, report)
                output.write(features, prefix, len(samples))
                dimensions = features.dimensions
                done += len(rows)
        about |= {"samples": total, "dimensions": dimensions}
        output.finish(about)
    return about


def extract_features(
    checkpoint: Checkpoint | str | Path,
    shards: ShardSet | str | Path,
    *,
    rows: NDArray[np.int64] | None = None,
    computing: Computing | None = None,
    progress: Progress = unseen,
) -> Features:
    """Compute the features of samples, and keep them in memory; `extract_to_file` is for more than it holds.

    Args:
        checkpoint: the network, or the file or run folder it is in.
        shards: the samples, or a shard directory, all of whose samples are taken.
        rows: which of the samples, in this order; None is all.
        computing: how the network computes.
        progress: called with samples done and in total.

    Raises:
        ReidError: as `load_checkpoint` and `Extractor`.

    Example:
        >>> from reidprep import ShardSet
        >>> from reidtrain import extract_features
        >>> features = extract_features("run", ShardSet.open("shards", "query"))
        >>> features.embedding.shape, features.pids.tolist()
        ((4, 768), [1, 1, 3, 3])
    """
    samples = shards if isinstance(shards, ShardSet) else ShardSet.open(shards)
    return Extractor(as_checkpoint(checkpoint), computing or Computing())(samples, rows, progress)


def about_features(checkpoint: Checkpoint, shards: Path, images: str, computing: Computing) -> dict[str, Any]:
    """What a file of features of shards says about itself, but for its sizes (docs/features-format.md)."""
    return {
        **about_network(checkpoint, computing),
        "shards": str(shards.absolute()),
        "manifest_sha256": file_sha256(shards / MANIFEST),
        "images": images,
        "crops": crop_parameters(ShardSet.open(shards).plan),
    }


def about_network(checkpoint: Checkpoint, computing: Computing) -> dict[str, Any]:
    """What any file of features says about the network and how it computes."""
    return {
        "schema": SCHEMA.name,
        "version": SCHEMA.version,
        "tool": TOOL,
        "network": checkpoint.recipe.network,
        "checkpoint": str(checkpoint.path),
        "checkpoint_sha256": checkpoint.sha256,
        "epoch": checkpoint.epoch,
        "flip": computing.flip,
        "precision": computing.precision_for(checkpoint),
    }
