"""`arrays.Operations` by PyTorch, on the device the tensors are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidprep.errors import ReidError

_COPY_BYTES = 256 << 20
"""Of rows copied at once to be compared."""


def is_real(array: Tensor) -> bool:
    """See `Operations`."""
    return not array.is_complex() and array.dtype != torch.bool


def is_double(array: Tensor) -> bool:
    """See `Operations`."""
    return array.dtype == torch.float64


def cast(array: Tensor, like: Tensor) -> Tensor:
    """See `Operations`."""
    return array.to(like.dtype)


def place(array: NDArray[Any], like: Tensor) -> Tensor:
    """See `Operations`."""
    return torch.from_numpy(array).to(like.device)


def host(array: Tensor) -> NDArray[Any]:
    """See `Operations`; NumPy has no bfloat16, which becomes float32."""
    array = array.detach().cpu()
    values: NDArray[Any] = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    return values


def join(parts: Sequence[Tensor], axis: int) -> Tensor:
    """See `Operations`."""
    return torch.cat(list(parts), dim=axis)


def take(array: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """See `Operations`."""
    return array[place(rows, array)]


def row_products(first: Tensor, second: Tensor) -> NDArray[Any]:
    """See `Operations`."""
    return host((first * second).sum(dim=1))


def row_slices(block: Tensor) -> list[slice]:
    """See `Operations`."""
    return [slice(None)]


def at_least_zero(block: Tensor) -> None:
    """See `Operations`."""
    block.clamp_(min=0)


def pick(block: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """See `Operations`."""
    return host(block[place(rows, block), place(columns, block)])


def columns(block: Tensor, columns: NDArray[np.int64]) -> Tensor:
    """See `Operations`."""
    return block[:, place(columns, block)]


def require_finite(block: Tensor) -> None:
    """See `Operations`."""
    finite = block.isfinite()
    if not finite.all():
        row, column = (~finite).nonzero()[0].tolist()
        raise ReidError(f"the distance of query {row} and gallery image {column} is {block[row, column].item()}")


def count_at_most(block: Tensor, rows: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
    """See `Operations`."""
    require_finite(block)
    which, values = place(rows, block), place(limits, block)
    at_once = max(1, _COPY_BYTES // (block.shape[1] * block.itemsize))
    counts = [
        (block[some] <= limit[:, None]).sum(dim=1)
        for some, limit in zip(torch.split(which, at_once), torch.split(values, at_once), strict=True)
    ]
    return host(torch.cat(counts))


def largest(block: Tensor) -> NDArray[Any]:
    """See `Operations`."""
    return host(block.amax(dim=1))


def set_diagonal(block: Tensor, first: int, value: float) -> None:
    """See `Operations`."""
    rows = torch.arange(len(block), device=block.device)
    block[rows, first + rows] = value


def smallest(block: Tensor, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """See `Operations`."""
    limit = block.topk(count, dim=1, largest=False).values[:, -1:]
    # topk picks any of equal entries: of those at the limit the first ones are kept, as many as there is room for.
    less, equal = block < limit, block == limit
    room = count - less.sum(dim=1, keepdim=True)
    kept = less | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    indices = kept.nonzero()[:, 1].view(-1, count)
    values, order = block.gather(1, indices).sort(dim=1, stable=True)
    return host(values), host(indices.gather(1, order))
