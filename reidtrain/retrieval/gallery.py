"""A gallery of any size, in one or several arrays, and what is found in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.arrays import is_tensor, on_host, operations
from reidtrain.metrics.distances import Metric, require_features

if TYPE_CHECKING:
    from reidtrain.metrics.arrays import Numbers

_BYTES_AT_ONCE = 64 << 20


@dataclass(frozen=True, eq=False)
class Nearest:
    """The gallery images nearest to each query, nearest first; of equally near ones the lower index goes first.

    Attributes:
        indices: (queries, n) int64, counted through all parts of the gallery; -1 where an index found no more.
        distances: (queries, n) float32 or, where features are, float64: euclidean, or 1 - cos; inf where an index
            found no more.
    """

    indices: NDArray[np.int64]
    distances: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Features of one model in one or several arrays, such as memory-mapped files, counted through.

    Attributes:
        parts: (images, dimension) real numbers each.
        starts: index of each part's first image, and the number of all images.
    """

    parts: tuple[Any, ...]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Numbers]) -> Gallery:
        """A gallery of these parts, in this order; nothing is copied.

        Raises:
            ReidError: no part, one that is not (images, dimension) real numbers, or parts of different models.
        """
        arrays: tuple[Any, ...] = tuple(part if is_tensor(part) else np.asarray(part) for part in parts)
        for array in arrays:
            require_features("gallery_features", array)
        dimensions = [array.shape[1] for array in arrays]
        if len(set(dimensions)) != 1:
            found = f"have {', '.join(map(str, dimensions))} dimensions" if dimensions else "are none"
            raise ReidError(f"the parts of the gallery {found}; they need features of one model")
        return cls(arrays, np.cumsum([0, *map(len, arrays)]))

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def dimension(self) -> int:
        """Length of a feature."""
        return int(self.parts[0].shape[1])

    def blocks(self, rows: int) -> Iterator[tuple[int, Any]]:
        """Up to `rows` features at a time, each with the index of its first image."""
        for start, part in zip(self.starts.tolist(), self.parts, strict=False):
            for first in range(0, len(part), rows):
                yield start + first, part[first : first + rows]

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """(images, dimension) features of single images."""
        place = self.starts.searchsorted(indices, side="right") - 1
        dtype = np.result_type(*(on_host(part[:0]).dtype for part in self.parts))
        result = np.empty((len(indices), self.dimension), dtype=dtype)
        for which in np.unique(place):
            mine, part = place == which, self.parts[which]
            ops = operations(part)
            result[mine] = ops.host(ops.take(part, indices[mine] - self.starts[which]))
        return result

    def measure(self, query: NDArray[Any], indices: NDArray[np.int64], metric: Metric) -> Nearest:
        """Order images by their distances to each query, computed from the difference of the features.

        A distance then depends on its two features only: copies of an image are equally far, and the same
        image is at 0, which products of matrices do not give.

        Args:
            query: (queries, dimension) real numbers.
            indices: (queries, n) images; -1 for none.
            metric: `euclidean` or `cosine`.
        """
        double = any(operations(array).is_double(array) for array in (query, *self.parts))
        found = np.empty(indices.shape, dtype=np.float64 if double else np.float32)
        at_once = max(1, _BYTES_AT_ONCE // (found.itemsize * self.dimension * indices.shape[1]))
        for first in range(0, len(query), at_once):
            some = indices[first : first + at_once]
            theirs = self.take(np.maximum(some, 0).ravel()).astype(found.dtype).reshape(*some.shape, -1)
            mine = query[first : first + at_once, None].astype(found.dtype)
            if metric == "cosine":
                mine, theirs = (array / np.linalg.norm(array, axis=2, keepdims=True) for array in (mine, theirs))
            squares = np.square(theirs - mine).sum(axis=2)
            found[first : first + at_once] = squares / 2 if metric == "cosine" else np.sqrt(squares)
        found[indices < 0] = np.inf
        order = np.lexsort((indices, found))
        return Nearest(np.take_along_axis(indices, order, axis=1), np.take_along_axis(found, order, axis=1))
