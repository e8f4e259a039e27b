"""Exact search, which reads the gallery once, a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidtrain.metrics.arrays import as_arrays, is_tensor, on_host, operations
from reidtrain.metrics.distances import FeatureDistances, Metric, require_features
from reidtrain.retrieval.gallery import Gallery, Nearest

if TYPE_CHECKING:
    from reidtrain.metrics.arrays import Numbers

BLOCK_BYTES = 64 << 20
"""Size of a block of gallery features, and of a block of distances."""

_QUERIES_AT_ONCE = 4096


def search(
    query_features: Numbers,
    gallery: Sequence[Numbers],
    *,
    top: int = 20,
    metric: Metric = "euclidean",
    progress: Progress = unseen,
) -> Nearest:
    """Find the `top` gallery images nearest to each query, exactly.

    A block of the gallery and a block of distances, of 64 MB each, are held at a time, and the result. Where the query
    features are a tensor on a GPU, the work is done there; blocks of a gallery that is elsewhere are brought there.

    Args:
        query_features: (queries, dimension) finite real numbers.
        gallery: parts of the gallery, (images, dimension) each, of the same model; memory-mapped files for one
            that is larger than the memory.
        top: how many to find; all, if the gallery holds fewer.
        metric: `euclidean` or `cosine`.
        progress: called with gallery images done and in total.

    Raises:
        ReidError: features that `FeatureDistances.checked` refuses, no gallery, or `top` below 1.
    """
    require_search(top, metric)
    (query,) = as_arrays(query_features=query_features)
    require_features("query_features", query)
    everything = Gallery.of(gallery)
    widest = max(everything.dimension, min(len(query), _QUERIES_AT_ONCE))
    best: Nearest | None = None
    for first, block in everything.blocks(max(1, BLOCK_BYTES // (4 * widest))):
        found = _search_block(query, _beside(query, block), first, top, metric)
        best = found if best is None else _merged(best, found, top)
        progress(first + len(block), len(everything))
    assert best is not None
    return everything.measure(on_host(query), best.indices, metric)


def require_search(top: int, metric: str) -> None:
    """Check what a search is asked for.

    Raises:
        ReidError: `top` below 1 or an unknown metric.
    """
    if top < 1:
        raise ReidError(f"top is {top}; it must be at least 1")
    if metric not in get_args(Metric):
        raise ReidError(f"metric is {metric!r}; it is one of {', '.join(get_args(Metric))}")


def _beside(query: Any, block: Any) -> Any:
    """The block, where the query is."""
    if is_tensor(query) and not is_tensor(block):
        return operations(query).place(np.array(block), query)
    return block


def _search_block(query: Any, block: Any, first: int, top: int, metric: Metric) -> Nearest:
    features = FeatureDistances.checked(query, block, metric, first=first)
    found = [
        features.ops.smallest(features.block(start, min(start + _QUERIES_AT_ONCE, len(query))), min(top, len(block)))
        for start in range(0, len(query), _QUERIES_AT_ONCE)
    ]
    distances, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Nearest(first + columns, distances)


def _merged(best: Nearest, found: Nearest, top: int) -> Nearest:
    """The nearest of two results, the second of which is from later in the gallery."""
    distances = np.concatenate([best.distances, found.distances], axis=1)
    indices = np.concatenate([best.indices, found.indices], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :top]
    return Nearest(_along(indices, order), _along(distances, order))


def _along(values: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    taken: NDArray[Any] = np.take_along_axis(values, order, axis=1)
    return taken
