"""Where arrays are computed with: NumPy, or PyTorch on the device the arrays are on.

Everything of size queries x gallery goes through `Operations`. All else is small, and NumPy's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.counting import count_at_most, require_finite

if TYPE_CHECKING:
    from torch import Tensor

    Numbers = ArrayLike | Tensor


_CACHE_BYTES = 1 << 19
"""A part of what a core has to itself."""


class Operations(Protocol):
    """What is computed where the arrays are. `Any` is an array of that place's kind."""

    def is_real(self, array: Any) -> bool:
        """Whether it holds real numbers, which truth values are not."""

    def is_double(self, array: Any) -> bool:
        """Whether it holds float64, or longer."""

    def cast(self, array: Any, like: Any) -> Any:
        """The same numbers in the type of `like`; the array itself where it has that type."""

    def place(self, array: NDArray[Any], like: Any) -> Any:
        """An array of this machine, brought to where `like` is."""

    def host(self, array: Any) -> NDArray[Any]:
        """An array brought to this machine."""

    def join(self, parts: Sequence[Any], axis: int) -> Any:
        """Arrays one after the other."""

    def take(self, array: Any, rows: NDArray[np.int64]) -> Any:
        """Rows of an array."""

    def row_products(self, first: Any, second: Any) -> NDArray[Any]:
        """(n,) scalar products of the rows of two (n, dimension) arrays."""

    def row_slices(self, block: Any) -> Iterable[slice]:
        """Rows to change together, a few where a cache holds these."""

    def at_least_zero(self, block: Any) -> None:
        """Raise what is negative to 0, in place."""

    def pick(self, block: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
        """(n,) single entries."""

    def columns(self, block: Any, columns: NDArray[np.int64]) -> Any:
        """Some columns."""

    def require_finite(self, block: Any) -> None:
        """Raise a `ReidError` that names the first entry which is not finite."""

    def count_at_most(self, block: Any, rows: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
        """How many entries of a row are no larger than a limit.

        Args:
            block: (queries, gallery) distances, which must be finite.
            rows: (limits,) the row each limit is for, ascending.
            limits: (limits,) of the type of `block`.
        """

    def largest(self, block: Any) -> NDArray[Any]:
        """(rows,) largest entry of each row."""

    def set_diagonal(self, block: Any, first: int, value: float) -> None:
        """Set the entries (i, first + i)."""

    def smallest(self, block: Any, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """(rows, count) smallest entries of each row, ascending, and their columns; the lower one first if equal."""


class _NumPy:
    def is_real(self, array: NDArray[Any]) -> bool:
        return array.dtype.kind in "fiu"

    def is_double(self, array: NDArray[Any]) -> bool:
        # In the byte order of whatever machine wrote it, or longer.
        return array.dtype.kind == "f" and array.dtype.itemsize >= 8

    def cast(self, array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
        return array.astype(like.dtype, copy=False)

    def place(self, array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
        return array

    def host(self, array: Any) -> NDArray[Any]:
        return np.asarray(array)

    def join(self, parts: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
        return np.concatenate(parts, axis=axis)

    def take(self, array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        taken: NDArray[Any] = array[rows]
        return taken

    def row_products(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        products: NDArray[Any] = np.einsum("ij,ij->i", first, second)
        return products

    def row_slices(self, block: NDArray[Any]) -> list[slice]:
        rows = max(1, _CACHE_BYTES // max(1, block.shape[1] * block.itemsize))
        return [slice(first, first + rows) for first in range(0, len(block), rows)]

    def at_least_zero(self, block: NDArray[Any]) -> None:
        np.maximum(block, 0, out=block)

    def pick(self, block: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
        picked: NDArray[Any] = block[rows, columns]
        return picked

    def columns(self, block: NDArray[Any], columns: NDArray[np.int64]) -> NDArray[Any]:
        some: NDArray[Any] = block[:, columns]
        return some

    def largest(self, block: NDArray[Any]) -> NDArray[Any]:
        values: NDArray[Any] = block.max(axis=1)
        return values

    def set_diagonal(self, block: NDArray[Any], first: int, value: float) -> None:
        rows = np.arange(len(block))
        block[rows, first + rows] = value

    def smallest(self, block: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        values = np.empty((len(block), count), dtype=block.dtype)
        indices = np.empty((len(block), count), dtype=np.int64)
        for row, line in enumerate(block):
            limit = np.partition(line, count - 1)[count - 1]
            within = np.flatnonzero(line <= limit)
            indices[row] = within[np.argsort(line[within], kind="stable")][:count]
            values[row] = line[indices[row]]
        return values, indices

    def count_at_most(self, block: NDArray[Any], rows: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
        return count_at_most(block, rows, limits)

    def require_finite(self, block: NDArray[Any]) -> None:
        require_finite(block)


NUMPY: Operations = _NumPy()


def is_tensor(array: Any) -> bool:
    """Whether it is a PyTorch tensor, told without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def operations(array: Any) -> Operations:
    """The operations for an array, which is a tensor or NumPy's."""
    if is_tensor(array):
        from reidtrain.metrics.torch_arrays import TORCH

        return TORCH
    return NUMPY


def as_arrays(**named: Any) -> tuple[Any, ...]:
    """Arrays of one kind, in one place: tensors of a device stay, everything else becomes NumPy's without a copy.

    Raises:
        ReidError: the arrays are not all in one place.
    """
    places = {name: str(array.device) if is_tensor(array) else "cpu" for name, array in named.items()}
    if len(set(places.values())) > 1:
        where = ", ".join(f"{name} on {place}" for name, place in places.items())
        raise ReidError(f"{where}: move all of them to one device")
    if set(places.values()) == {"cpu"}:
        return tuple(on_host(array) for array in named.values())
    return tuple(array.detach() for array in named.values())


def on_host(array: Any) -> NDArray[Any]:
    """A NumPy array of anything that holds numbers."""
    return operations(array).host(array) if is_tensor(array) else np.asarray(array)
