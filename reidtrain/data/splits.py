"""Which training identities are trained on, and which are held out to score a network on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidtrain.recipes.schema import Recipe


def choose_identities(train: ShardSet, recipe: Recipe) -> tuple[list[int], list[int]]:
    """Person ids to train on and to hold out, drawn by the recipe's seed; both ascending.

    The held-out ones are drawn first: they stay the same when fewer are trained on.

    Raises:
        ReidError: fewer than two identities to train on.
    """
    pids = np.array(sorted(train.train_labels), dtype=np.int64)
    order = np.random.default_rng(recipe.seed).permutation(pids)
    held_out, rest = order[: recipe.validation.identities], order[recipe.validation.identities :]
    if len(rest) < max(2, recipe.identities or 0):
        raise ReidError(
            f"{train.path}: of {len(pids)} training identities, {len(held_out)} are held out for validation, "
            f"{len(rest)} remain; {max(2, recipe.identities or 0)} are needed: lower validation.identities"
            + (" or identities" if recipe.identities else " or use shards with more of them")
        )
    return sorted(rest[: recipe.identities].tolist()), sorted(held_out.tolist())


def held_out_ranking(train: ShardSet, pids: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Query and gallery samples: the first image of each person and camera, and all images of the persons."""
    gallery = np.flatnonzero(np.isin(train.pids, pids))
    pairs = np.stack([train.pids[gallery], train.camids[gallery]], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    return gallery[np.sort(first)], gallery
