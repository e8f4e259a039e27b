"""From a checkpoint to a file that was seen to compute the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidprep.errors import ReidError
from reidprep.files import TOOL, claim_file, write_file
from reidprep.shards.format import View
from reidprep.shards.reader import ShardSet
from reidprep.store.hdf5 import Schema
from reidtrain.checkpoints import Checkpoint
from reidtrain.data.dataset import ShardDataset
from reidtrain.export.agreement import Agreement, Reference, compare, random_crops
from reidtrain.export.formats import (
    Crops,
    Format,
    check_libraries,
    format_of,
    onnx_bytes,
    onnx_runner,
    pt2_bytes,
    pt2_runner,
    traced,
)
from reidtrain.export.network import EndToEnd, Outputs
from reidtrain.recipes.loading import recipe_to_dict

SCHEMA = Schema("reidtrain.export", 1)
REAL_CROPS = 16


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: the file.
        sha256: of its bytes.
        bytes: its size.
        about: its metadata.
        agreements: on crops of `noise` and, where they were given, of `shards`.
    """

    path: Path
    sha256: str
    bytes: int
    about: Mapping[str, str]
    agreements: Mapping[str, Agreement]


def export_checkpoint(
    checkpoint: Checkpoint,
    out: Path,
    format: Format | None = None,
    *,
    outputs: Outputs | None = None,
    shards: Path | None = None,
    tolerance: float = 1e-3,
    overwrite: bool = False,
) -> Exported:
    """Write a network with its preprocessing to a file, if what is written computes the same.

    Args:
        checkpoint: the network.
        out: the file; its folder is made if need be.
        format: of the file; None: by its ending.
        outputs: what it gives besides the embedding.
        shards: a shard directory with crops to compare on besides random ones.
        tolerance: largest relative difference, see `Agreement`.
        overwrite: replace the file if it exists.

    Raises:
        ReidError: the file exists or cannot be written, has an unknown ending, an output that the network lacks, shards
            of another kind, a library that is missing, or outputs that differ by more than the tolerance.
    """
    format = format or format_of(out)
    check_libraries(format)
    outputs = outputs or Outputs()
    outputs.check(checkpoint.recipe.model)
    claim_file(out, overwrite=overwrite)
    model, preprocessor = checkpoint.model(), checkpoint.preprocessor()
    batches = {"noise": random_crops(model.views, preprocessor.sizes)}
    if shards is not None:
        batches["shards"] = [real_crops(checkpoint, shards, model.views)]

    reference = Reference(model, preprocessor, outputs)
    names = [*reference(batches["noise"][0])]
    about = describe(checkpoint, model.views, names) | {"unit_length": str(outputs.unit_length).lower()}
    example = batches["noise"][-1]
    program = traced(EndToEnd(checkpoint.model(), preprocessor, outputs), example)
    if format == "onnx":
        data = onnx_bytes(program, example, names, about)
        runner = onnx_runner(data)
    else:
        data = pt2_bytes(program, about)
        runner = pt2_runner(data)
    agreements = {kind: compare(reference, runner, crops) for kind, crops in batches.items()}
    for kind, found in agreements.items():
        if not found.relative <= tolerance:  # nor if it is nan
            raise ReidError(
                f"{out}: not written: its {found.output} for crops of {kind} differs by {found.relative:.1e} of its "
                f"length from that of the network, more than {tolerance:.1e}; give a higher --tolerance if that will do"
            )
    return Exported(out, write_file(out, data), len(data), about, agreements)


def describe(checkpoint: Checkpoint, views: Sequence[View], outputs: Sequence[str]) -> dict[str, str]:
    """What a file says about itself; values that are not plain text are JSON (docs/export-network.md)."""
    recipe = checkpoint.recipe
    inputs = {
        view: {
            "shape": ["n", *([4] if view == "parts" else []), "height", "width", 3],
            "type": "uint8",
            "channels": "RGB",
            "resized_to": recipe.input.sizes[view],
        }
        for view in views
    }
    return {
        "schema": SCHEMA.name,
        "version": str(SCHEMA.version),
        "tool": TOOL,
        "network": recipe.network,
        "inputs": json.dumps(inputs),
        "outputs": json.dumps(outputs),
        "alignment": str(checkpoint.source.get("alignment") or ""),
        "recipe": json.dumps(recipe_to_dict(recipe)),
        "epoch": str(checkpoint.epoch),
        "checkpoint_sha256": checkpoint.sha256 or "",
    }


def real_crops(checkpoint: Checkpoint, path: Path, views: Sequence[View]) -> Crops:
    """At most `REAL_CROPS` samples of a shard directory, spread evenly, at the size they are stored.

    Raises:
        ReidError: shards of another kind, without the crops, or damaged.
    """
    shards = ShardSet.open(path)
    checkpoint.check_shards(shards)
    dataset = ShardDataset(shards, views)
    chosen = np.linspace(0, len(dataset) - 1, min(REAL_CROPS, len(dataset))).round().astype(int)
    batch = dataset.batch(chosen.tolist())
    return {view: getattr(batch, view).movedim(-3, -1) for view in views}
