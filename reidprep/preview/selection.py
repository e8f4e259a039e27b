"""Which samples a preview shows, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.records import SPLITS, Split

DEFAULT_LIMIT = 24


@dataclass(frozen=True)
class Selection:
    """What to show.

    Attributes:
        split: train, query or gallery, None for all.
        limit: at most so many samples.
        ids: only these person ids, all if empty.
        random: seed of a random choice.
        flagged: the most doubtful samples, worst first. Neither this nor `random`: evenly spread over the samples.
    """

    split: Split | None = None
    limit: int = DEFAULT_LIMIT
    ids: tuple[int, ...] = ()
    random: int | None = None
    flagged: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense together.

        Raises:
            ReidError: an unknown split, a limit below 1, a negative seed, or both random and flagged.
        """
        if self.split is not None and self.split not in SPLITS:
            raise ReidError(f"unknown split {self.split!r}; choose {', '.join(SPLITS)}")
        if self.limit < 1:
            raise ReidError(f"the limit is {self.limit}; show 1 sample or more")
        if self.random is not None and self.random < 0:
            raise ReidError(f"the random seed is {self.random}; give 0 or more")
        if self.random is not None and self.flagged:
            raise ReidError("choose either random or flagged samples, not both")


def matching(
    pids: NDArray[np.int64], splits: NDArray[np.str_], split: str | None, ids: Sequence[int]
) -> NDArray[np.intp]:
    """Positions of the samples of a split and of some persons, ascending.

    Args:
        pids: (n,) person ids.
        splits: (n,) split names.
        split: None for all.
        ids: empty for all.

    Raises:
        ReidError: no sample is left, or a person has none.
    """
    in_split = splits == split if split is not None else np.ones(len(pids), dtype=np.bool_)
    where = f"the {split} split" if split is not None else "these shards"
    if not in_split.any():
        raise ReidError(f"there is no sample in {where}; 'reidprep info' shows what there is")
    absent = sorted(set(ids) - set(pids[in_split].tolist()))
    if absent:
        listed = ", ".join(str(pid) for pid in absent)
        raise ReidError(f"no image of person {listed} in {where}; leave the id out, or look in another split")
    return np.flatnonzero(in_split & np.isin(pids, ids)) if ids else np.flatnonzero(in_split)


def choose(
    candidates: NDArray[np.intp],
    pids: NDArray[np.int64],
    doubts: NDArray[np.float64],
    selection: Selection,
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """The samples to show, in the order to show them.

    Args:
        candidates: positions that `matching` gave.
        pids: (n,) person ids of all samples.
        doubts: (n,) as `doubt` gives.
        selection: how to choose.
        generator: used for a random choice only.
    """
    count = min(selection.limit, len(candidates))
    if selection.flagged:
        return candidates[np.argsort(-doubts[candidates], kind="stable")[:count]]
    if selection.random is not None:
        return np.sort(generator.choice(candidates, size=count, replace=False))
    if selection.ids:
        return _of_each_person(candidates, pids, count)
    return candidates[np.arange(count) * len(candidates) // count]


def _of_each_person(candidates: NDArray[np.intp], pids: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """Every person gets an equal share of the places; person by person, ascending."""
    persons = pids[candidates]
    turn = np.empty(len(candidates), dtype=np.intp)
    for pid in np.unique(persons):
        turn[persons == pid] = np.arange(np.count_nonzero(persons == pid))
    taken = np.sort(np.lexsort((candidates, turn))[:count])
    return candidates[taken][np.argsort(persons[taken], kind="stable")]
