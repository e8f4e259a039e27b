"""Where arrays are computed with: NumPy, or PyTorch on the device the arrays are on.

Everything of size queries x gallery goes through the functions of `Operations`, which the modules `numpy_arrays` and
`torch_arrays` have. All else is small, and NumPy's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError

if TYPE_CHECKING:
    from torch import Tensor

    Numbers = ArrayLike | Tensor


class Operations(Protocol):
    """What is computed where the arrays are. `Any` is an array of the module's kind."""

    def is_real(self, array: Any) -> bool:
        """Whether it holds real numbers, which truth values are not."""

    def is_double(self, array: Any) -> bool:
        """Whether it holds float64."""

    def cast(self, array: Any, like: Any) -> Any:
        """The same numbers in the type of `like`; the array itself where it has that type."""

    def place(self, array: NDArray[Any], like: Any) -> Any:
        """An array of this machine, brought to where `like` is."""

    def host(self, array: Any) -> NDArray[Any]:
        """An array brought to this machine."""

    def join(self, parts: list[Any], axis: int) -> Any:
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


def is_tensor(array: Any) -> bool:
    """Whether it is a PyTorch tensor, told without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def operations(array: Any) -> Operations:
    """The operations for an array, which is a tensor or NumPy's."""
    if is_tensor(array):
        from reidtrain.metrics import torch_arrays

        return torch_arrays
    from reidtrain.metrics import numpy_arrays

    return numpy_arrays


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
