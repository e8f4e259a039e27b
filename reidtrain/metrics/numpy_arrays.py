"""`arrays.Operations` by NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidtrain.metrics.counting import count_at_most as count_at_most
from reidtrain.metrics.counting import require_finite as require_finite

_CACHE_BYTES = 1 << 19
"""A part of what a core has to itself."""


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


def row_products(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """See `Operations`."""
    products: NDArray[Any] = np.einsum("ij,ij->i", first, second)
    return products


def row_slices(block: NDArray[Any]) -> list[slice]:
    """See `Operations`."""
    rows = max(1, _CACHE_BYTES // max(1, block.shape[1] * block.itemsize))
    return [slice(first, first + rows) for first in range(0, len(block), rows)]


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
