"""Count, for single limits, how many numbers of a row are no larger: what a rank is made of.

Most limits are near the small end of their row, as most matches rank near the top: what lies below the largest of
them is taken out and sorted, and the limits are looked up in it. That costs one comparison per number of the row,
however many limits there are. The others each take a comparison of the whole row.

Everything is done by few calls on many rows, during which NumPy lets other threads run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 128
_NEAR = 3
"""A limit is near where it is at most this smallest number of the sample: among about the lowest 2 %."""

_MASK_BYTES = 1 << 20
"""Of comparisons held at once, so that they are counted from the cache."""

_WORDS = 255
"""As many bytes of 0 or 1 can be added in a byte."""


def count_at_most(rows: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
    """How many numbers of a row are no larger than a limit.

    Args:
        rows: (n, width) finite real numbers.
        which: (limits,) the row each limit is for, ascending.
        limits: (limits,) of the type of `rows`.

    Returns:
        (limits,) counts.
    """
    sample = rows[:, :: max(1, rows.shape[1] // _SAMPLE)].copy()
    nth = min(_NEAR, sample.shape[1]) - 1
    sample.partition(nth, axis=1)
    near = limits <= sample[which, nth]
    counts = np.empty(len(limits), dtype=np.int64)
    counts[near] = _count_near(rows, which[near], limits[near])
    counts[~near] = _count_far(rows, which[~near], limits[~near])
    return counts


def sorted_rows(values: NDArray[Any], sizes: NDArray[np.int64]) -> NDArray[Any]:
    """Sort each row of a ragged matrix.

    Args:
        values: the rows, one after the other.
        sizes: (n,) length of each row.

    Returns:
        (n, longest) rows in ascending order; what follows the end of a row has no meaning.
    """
    padded = np.full((len(sizes), max(1, sizes.max())), _highest(values.dtype), dtype=values.dtype)
    padded[np.arange(padded.shape[1]) < sizes[:, None]] = values
    padded.sort(axis=1)
    return padded


def search_rows(
    ordered: NDArray[Any], sizes: NDArray[np.int64], which: NDArray[np.int64], limits: NDArray[Any]
) -> NDArray[np.int64]:
    """`count_at_most` in rows that are sorted, by bisection of all at once.

    Args:
        ordered: (n, longest) from `sorted_rows`.
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


def _count_near(rows: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
    reach = np.full(len(rows), _lowest(rows.dtype), dtype=rows.dtype)
    np.maximum.at(reach, which, limits)
    within, words = _mask(*rows.shape)
    np.less_equal(rows, reach[:, None], out=within)
    sizes = _count_true(words)
    return search_rows(sorted_rows(rows[within], sizes), sizes, which, limits)


def _count_far(rows: NDArray[Any], which: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
    counts = np.empty(len(limits), dtype=np.int64)
    at_once = max(1, _MASK_BYTES // rows.shape[1])
    within, words = _mask(min(at_once, len(limits)), rows.shape[1])
    column = limits[:, None]
    for first in range(0, len(limits), at_once):
        some = which[first : first + at_once]
        begin = np.flatnonzero(np.diff(some, prepend=-1)).tolist()
        for start, stop in zip(begin, [*begin[1:], len(some)], strict=True):
            np.less_equal(rows[some[start]], column[first + start : first + stop], out=within[start:stop])
        counts[first : first + at_once] = _count_true(words[: len(some)])
    return counts


def _mask(count: int, width: int) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """A (count, width) mask to write, and the same memory as the (count, groups, up to 255) words of `_count_true`."""
    groups = max(1, -(-width // (8 * _WORDS)))
    words = -(-width // (8 * groups))
    memory = np.zeros((count, groups, words), dtype=np.uint64)
    return memory.view(np.bool_).reshape(count, 8 * groups * words)[:, :width], memory


def _count_true(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(count,) how many are true in each row of a mask.

    Eight truth values at a time are added as one word, whose bytes do not overflow within a group.
    """
    sums = words.sum(axis=2).view(np.uint8)
    counts: NDArray[np.int64] = sums.sum(axis=1, dtype=np.int64)
    return counts


def _highest(dtype: np.dtype[Any]) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
