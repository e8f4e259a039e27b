"""Whether the papers' figures belong beside the scores of a network, and what differs if so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.poses.format import DatasetPlan
from reidprep.shards.cropping import crop_parameters, needs_joints
from reidprep.shards.reader import ShardSet
from reidprep.text import counted, first_differences, quoted
from reidtrain.checkpoints import Checkpoint
from reidtrain.evaluation.images import RankedImages
from reidtrain.papers.rows import BENCHMARKS, Benchmark, PaperRow, dataset_column, paper_row
from reidtrain.papers.variants import Variant
from reidtrain.recipes.loading import changes, load_recipe, recipe_to_dict
from reidtrain.recipes.variants import recipe_variant, variant_recipe

_MOST = 6
_SAID = ("input.", "stages", "augmentation.", "execution.precision")
_SIZES = {"whole": "input.whole_size", "parts": "input.part_size", "image": "input.image_size"}


@dataclass(frozen=True)
class Comparison:
    """What the papers have to do with the scores of a network.

    Attributes:
        place: the variant that the network is, and the column of the papers' tables; None where the papers' figures
            say nothing about these scores.
        remarks: what differs from the papers, for the reader; without a place, why there is none.
    """

    place: tuple[Variant, str] | None = None
    remarks: tuple[str, ...] = ()

    def row(self, feature: str, rerank: bool) -> PaperRow | None:
        """The papers' row for a feature, None if there is none."""
        return None if self.place is None else paper_row(*self.place, feature=feature, rerank=rerank)


def compare(checkpoint: Checkpoint, images: RankedImages) -> Comparison:
    """Place a network and the images it is scored on among the papers' tables."""
    shards = images.shards
    dataset = shards.plan.poses.dataset
    variant = recipe_variant(checkpoint.recipe, shards.plan)
    column = dataset_column(dataset.name, dataset.options)
    trained, there = set(checkpoint.class_names), {str(pid) for pid in shards.train_labels}
    if variant is None or column is None or not trained <= there or _trained_elsewhere(checkpoint, dataset):
        return Comparison()
    if others := other_people(column, *(shards.pids[rows] for rows in (images.query, images.gallery))):
        return Comparison(remarks=(f"No figure of the papers is beside these: {others}.",))
    remarks = (*_remarks(checkpoint, variant, column, BENCHMARKS[column]), *_missing(shards))
    return Comparison((variant, column), remarks)


def other_people(column: str, query: NDArray[np.int64], gallery: NDArray[np.int64]) -> str:
    """In what the persons to score on differ from those of a column of the papers; empty if they are as many.

    Args:
        column: key of `BENCHMARKS`.
        query: (queries,) person ids.
        gallery: (gallery,) person ids.
    """
    theirs, ours = BENCHMARKS[column], (_people(query), _people(gallery))
    if ours == (theirs.query, theirs.gallery):
        return ""
    shown = f"{counted(ours[0], 'person')} among {ours[1]} in the gallery"
    return f"the queries show {shown}, {column} has {theirs.query} among {theirs.gallery}"


def _missing(shards: ShardSet) -> Iterator[str]:
    """Images of the dataset that are not in the shards, so that the scores are of easier or harder ones."""
    summary = shards.manifest.summary
    if excluded := sum(summary.excluded.get(split, 0) for split in ("query", "gallery")):
        yield f"{counted(excluded, 'query or gallery image')} left out on demand"
    if skipped := summary.skipped + summary.skipped_in_poses:
        yield f"{counted(skipped, 'image')} of the dataset could not be used"


def other_crops(checkpoint: Checkpoint, shards: ShardSet) -> str:
    """A remark where crops were cut otherwise than those that a network was trained on; empty if they were not."""
    if not needs_joints(shards.plan, checkpoint.recipe.model.views) or not _says_its_shards(checkpoint):
        return ""
    found = first_differences(crop_parameters(checkpoint.shard_plan()), crop_parameters(shards.plan), _MOST)
    return f"crops are cut otherwise than those trained on ({found})" if found else ""


def _says_its_shards(checkpoint: Checkpoint) -> bool:
    """Whether it was trained on one shard directory, whose plan it keeps."""
    return "plan" in checkpoint.source and "sets" not in checkpoint.source


def _trained_elsewhere(checkpoint: Checkpoint, dataset: DatasetPlan) -> bool:
    """Whether it was trained on another dataset, or on other boxes of this, whose people may have the same ids."""
    if not _says_its_shards(checkpoint):
        return False
    theirs = checkpoint.shard_plan().poses.dataset
    return (theirs.name, theirs.options.get("boxes")) != (dataset.name, dataset.options.get("boxes"))


def _people(pids: NDArray[np.int64]) -> int:
    return len(np.unique(pids[pids >= 0]))


def _remarks(checkpoint: Checkpoint, variant: Variant, column: str, theirs: Benchmark) -> Iterator[str]:
    identities = len(checkpoint.class_names)
    if identities != theirs.train:
        yield f"trained on {counted(identities, 'identity', 'identities')}, in the papers on {theirs.train}"
    if checkpoint.init is None:
        yield "started from random weights, in the papers from ImageNet's"
    # The shipped recipe is the paper's, but for what the rows of the tables differ in.
    paper = variant_recipe(variant, load_recipe(f"{checkpoint.recipe.network}-{column.partition('-')[0]}"))
    unused = {key for view, key in _SIZES.items() if view not in checkpoint.recipe.model.views}
    found = changes(recipe_to_dict(checkpoint.recipe), recipe_to_dict(paper))
    said = [f"{k} {ours} (paper {its})" for k, (ours, its) in found.items() if k.startswith(_SAID) and k not in unused]
    if said:
        yield quoted(said, _MOST)
    if checkpoint.epoch != checkpoint.recipe.epochs:
        minutes = checkpoint.recipe.training.max_minutes
        limit = "" if minutes is None else f", which ends after {minutes:g} minutes"
        yield f"after {counted(checkpoint.epoch, 'epoch')} of the {checkpoint.recipe.epochs} of the recipe{limit}"
