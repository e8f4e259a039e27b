"""Filter and sort the index."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import Flag
from reidprep.alignment.doubt import doubt
from reidprep.inspect.index import UNKNOWN, Index
from reidprep.inspect.query import Filter
from reidprep.records import JUNK_PID, SPLITS
from reidprep.skeleton import INDEX

_KEPT = 16


@dataclass(frozen=True, eq=False)
class Excluded:
    """Which samples are excluded.

    Attributes:
        mask: (n,) bool.
        version: another number for another mask.
    """

    mask: NDArray[np.bool_]
    version: int


class Selector:
    """Answers filters, and remembers the last answers. Safe to use from several threads.

    Args:
        index: the samples.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self._answers: OrderedDict[tuple[Filter, int], NDArray[np.intp]] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def measures(self) -> dict[str, NDArray[np.float32]]:
        """What `Filter.ranges` bound, (n,) float32 each; nan where a sample has none."""
        index = self.index
        scores = index.scores.mean(axis=1)
        filled = np.where(index.damaged, np.float32(np.nan), index.filled.sum(axis=1, dtype=np.float32))
        return {
            "filled": filled.astype(np.float32),
            "score": scores,
            "residual": index.residuals,
            "height": index.heights,
            "outside": index.outside,
            "images": self.images_of_person,
        }

    @cached_property
    def images_of_person(self) -> NDArray[np.float32]:
        """(n,) float32, how many samples each one's person has; nan for junk, which is nobody."""
        _, inverse, counts = np.unique(self.index.pids, return_inverse=True, return_counts=True)
        result = counts[inverse].astype(np.float32)
        result[self.index.damaged | (self.index.pids == JUNK_PID)] = np.nan
        return result

    @cached_property
    def _lower_paths(self) -> list[str]:
        return [path.lower() for path in self.index.paths]

    @cached_property
    def _path_ranks(self) -> NDArray[np.intp]:
        """Equal numbers for equal paths, in the order of the paths."""
        # Python's sort is fast where much is in order already, as within each split.
        paths = self.index.paths
        order = sorted(range(len(paths)), key=paths.__getitem__)
        changes = np.fromiter((paths[a] != paths[b] for a, b in pairwise(order)), np.intp, max(0, len(order) - 1))
        ranks = np.empty(len(paths), dtype=np.intp)
        ranks[order] = np.concatenate([[0], np.cumsum(changes)])[: len(paths)]
        return ranks

    def rows(self, chosen: Filter, excluded: Excluded) -> NDArray[np.intp]:
        """The positions of a filter's samples, in its order; equals by their position."""
        # The list counts only where it is asked for: to mark a sample must not forget every answer.
        key = (chosen, excluded.version if "excluded" in chosen.flags else 0)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        answer = np.flatnonzero(self._mask(chosen, excluded.mask))
        if chosen.sort != "index" or chosen.descending:
            keys = self.keys(chosen.sort)[answer]
            # Largest first with nan last, and equals still by position.
            order = np.argsort(-keys if chosen.descending else keys, kind="stable")
            answer = answer[order]
        answer.flags.writeable = False
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        return answer

    def _mask(self, chosen: Filter, excluded: NDArray[np.bool_]) -> NDArray[np.bool_]:
        index = self.index
        mask = np.ones(len(index), dtype=np.bool_)
        if chosen.split is not None:
            mask &= index.splits == SPLITS.index(chosen.split)
        if chosen.pids:
            mask &= np.isin(index.pids, chosen.pids)
        if chosen.cameras:
            mask &= np.isin(index.camids, chosen.cameras)
        for flag in chosen.flags:
            mask &= self._flagged(flag, excluded)
        if chosen.joint is not None:
            mask &= index.filled[:, INDEX[chosen.joint]]
        for name, low, high in chosen.ranges:
            values = self.measures[name]
            if low is not None:
                mask &= values >= np.float32(low)
            if high is not None:
                mask &= values <= np.float32(high)
        if chosen.path:
            part = chosen.path.lower()
            mask &= np.fromiter((part in path for path in self._lower_paths), np.bool_, len(index))
        return mask

    def _flagged(self, name: str, excluded: NDArray[np.bool_]) -> NDArray[np.bool_]:
        flags = self.index.flags
        if name == "excluded":
            return excluded
        if name == "damaged":
            return self.index.damaged
        if name == "any":
            return np.asarray(flags != 0)
        if name == "none":
            return np.asarray((flags == 0) & ~self.index.damaged)
        return np.asarray((flags & int(Flag[name.upper()])) > 0)

    def keys(self, sort: str) -> NDArray[Any]:
        """What samples are sorted by, (n,) numbers; nan where a sample has none."""
        index = self.index
        if sort.startswith("score-"):
            return np.where(index.damaged, np.float32(np.nan), index.scores[:, INDEX[sort.removeprefix("score-")]])
        if sort in ("pid", "camera"):
            values = index.pids if sort == "pid" else index.camids
            return np.where(values == UNKNOWN, np.nan, values.astype(np.float64))
        if sort == "path":
            return self._path_ranks
        if sort == "doubt":
            doubts = doubt(index.flags, index.filled, index.residuals)
            return np.where(index.damaged, np.inf, doubts)
        if sort == "index":
            return np.arange(len(index))
        return self.measures[sort]
