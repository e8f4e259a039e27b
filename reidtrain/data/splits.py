"""Which training identities are trained on, and which are held out to score a network on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidprep.text import counted


def choose_identities(train: ShardSet, wanted: int | None, held_out: int, seed: int) -> tuple[list[int], list[int]]:
    """`choose_of_each` of one set."""
    [chosen] = choose_of_each([train], wanted, held_out, seed)
    return chosen


def choose_of_each(
    sets: Sequence[ShardSet], wanted: int | None, held_out: int, seed: int
) -> list[tuple[list[int], list[int]]]:
    """Person ids of each set to train on and to hold out; both ascending.

    They are drawn from all sets together. The held-out ones are drawn first: they stay the same when fewer are trained
    on.

    Args:
        sets: training samples; equal ids of two sets are different people.
        wanted: how many to train on, None for all that are not held out.
        held_out: how many to hold out.
        seed: of the draw.

    Raises:
        ReidError: fewer than two identities to train on.
    """
    people = [(number, pid) for number, train in enumerate(sets) for pid in sorted(train.train_labels)]
    order = np.random.default_rng(seed).permutation(len(people)).tolist()
    chosen, rest = order[:held_out], order[held_out:]
    fewest = max(2, wanted or 0)
    if len(rest) < fewest:
        raise ReidError(
            f"{', '.join(str(train.path) for train in sets)}: of "
            f"{counted(len(people), 'training identity', 'training identities')}, {len(chosen)} are held out for "
            f"validation, {len(rest)} remain; {fewest} are needed: lower validation.identities"
            + (" or identities" if wanted else " or use shards with more of them")
        )
    trained, unseen = ([people[place] for place in sorted(places)] for places in (rest[:wanted], chosen))
    return [
        ([pid for of, pid in trained if of == number], [pid for of, pid in unseen if of == number])
        for number in range(len(sets))
    ]


def held_out_ranking(train: ShardSet, pids: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Query and gallery samples: the first image of each person and camera, and all images of the persons."""
    gallery = np.flatnonzero(np.isin(train.pids, pids))
    pairs = np.stack([train.pids[gallery], train.camids[gallery]], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    return gallery[np.sort(first)], gallery
