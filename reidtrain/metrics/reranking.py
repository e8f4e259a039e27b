"""k-reciprocal re-ranking (Zhong et al., CVPR 2017).

Query and gallery images together are the N images. R(i, k) are those of i's k + 1 nearest (itself among
them) that also have i among theirs. A member c of R(i, k1) brings in the whole of R(c, k1 / 2) when more than
two thirds of that is in R(i, k1). Image i is then described by weights exp(-d) over this set, summing to 1,
averaged over i's k2 nearest. The Jaccard distance of two such descriptions is mixed with the original distance
d, which is squared and divided by its largest value in the row.

Each image has some dozens of weights, so every N x N quantity is sparse, and distances exist a block at a time. The
distances and the search for neighbours run where the features are, which may be a GPU; what is sparse stays in SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.arrays import NUMPY, Operations
from reidtrain.metrics.distances import FeatureDistances, Metric


@dataclass(frozen=True)
class Reranking:
    """Parameters of k-reciprocal re-ranking; the defaults are the paper's.

    Attributes:
        k1: neighbours considered for a description.
        k2: nearest images, itself among them, whose descriptions are averaged.
        weight: weight of the original distance in the result, lambda in the paper, 0 to 1.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.weight <= 1:
            raise ReidError(f"{self}: k1 and k2 must be at least 1, and weight from 0 to 1")


def rerank(
    query_features: Any, gallery_features: Any, parameters: Reranking | None = None, *, metric: Metric = "euclidean"
) -> NDArray[Any]:
    """Distances of queries to the gallery, re-ranked.

    Args:
        query_features: (queries, dimension) real numbers, as an array or a tensor.
        gallery_features: (gallery, dimension) real numbers, without junk: it would be a neighbour like any other.
        parameters: those of the method, the paper's by default.
        metric: `euclidean` or `cosine`.

    Returns:
        (queries, gallery) distances, 0 to 1; `evaluate_ranking` scores them, a row's `argsort` is its ranked list.

    Raises:
        ReidError: as `FeatureDistances.checked`.

    Example:
        >>> import numpy as np
        >>> from reidtrain import rerank
        >>> query, gallery = np.eye(3)[:1], np.eye(3)[[1, 0, 2]]
        >>> rerank(query, gallery).argmin(axis=1).tolist()
        [1]
    """
    features = FeatureDistances.checked(query_features, gallery_features, metric)
    reranked = KReciprocal.encode(features, parameters or Reranking())
    queries, rows = len(features.query), features.rows_per_block()
    return np.concatenate([reranked.block(start, min(start + rows, queries)) for start in range(0, queries, rows)])


@dataclass(frozen=True, eq=False)
class KReciprocal:
    """Re-ranked distances of queries to the gallery, computed from sparse descriptions when asked for.

    Attributes:
        features: original distances of queries to the gallery.
        weight: weight of the original distance.
        largest: (queries,) largest original distance of each query to any image, squared.
        query: (queries, N) sparse descriptions.
        gallery: (gallery, N) sparse descriptions, by column.
    """

    features: FeatureDistances
    weight: float
    largest: NDArray[Any]
    query: sp.csr_matrix
    gallery: sp.csc_matrix

    @classmethod
    def encode(cls, features: FeatureDistances, parameters: Reranking) -> KReciprocal:
        """Describe every query and gallery image by its k-reciprocal neighbours."""
        ops = features.ops
        squares = ops.join([features.query_squares, features.gallery_squares], axis=0)
        images = ops.join([ops.cast(some, squares) for some in (features.query, features.gallery)], axis=0)
        everything = FeatureDistances(images, images, features.metric, squares, squares)
        nearest, largest = _nearest(everything, max(parameters.k1 + 1, parameters.k2))
        neighbours = _expanded_neighbours(nearest, parameters.k1)
        descriptions = _weights(neighbours, everything, largest)
        closest = nearest[:, : parameters.k2]
        descriptions = _adjacency(closest, descriptions.dtype.type(1 / closest.shape[1])) @ descriptions
        queries = len(features.query)
        return cls(
            features,
            parameters.weight,
            largest[:queries],
            descriptions[:queries].tocsr(),
            descriptions[queries:].tocsc(),
        )

    @property
    def ops(self) -> Operations:
        """NumPy's: what is sparse is joined in here."""
        return NUMPY

    def tile(self) -> tuple[int, int]:
        """Whole rows."""
        return self.features.rows_per_block(), len(self.features.gallery)

    def block(self, start: int, stop: int, columns: slice = slice(None)) -> NDArray[Any]:
        """(stop - start, columns) re-ranked distances, 0 to 1, of queries `start:stop`."""
        result = self.features.ops.host(_original(self.features.block(start, stop), self.features))
        result *= self.weight / self.largest[start:stop, None]
        for line, query in zip(result, range(start, stop), strict=True):
            line += (1 - self.weight) * self._jaccard(query)
        return result[:, columns]

    def _jaccard(self, query: int) -> NDArray[np.float64]:
        """(gallery,) Jaccard distance: 1 - sum of minima / sum of maxima, and both descriptions sum to 1."""
        some = slice(self.query.indptr[query], self.query.indptr[query + 1])
        columns, weights = self.query.indices[some], self.query.data[some]
        begin, end = self.gallery.indptr[columns], self.gallery.indptr[columns + 1]
        lengths = end - begin
        position = np.arange(lengths.sum()) + np.repeat(begin - (np.cumsum(lengths) - lengths), lengths)
        smaller = np.minimum(np.repeat(weights, lengths), self.gallery.data[position])
        common = np.bincount(self.gallery.indices[position], weights=smaller, minlength=self.gallery.shape[0])
        result: NDArray[np.float64] = 1 - common / (2 - common)
        return result


