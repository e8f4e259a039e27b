"""Count how many distances of a query are no larger than those of its matches: what ranks are made of.

Some rows of distances at a time are taken from the memory, once. Most matches of a good model are among the nearest:
what is as near as the farthest of these is taken out of a row and sorted, and they are looked up in it. Any other match
is compared with the whole row. All is done by few calls for many rows, during which NumPy lets other threads run.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError

_FEW = 30
"""Up to here, comparing a row with each of its limits beats sorting it."""

_SAMPLE = 128
_NEAR = 3
"""A limit is near where it is at most this smallest entry of the sample: among about the nearest 2 %."""

_SHARE_BYTES = 1 << 20
"""Less is not worth a thread."""

_BLOCK_BYTES, _BLOCK_ROWS = 8 << 20, 128
_MASK_BYTES = 4 << 20
"""Comparisons done by one call: enough for threads to seldom wait for each other, little enough for the cache."""

_WORDS = 255
"""So many bytes of 0 or 1 can be added in a byte."""


def count_at_most(block: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
    """How many entries of a row are no larger than a limit; uses the cores that this process may use.

    Args:
        block: (queries, gallery) distances.
        which: (limits,) the row each limit is for, ascending.
        limits: (limits,) of the type of `block`.

    Returns:
        (limits,) counts.

    Raises:
        ReidError: a distance is not finite.
    """
    shares = max(1, min(_cores(), len(block), block.nbytes // _SHARE_BYTES))
    firsts = np.linspace(0, len(block), shares + 1).astype(np.int64)
    begin = which.searchsorted(firsts)

    def count(part: int) -> NDArray[np.int64]:
        first, some = int(firsts[part]), slice(begin[part], begin[part + 1])
        return _count(block[first : firsts[part + 1]], which[some] - first, limits[some], first)

    if shares == 1:
        return count(0)
    with ThreadPoolExecutor(shares) as pool:
        return np.concatenate(list(pool.map(count, range(shares))))


def require_finite(block: NDArray[Any], first: int = 0) -> None:
    """Check distances, the first row of which is called `first`.

    Raises:
        ReidError: a distance is not finite.
    """
    if not np.isfinite(block).all():
        row, column = np.argwhere(~np.isfinite(block))[0]
        raise ReidError(f"the distance of query {first + row} and gallery image {column} is {block[row, column]}")


def sorted_rows(values: NDArray[Any], sizes: NDArray[np.int64]) -> NDArray[Any]:
    """Sort each row of a ragged matrix.

    Args:
        values: the rows, one after the other.
        sizes: (n,) length of each row.

    Returns:
        (n, longest) rows in ascending order; what follows the end of a row has no meaning.
    """
    highest = np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    padded = np.full((len(sizes), max(1, sizes.max())), highest, dtype=values.dtype)
    padded[np.arange(padded.shape[1]) < sizes[:, None]] = values
    padded.sort(axis=1)
    return padded


def search_rows(
    ordered: NDArray[Any], sizes: NDArray[np.int64], which: NDArray[np.int64], limits: NDArray[Any]
) -> NDArray[np.int64]:
    """How many entries of a sorted row are no larger than a limit, by bisection of all at once.

    Args:
        ordered: (n, longest) rows, each in ascending order as far as it goes.
        sizes: (n,) length of each row.
        which: (limits,) the row each limit is for.
        limits: (limits,) of the type of `ordered`.
    """
    longest = ordered.shape[1]
    size, before = sizes[which], which * longest - 1
    counts = np.zeros(len(limits), dtype=np.int64)
    step = 1 << longest.bit_length()
    while step := step >> 1:
        further = counts + step
        fits = further <= size
        fits &= ordered.take(before + further, mode="clip") <= limits
        counts = np.where(fits, further, counts)
    return counts


def _count(block: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any], first: int) -> NDArray[np.int64]:
    """`count_at_most` on one core, for rows the first of which is called `first`."""
    width = block.shape[1]
    at_once = min(len(block), _BLOCK_ROWS, max(1, _BLOCK_BYTES // (block.itemsize * width)))
    mask = _Mask.of(max(at_once, min(len(limits), max(_FEW, _MASK_BYTES // width))), width)
    counts = np.empty(len(limits), dtype=np.int64)
    for start in range(0, len(block), at_once):
        rows = np.ascontiguousarray(block[start : start + at_once])
        # A sum is cheaper than testing each entry, and not finite if one of them is not.
        if not np.isfinite(np.einsum("ij->i", rows)).all():
            require_finite(rows, first + start)
        some = slice(*which.searchsorted([start, start + at_once]))
        mine, wanted = which[some] - start, limits[some]
        near = wanted <= _low(rows)[mine]
        near &= 2 * np.count_nonzero(near) > len(near)
        found = counts[some]
        found[near] = _count_near(rows, mine[near], wanted[near], mask)
        found[~near] = _count_far(rows, mine[~near], wanted[~near], mask)
    return counts


def _low(rows: NDArray[Any]) -> NDArray[Any]:
    """(n,) an entry of each row that few others are below."""
    sample = rows[:, :: max(1, rows.shape[1] // _SAMPLE)].copy()
    nth = min(_NEAR, sample.shape[1]) - 1
    sample.partition(nth, axis=1)
    low: NDArray[Any] = sample[:, nth]
    return low


def _count_near(rows: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any], mask: _Mask) -> NDArray[np.int64]:
    if not len(limits):
        return np.empty(0, dtype=np.int64)
    reach = np.full(len(rows), limits.min())
    np.maximum.at(reach, which, limits)
    within = np.less_equal(rows, reach[:, None], out=mask.rows[: len(rows)])
    sizes = mask.count_true(len(rows))
    return search_rows(sorted_rows(rows[within], sizes), sizes, which, limits)


def _count_far(rows: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any], mask: _Mask) -> NDArray[np.int64]:
    counts = np.empty(len(limits), dtype=np.int64)
    sizes = np.bincount(which, minlength=len(rows))
    ends = np.cumsum(sizes)
    # Rows with about as many limits go together.
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    while len(order):
        most = sizes[order[0]]
        about_as_many = np.count_nonzero(4 * sizes[order] >= 3 * most)
        some, order = np.split(order, [min(about_as_many, max(1, len(mask.rows) // most))])
        lines = rows.take(some, axis=0)
        # Where a row has fewer limits, its last one is counted again.
        place = np.minimum((ends - sizes)[some, None] + np.arange(most), ends[some, None] - 1)
        wanted = limits[place]
        if most > _FEW:
            lines.sort(axis=1)
            row = np.repeat(np.arange(len(some)), most)
            found = search_rows(lines, np.full(len(some), lines.shape[1]), row, wanted.ravel())
        else:
            within = mask.rows[: place.size].reshape(*place.shape, lines.shape[1])
            np.less_equal(lines[:, None], wanted[..., None], out=within)
            found = mask.count_true(place.size)
        counts[place] = found.reshape(place.shape)
    return counts


@dataclass(frozen=True, eq=False)
class _Mask:
    """Truth values to write, with a fast way to count them.

    Attributes:
        rows: (n, width).
        words: (n, groups, up to 255) the same memory, with some bytes at the end of each row that stay 0.
    """

    rows: NDArray[np.bool_]
    words: NDArray[np.uint64]

    @classmethod
    def of(cls, count: int, width: int) -> _Mask:
        """A mask that is all false."""
        groups = -(-width // (8 * _WORDS))
        words = np.zeros((count, groups, -(-width // (8 * groups))), dtype=np.uint64)
        return cls(words.view(np.bool_).reshape(count, -1)[:, :width], words)

    def count_true(self, count: int) -> NDArray[np.int64]:
        """How many are true in each of the first `count` rows.

        Eight truth values at a time are added as one word, whose bytes do not overflow within a group.
        """
        sums = self.words[:count].sum(axis=2).view(np.uint8)
        counts: NDArray[np.int64] = sums.sum(axis=1, dtype=np.int64)
        return counts


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
