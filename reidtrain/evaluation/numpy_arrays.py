"""`arrays.Operations` by NumPy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError

from . import counting

_PART_BYTES, _PART_ROWS = 8 << 20, 128
"""Of distances counted at a time: little enough for the cache, enough for each call to outweigh its start."""


def is_real(array: NDArray[Any]) -> bool:
    """See `Operations`."""
    return array.dtype.kind in "fiu"


def is_double(array: NDArray[Any]) -> bool:
    """See `Operations`."""
    return array.dtype == np.float64


def cast(array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """See `Operations`."""
    return array.astype(like.dtype, copy=False)


def place(array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """See `Operations`."""
    return array


def host(array: Any) -> NDArray[Any]:
    """See `Operations`."""
    return np.asarray(array)


def join(parts: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
    """See `Operations`."""
    return np.concatenate(parts, axis=axis)


def take(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """See `Operations`."""
    taken: NDArray[Any] = array[rows]
    return taken


def squared_lengths(features: NDArray[Any]) -> NDArray[np.float64]:
    """See `Operations`."""
    lengths: NDArray[np.float64] = np.einsum("ij,ij->i", features, features, dtype=np.float64)
    return lengths


def row_products(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """See `Operations`."""
    products: NDArray[Any] = np.einsum("ij,ij->i", first, second)
    return products


def at_least_zero(block: NDArray[Any]) -> None:
    """See `Operations`."""
    np.maximum(block, 0, out=block)


def pick(block: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """See `Operations`."""
    picked: NDArray[Any] = block[rows, columns]
    return picked


def columns(block: NDArray[Any], columns: NDArray[np.int64]) -> NDArray[Any]:
    """See `Operations`."""
    some: NDArray[Any] = block[:, columns]
    return some


def require_finite(block: NDArray[Any], first: int = 0) -> None:
    """See `Operations`; `first` is the row to name as the block's first."""
    # A sum is cheaper than to test each entry, and not finite if one of them is not.
    if np.isfinite(np.einsum("ij->i", block)).all() or np.isfinite(block).all():
        return
    row, column = np.argwhere(~np.isfinite(block))[0]
    raise ReidError(f"the distance of query {first + row} and gallery image {column} is {block[row, column]}")


def count_at_most(block: NDArray[Any], rows: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
    """See `Operations`; parts of the rows are counted at the same time, on as many cores as this process may use."""
    at_once = min(_PART_ROWS, max(1, _PART_BYTES // (block.shape[1] * block.itemsize)))
    firsts = np.arange(0, len(block), at_once)
    begin, end = rows.searchsorted(firsts), rows.searchsorted(firsts + at_once)

    def count(part: int) -> NDArray[np.int64]:
        first, some = int(firsts[part]), slice(begin[part], end[part])
        lines = np.ascontiguousarray(block[first : first + at_once])
        with np.errstate(over="ignore", invalid="ignore"):
            require_finite(lines, first)
        return counting.count_at_most(lines, rows[some] - first, limits[some])

    with ThreadPoolExecutor(min(len(firsts), _cores())) as pool:
        return np.concatenate(list(pool.map(count, range(len(firsts)))))


def largest(block: NDArray[Any]) -> NDArray[Any]:
    """See `Operations`."""
    values: NDArray[Any] = block.max(axis=1)
    return values


def set_diagonal(block: NDArray[Any], first: int, value: float) -> None:
    """See `Operations`."""
    rows = np.arange(len(block))
    block[rows, first + rows] = value


def smallest(block: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """See `Operations`."""
    values = np.empty((len(block), count), dtype=block.dtype)
    indices = np.empty((len(block), count), dtype=np.int64)
    for row, line in enumerate(block):
        limit = np.partition(line, count - 1)[count - 1]
        within = np.flatnonzero(line <= limit)
        indices[row] = within[np.argsort(line[within], kind="stable")][:count]
        values[row] = line[indices[row]]
    return values, indices


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
