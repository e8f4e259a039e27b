"""Distances between features, a block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError

Metric = Literal["euclidean", "cosine"]
BLOCK_BYTES = 64 << 20
"""Size of one block of distances."""

_ROWS_AT_ONCE = 4096
_LARGEST_SQUARE = 1e37


@dataclass(frozen=True, eq=False)
class FeatureDistances:
    """Distances of query features to gallery features, computed when asked for.

    Euclidean distances are squared, which ranks the same; cosine is 1 - cos, so it lies in 0 to 2.

    Attributes:
        query: (queries, dimension) float32 or float64.
        gallery: (gallery, dimension) of the same type.
        metric: `euclidean` or `cosine`.
        query_squares: (queries,) squared lengths.
        gallery_squares: (gallery,) squared lengths.
    """

    query: NDArray[Any]
    gallery: NDArray[Any]
    metric: Metric
    query_squares: NDArray[Any]
    gallery_squares: NDArray[Any]

    @classmethod
    def checked(cls, query_features: ArrayLike, gallery_features: ArrayLike, metric: Metric) -> FeatureDistances:
        """Distances between two sets of features of one model.

        float64 features are compared in float64, all others in float32.

        Raises:
            ReidError: no features, features that are not finite real numbers or too large to square, of two
                different dimensions, or, for cosine, all zero.
        """
        query, gallery = np.asarray(query_features), np.asarray(gallery_features)
        for name, array in (("query_features", query), ("gallery_features", gallery)):
            if array.ndim != 2 or 0 in array.shape:
                raise ReidError(f"{name} has shape {array.shape}; it needs (images, dimension), neither of them 0")
            if array.dtype.kind not in "fiu":
                raise ReidError(f"{name} holds {array.dtype}; it needs real numbers, such as float32")
        if query.shape[1] != gallery.shape[1]:
            raise ReidError(
                f"query_features have {query.shape[1]} dimensions, gallery_features {gallery.shape[1]}: "
                "they come from different models; extract both with the same one"
            )
        double = np.float64 in (query.dtype, gallery.dtype)
        query, gallery = (array.astype(np.float64 if double else np.float32, copy=False) for array in (query, gallery))
        return cls(
            query,
            gallery,
            metric,
            _squared_lengths("query_features", query, metric),
            _squared_lengths("gallery_features", gallery, metric),
        )

    def block(self, start: int, stop: int) -> NDArray[Any]:
        """(stop - start, gallery) distances of queries `start:stop`."""
        return self._from_products(
            self.query[start:stop] @ self.gallery.T,
            self.query_squares[start:stop, None],
            self.gallery_squares,
        )

    def pairs(self, queries: NDArray[np.int64], gallery: NDArray[np.int64]) -> NDArray[Any]:
        """(pairs,) distances of single queries to single gallery images."""
        products = np.empty(len(queries), dtype=self.query.dtype)
        at_once = max(1, BLOCK_BYTES // (2 * self.query.shape[1] * self.query.itemsize))
        for first in range(0, len(queries), at_once):
            some = slice(first, first + at_once)
            np.einsum("ij,ij->i", self.query[queries[some]], self.gallery[gallery[some]], out=products[some])
        return self._from_products(products, self.query_squares[queries], self.gallery_squares[gallery])

    def _from_products(
        self, products: NDArray[Any], query_squares: NDArray[Any], gallery_squares: NDArray[Any]
    ) -> NDArray[Any]:
        """Turn scalar products into distances, in place."""
        if self.metric == "cosine":
            products /= np.sqrt(query_squares)
            products /= np.sqrt(gallery_squares)
            np.subtract(1, products, out=products)
        else:
            products *= -2
            products += query_squares
            products += gallery_squares
        # Rounding can leave a pair of equal features slightly below 0.
        np.maximum(products, 0, out=products)
        return products

    def rows_per_block(self) -> int:
        """How many queries fit in `BLOCK_BYTES`."""
        return max(1, BLOCK_BYTES // (len(self.gallery) * self.gallery.itemsize))


def _squared_lengths(name: str, features: NDArray[Any], metric: Metric) -> NDArray[Any]:
    squares = np.concatenate(
        [
            np.einsum("ij,ij->i", part, part, dtype=np.float64)
            for part in np.split(features, range(_ROWS_AT_ONCE, len(features), _ROWS_AT_ONCE))
        ]
    )
    if not np.isfinite(squares).all():
        row = int(np.argmin(np.isfinite(squares)))
        column = int(np.argmin(np.isfinite(features[row])))
        if not np.isfinite(features[row, column]):
            raise ReidError(
                f"{name} holds {features[row, column]} in row {row}, column {column}; features must be finite"
            )
    if squares.max() > _LARGEST_SQUARE:
        raise ReidError(f"{name}, row {int(squares.argmax())}: the values are too large to compute distances with")
    if metric == "cosine" and not squares.all():
        raise ReidError(
            f"{name}, row {int(np.argmin(squares))} is all zeros and has no cosine; use the euclidean metric"
        )
    return squares.astype(features.dtype)
