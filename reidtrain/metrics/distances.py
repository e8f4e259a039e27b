"""Distances between features, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.arrays import Operations, as_arrays, operations

Metric = Literal["euclidean", "cosine"]
BLOCK_BYTES = 64 << 20
"""Size of one block of distances."""

_QUERIES_AT_ONCE = 4096
_FEW_ROWS = 32
"""Where a block of whole rows has fewer, a product of matrices spends its time fetching the gallery."""

_SAMPLE, _ALIKE = 64, 1e-3
"""Features to look at, and the share of their squared lengths below which their spread makes distances delicate."""

_LARGEST_SQUARE, _SMALLEST_SQUARE = 1e37, 1e-37


class Distances(Protocol):
    """Distances of queries to the gallery, a block at a time."""

    @property
    def ops(self) -> Operations:
        """What blocks are computed with."""

    def tile(self) -> tuple[int, int]:
        """How many queries and gallery images a block should have."""

    def block(self, start: int, stop: int, columns: slice = ...) -> Any:
        """(stop - start, columns) distances of queries `start:stop` to some gallery images, all if not told."""


@dataclass(frozen=True, eq=False)
class GivenDistances:
    """A (queries, gallery) matrix of distances, of whatever origin."""

    matrix: Any

    @property
    def ops(self) -> Operations:
        """What computes where the matrix is."""
        return operations(self.matrix)

    def tile(self) -> tuple[int, int]:
        """The whole matrix."""
        return self.matrix.shape[0], self.matrix.shape[1]

    def block(self, start: int, stop: int, columns: slice = slice(None)) -> Any:
        """(stop - start, columns) distances of queries `start:stop`, as they were given."""
        return self.matrix[start:stop, columns]


@dataclass(frozen=True, eq=False)
class FeatureDistances:
    """Distances of query features to gallery features, computed when asked for.

    Euclidean distances are squared, which ranks the same; cosine is 1 - cos, so it lies in 0 to 2. Features are NumPy
    arrays, which may be memory-mapped files, or tensors on one device. They are never copied as a whole.

    Attributes:
        query: (queries, dimension) real numbers.
        gallery: (gallery, dimension) real numbers.
        metric: `euclidean` or `cosine`.
        query_squares: (queries,) squared lengths, in the type that distances are computed in (`checked`).
        gallery_squares: (gallery,) squared lengths, of the same type.
    """

    query: Any
    gallery: Any
    metric: Metric
    query_squares: Any
    gallery_squares: Any

    @classmethod
    def checked(cls, query_features: Any, gallery_features: Any, metric: Metric, *, first: int = 0) -> FeatureDistances:
        """Distances between two sets of features of one model.

        float64 features are compared in float64, and so are those of a gallery that differ by less than about a
        thirtieth of their length, of which rounding would leave little; all others in float32. `first` is what messages
        call the gallery's first row, where it is a part of a larger one.

        Raises:
            ReidError: no features, features that are not finite real numbers or too large to square, of two
                different dimensions, on different devices, or, for cosine, all zero.
        """
        named = dict(query_features=query_features, gallery_features=gallery_features)
        query, gallery = as_arrays(**named)
        ops = operations(query)
        for name, array in zip(named, (query, gallery), strict=True):
            require_features(name, array)
        if query.shape[1] != gallery.shape[1]:
            raise ReidError(
                f"query_features have {query.shape[1]} dimensions, gallery_features {gallery.shape[1]}: "
                "they come from different models; extract both with the same one"
            )
        double = ops.is_double(query) or ops.is_double(gallery) or _nearly_alike(ops, gallery)
        dtype = np.float64 if double else np.float32
        like = ops.place(np.empty(0, dtype), query)
        squares = [
            ops.place(_squared_lengths(ops, name, array, like, metric, row), array)
            for name, array, row in zip(named, (query, gallery), (0, first), strict=True)
        ]
        return cls(query, gallery, metric, *squares)

    @property
    def ops(self) -> Operations:
        """What computes where the features are."""
        return operations(self.query)

    def tile(self) -> tuple[int, int]:
        """Whole rows, unless these would be so few that each block would fetch the gallery for little work."""
        queries, gallery = len(self.query), len(self.gallery)
        rows = self.rows_per_block()
        if rows >= min(_FEW_ROWS, queries):
            return rows, gallery
        rows = min(_QUERIES_AT_ONCE, queries)
        return rows, max(1, BLOCK_BYTES // (rows * self.gallery_squares.itemsize))

    def rows_per_block(self) -> int:
        """How many queries fit in `BLOCK_BYTES`."""
        return max(1, BLOCK_BYTES // (len(self.gallery) * int(self.gallery_squares.itemsize)))

    def block(self, start: int, stop: int, columns: slice = slice(None)) -> Any:
        """(stop - start, columns) distances of queries `start:stop`, euclidean ones squared."""
        ops, squares = self.ops, self.gallery_squares[columns]
        query, gallery = ops.cast(self.query[start:stop], squares), self.gallery[columns]
        if self.metric == "euclidean":
            query = -2 * query
        if gallery.dtype == squares.dtype:
            products = query @ gallery.T
        else:
            products = ops.join([query @ ops.cast(part, squares).T for part in _parts(gallery)], axis=1)
        query_squares = self.query_squares[start:stop, None]
        for rows in ops.row_slices(products):
            self._from_products(products[rows], query_squares[rows], squares)
        return products

    def pairs(self, queries: NDArray[np.int64], gallery: NDArray[np.int64]) -> NDArray[Any]:
        """(pairs,) distances of single queries to single gallery images."""
        ops = self.ops
        like = self.query_squares
        products = []
        at_once = max(1, BLOCK_BYTES // (2 * self.query.shape[1] * like.itemsize))
        for first in range(0, len(queries), at_once):
            some = slice(first, first + at_once)
            rows = ops.take(self.query, queries[some]), ops.take(self.gallery, gallery[some])
            products.append(ops.row_products(*(ops.cast(row, like) for row in rows)))
        distances = ops.place(np.concatenate(products), like)
        if self.metric == "euclidean":
            distances *= -2
        self._from_products(distances, ops.take(self.query_squares, queries), ops.take(self.gallery_squares, gallery))
        return ops.host(distances)

    def _from_products(self, products: Any, query_squares: Any, gallery_squares: Any) -> None:
        """Turn scalar products, -2 times these for euclidean distances, into distances, in place."""
        if self.metric == "cosine":
            products /= query_squares**0.5
            products /= gallery_squares**0.5
            products *= -1
            products += 1
        else:
            products += query_squares
            products += gallery_squares
        # Rounding can leave a pair of equal features slightly below 0.
        self.ops.at_least_zero(products)


def require_features(name: str, array: Any) -> None:
    """Check the shape and type of features.

    Raises:
        ReidError: not (images, dimension) real numbers, or none.
    """
    if array.ndim != 2 or 0 in array.shape:
        raise ReidError(f"{name} has shape {tuple(array.shape)}; it needs (images, dimension), neither of them 0")
    if not operations(array).is_real(array):
        raise ReidError(f"{name} holds {array.dtype}; it needs real numbers, such as float32")


def _parts(features: Any) -> Iterator[Any]:
    """Features, up to `BLOCK_BYTES` of them at a time even as float64."""
    rows = max(1, BLOCK_BYTES // (8 * features.shape[1]))
    return (features[first : first + rows] for first in range(0, len(features), rows))


def _nearly_alike(ops: Operations, features: Any) -> bool:
    """Whether some evenly spaced features differ by little of their length."""
    rows = np.unique(np.linspace(0, len(features) - 1, _SAMPLE).astype(np.int64))
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused later
        some = ops.host(ops.take(features, rows)).astype(np.float64)
        return bool(np.square(some - some.mean(axis=0)).sum() < _ALIKE * np.square(some).sum())


def _squared_lengths(
    ops: Operations, name: str, features: Any, like: Any, metric: Metric, first_row: int
) -> NDArray[Any]:
    """(n,) in the type of `like`, checked."""
    parts = (ops.cast(part, like) for part in _parts(features))
    squares = np.concatenate([ops.row_products(part, part) for part in parts])
    if not np.isfinite(squares).all():
        row = int(np.argmin(np.isfinite(squares)))
        values = ops.host(features[row])
        column = int(np.argmin(np.isfinite(values)))
        if not np.isfinite(values[column]):
            raise ReidError(
                f"{name} holds {values[column]} in row {first_row + row}, column {column}; features must be finite"
            )
    if not squares.max() <= _LARGEST_SQUARE:  # nor if nan, which is in a later row then
        row = first_row + int(np.argmin(squares <= _LARGEST_SQUARE))
        raise ReidError(f"{name}, row {row}: the values are too large to compute distances with")
    if metric == "cosine" and squares.min() < _SMALLEST_SQUARE:
        row = first_row + int(np.argmin(squares))
        raise ReidError(f"{name}, row {row} is all zeros, or nearly, and has no cosine; use the euclidean metric")
    return squares
