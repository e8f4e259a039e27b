"""Whether the papers' figures belong beside the scores of a network, and what differs if so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.text import counted
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
    if variant is None or column is None or not trained <= there:
        return Comparison()
    theirs = BENCHMARKS[column]
    ours = Benchmark(len(trained), *(_people(shards.pids[rows]) for rows in (images.query, images.gallery)))
    if (ours.query, ours.gallery) != (theirs.query, theirs.gallery):
        counts = f"{counted(ours.query, 'person')} among {ours.gallery} in the gallery"
        whole = f"{column} has {theirs.query} among {theirs.gallery}"
        return Comparison(remarks=(f"No figure of the papers is beside these: the queries show {counts}, {whole}.",))
    return Comparison((variant, column), tuple(_remarks(checkpoint, variant, column, theirs)))


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
        yield ", ".join(said[:_MOST]) + (f" and {len(said) - _MOST} more" if len(said) > _MOST else "")