def _original(distances: Any, features: FeatureDistances) -> Any:
    """The squared distance the method starts from, in place; the euclidean one comes squared."""
    if features.metric == "cosine":
        distances *= distances
    return distances


def _nearest(features: FeatureDistances, count: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The `count` nearest images of each image, and the largest distance in its row.

    An image is its own nearest; the lower index goes first among equal distances.

    Returns:
        (N, min(count, N)) int64 by ascending distance, and (N,) squared distances, 1 where all are 0.
    """
    images, ops = len(features.query), features.ops
    rows = features.rows_per_block()
    nearest, largest = [], []
    for start in range(0, images, rows):
        block = _original(features.block(start, min(start + rows, images)), features)
        largest.append(ops.largest(block))
        ops.set_diagonal(block, start, -1)
        nearest.append(ops.smallest(block, min(count, images))[1])
    limits = np.concatenate(largest)
    limits[limits == 0] = 1
    return np.concatenate(nearest), limits


def _adjacency(nearest: NDArray[np.int64], value: Any) -> sp.csr_matrix:
    """(N, N) sparse matrix with `value` where a column is among the row's `nearest`."""
    images, count = nearest.shape
    ends = np.arange(0, images * count + 1, count)
    return sp.csr_matrix((np.full(images * count, value), nearest.ravel(), ends), shape=(images, images))


def _reciprocal(nearest: NDArray[np.int64], k: int) -> sp.csr_matrix:
    """(N, N) sparse 0/1, symmetric: R(., k)."""
    forward = _adjacency(nearest[:, : k + 1], np.int32(1))
    return forward.multiply(forward.T).tocsr()


def _expanded_neighbours(nearest: NDArray[np.int64], k1: int) -> sp.csr_matrix:
    """(N, N) sparse, not zero where a column is in the row's expanded set R*(., k1)."""
    whole = _reciprocal(nearest, k1)
    # Python and the reference method both round a half to the even neighbour.
    half = _reciprocal(nearest, round(k1 / 2))
    shared = (whole @ half).multiply(whole).tocsr()
    sizes = half.getnnz(axis=1)
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
    shared.eliminate_zeros()
    return (whole + shared @ half).tocsr()


def _weights(neighbours: sp.csr_matrix, features: FeatureDistances, largest: NDArray[Any]) -> sp.csr_matrix:
    """(N, N) sparse descriptions: exp(-d) over the neighbours, each row summing to 1."""
    rows = np.repeat(np.arange(len(largest)), np.diff(neighbours.indptr))
    distances = _original(features.pairs(rows, neighbours.indices), features)
    weights = np.exp(-distances / largest[rows])
    weights /= np.bincount(rows, weights=weights, minlength=len(largest))[rows]
    return sp.csr_matrix((weights, neighbours.indices, neighbours.indptr), shape=neighbours.shape)
