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
"""Bytes of rows copied at once to be compared."""


class _Torch:
    def is_real(self, array: Tensor) -> bool:
        return not array.is_complex() and array.dtype != torch.bool

    def is_double(self, array: Tensor) -> bool:
        return array.dtype == torch.float64

    def cast(self, array: Tensor, like: Tensor) -> Tensor:
        return array.to(like.dtype)

    def place(self, array: NDArray[Any], like: Tensor) -> Tensor:
        return torch.from_numpy(array).to(like.device)

    def host(self, array: Tensor) -> NDArray[Any]:
        array = array.detach().cpu()
        values: NDArray[Any] = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
        return values

    def join(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(list(parts), dim=axis)

    def take(self, array: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return array[self.place(rows, array)]

    def row_products(self, first: Tensor, second: Tensor) -> NDArray[Any]:
        return self.host((first * second).sum(dim=1))

    def row_slices(self, block: Tensor) -> list[slice]:
        return [slice(None)]

    def at_least_zero(self, block: Tensor) -> None:
        block.clamp_(min=0)

    def pick(self, block: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
        return self.host(block[self.place(rows, block), self.place(columns, block)])

    def columns(self, block: Tensor, columns: NDArray[np.int64]) -> Tensor:
        return block[:, self.place(columns, block)]

    def require_finite(self, block: Tensor) -> None:
        finite = block.isfinite()
        if not finite.all():
            row, column = (~finite).nonzero()[0].tolist()
            raise ReidError(f"the distance of query {row} and gallery image {column} is {block[row, column].item()}")

    def count_at_most(self, block: Tensor, rows: NDArray[np.int64], limits: NDArray[Any]) -> NDArray[np.int64]:
        self.require_finite(block)
        which, values = self.place(rows, block), self.place(limits, block)
        at_once = max(1, _COPY_BYTES // (block.shape[1] * block.itemsize))
        counts = [
            (block[some] <= limit[:, None]).sum(dim=1)
            for some, limit in zip(torch.split(which, at_once), torch.split(values, at_once), strict=True)
        ]
        return self.host(torch.cat(counts))

    def largest(self, block: Tensor) -> NDArray[Any]:
        return self.host(block.amax(dim=1))

    def set_diagonal(self, block: Tensor, first: int, value: float) -> None:
        rows = torch.arange(len(block), device=block.device)
        block[rows, first + rows] = value

    def smallest(self, block: Tensor, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        limit = block.topk(count, dim=1, largest=False).values[:, -1:]
        # topk picks any of equal entries: of those at the limit the first ones are kept, as many as there is room for.
        less, equal = block < limit, block == limit
        room = count - less.sum(dim=1, keepdim=True)
        kept = less | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
        indices = kept.nonzero()[:, 1].view(-1, count)
        values, order = block.gather(1, indices).sort(dim=1, stable=True)
        return self.host(values), self.host(indices.gather(1, order))


TORCH = _Torch()
