"""Score a ranking of gallery images by the protocols of the field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.arrays import as_arrays, operations
from reidtrain.metrics.counting import require_finite, search_rows, sorted_rows
from reidtrain.metrics.distances import Distances, FeatureDistances, GivenDistances, Metric
from reidtrain.metrics.protocols import JUNK, PROTOCOLS, WHOLE_GALLERY, Labels, Protocol
from reidtrain.metrics.scores import RANKS, APVariant, RankingMetrics, score_matches, summarise, with_junk_queries
from reidtrain.metrics.single_shot import score_single_shot

if TYPE_CHECKING:
    from reidtrain.metrics.arrays import Numbers
    from reidtrain.metrics.reranking import Reranking

_QUERIES_AT_ONCE = 256


def evaluate_ranking(
    distances: Numbers,
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
    *,
    ap: APVariant = "step",
    ranks: Sequence[int] = RANKS,
    protocol: Protocol = "market1501",
) -> RankingMetrics:
    """Score a matrix of distances.

    Gallery images with pid -1 are ignored, as are those of the query's person at the query's camera, except by the
    protocol `no-cameras`. A wrong
    image at exactly a match's distance ranks before the match, so scores depend neither on the order of
    the images nor on luck, and features that are all equal score worst.

    All arrays may be PyTorch tensors. What is done with the whole matrix is done on the device it is on.

    Args:
        distances: (queries, gallery) finite real numbers, small where alike.
        query_pids: (queries,) person ids.
        gallery_pids: (gallery,) person ids; -1 is ignored.
        query_camids: (queries,) cameras.
        gallery_camids: (gallery,) cameras.
        ap: definition of average precision, `step` (mean of the precision at each hit) or `trapezoid`.
        ranks: k at which to give the CMC.
        protocol: a key of `PROTOCOLS`.

    Raises:
        ReidError: wrong shapes or types, distances that are not finite, or no query with a match.
    """
    (matrix,) = as_arrays(distances=distances)
    ops = operations(matrix)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ReidError(f"distances have shape {tuple(matrix.shape)}; they need (queries, gallery), neither of them 0")
    if not ops.is_real(matrix):
        raise ReidError(f"distances hold {matrix.dtype}; they need real numbers, such as float32")
    labels = Labels.checked(query_pids, gallery_pids, query_camids, gallery_camids, *matrix.shape).under(protocol)
    return score_distances(GivenDistances(matrix), labels, ap, ranks, protocol)


def evaluate_features(
    query_features: Numbers,
    gallery_features: Numbers,
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
    *,
    metric: Metric = "euclidean",
    rerank: Reranking | None = None,
    ap: APVariant = "step",
    ranks: Sequence[int] = RANKS,
    protocol: Protocol = "market1501",
) -> RankingMetrics:
    """Score features, holding a block of the distance matrix at a time.

    The gallery may be a memory-mapped file, which is read in blocks and never copied as a whole. Otherwise as
    `evaluate_ranking`.

    Args:
        query_features: (queries, dimension) finite real numbers.
        gallery_features: (gallery, dimension) of the same model.
        query_pids: (queries,) person ids.
        gallery_pids: (gallery,) person ids; -1 is ignored.
        query_camids: (queries,) cameras.
        gallery_camids: (gallery,) cameras.
        metric: `euclidean` or `cosine`.
        rerank: parameters of k-reciprocal re-ranking, or None for none.
        ap: definition of average precision.
        ranks: k at which to give the CMC.
        protocol: a key of `PROTOCOLS`.

    Raises:
        ReidError: wrong shapes or types, features not finite or of two models, no query with a match, or
            re-ranking asked for where the gallery is drawn.

    Example:
        >>> import numpy as np
        >>> from reidtrain import evaluate_features
        >>> rng = np.random.default_rng(0)
        >>> people = rng.normal(size=(10, 16))
        >>> query, gallery = (people + rng.normal(scale=0.1, size=people.shape) for camera in (1, 2))
        >>> pids, cameras = np.arange(10), np.ones(10, int)
        >>> metrics = evaluate_features(query, gallery, pids, pids, cameras, cameras + 1)
        >>> metrics
        RankingMetrics(Rank-1 100.00%, mAP 100.00%, 10 queries)
        >>> metrics.mAP, metrics.average_precision.shape
        (1.0, (10,))
    """
    _require("metric", metric, get_args(Metric))
    features = FeatureDistances.checked(query_features, gallery_features, metric)
    sizes = len(features.query), len(features.gallery)
    labels = Labels.checked(query_pids, gallery_pids, query_camids, gallery_camids, *sizes).under(protocol)
    if rerank is None:
        return score_distances(features, labels, ap, ranks, protocol)

    if protocol not in WHOLE_GALLERY:
        raise ReidError(
            f"protocol {protocol} draws the gallery, re-ranking compares each image with the whole of it: "
            "no expectation is known; re-rank under cuhk03-np instead"
        )
    from reidtrain.metrics.reranking import KReciprocal

    labels.require_match(protocol)
    asked, kept = labels.query_pids != JUNK, labels.gallery_pids != JUNK
    if not (asked.all() and kept.all()):
        # Junk must not be a neighbour of anything.
        sides = (features.query, asked), (features.gallery, kept)
        query, gallery = (features.ops.take(side, np.flatnonzero(people)) for side, people in sides)
        features = FeatureDistances.checked(query, gallery, metric)
        labels = Labels.checked(
            labels.query_pids[asked],
            labels.gallery_pids[kept],
            labels.query_camids[asked],
            labels.gallery_camids[kept],
            len(features.query),
            len(features.gallery),
        )
    reranked = KReciprocal.encode(features, rerank)
    return with_junk_queries(score_distances(reranked, labels, ap, ranks, protocol), asked)


def score_distances(
    distances: Distances, labels: Labels, ap: APVariant, ranks: Sequence[int], protocol: Protocol
) -> RankingMetrics:
    """Score distances, a block at a time; see `evaluate_ranking`."""
    _require("ap", ap, get_args(APVariant))
    _require("protocol", protocol, tuple(PROTOCOLS))
    if not ranks or min(ranks) < 1:
        raise ReidError(f"ranks are {tuple(ranks)}; at least one is needed, none below 1")
    labels.require_match(protocol)
    queries = len(labels.query_pids)
    scores = []
    if protocol in WHOLE_GALLERY:
        rows, _ = distances.tile()
        for first in range(0, queries, rows):
            last = min(first + rows, queries)
            scores.append(score_matches(*match_ranks(distances, labels, first, last), last - first, ranks, ap))
    else:
        any_camera = protocol == "cuhk03-classic-any-camera"
        for first in range(0, queries, _QUERIES_AT_ONCE):
            block = distances.ops.host(distances.block(first, min(first + _QUERIES_AT_ONCE, queries)))
            require_finite(block, first)
            scores.append(score_single_shot(block, labels, first, ranks, ap, any_camera))
    return summarise(scores, ranks)


def match_ranks(
    distances: Distances, labels: Labels, start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where the matches of queries `start:stop` rank, each in the gallery without junk and its person at its camera.

    A match ranks behind the wrong images that are as close or closer. Those are all images as close or closer, less
    junk, less images of its own person; no row is ever sorted.

    Args:
        distances: of all queries to the gallery, finite real numbers.
        labels: of all queries and the gallery.
        start: first query.
        stop: query after the last.

    Returns:
        Of each match its rank from 1; 1 for the query's best ranked match, 2 for the next ...; and the query, from
        `start` on: (matches,) each, ascending by query and rank.
    """
    queries = stop - start
    query, column = labels.same_person(start, stop)
    blocks = _Blocks(distances, start, stop, len(labels.gallery_pids))
    distance = _distances_of_pairs(blocks, query, column)

    own_sizes = np.bincount(query, minlength=queries)
    own = sorted_rows(distance, own_sizes)
    other_camera = labels.query_camids[start + query] != labels.gallery_camids[column]
    matches = np.bincount(query[other_camera], minlength=queries)
    limits = sorted_rows(distance[other_camera], matches)
    match, nth = np.nonzero(np.arange(limits.shape[1]) < matches[:, None])
    limits = limits[match, nth]

    junk = np.flatnonzero(labels.gallery_pids == JUNK)
    wrong = _count_without(blocks, junk, match, limits) - search_rows(own, own_sizes, match, limits)
    return nth + 1 + wrong, nth + 1, match


class _Blocks:
    """The distances of some queries by gallery images, computed once where one block holds them all."""

    def __init__(self, distances: Distances, start: int, stop: int, gallery: int) -> None:
        self.ops = distances.ops
        self._distances, self._queries, self._gallery = distances, (start, stop), gallery
        self._held = list(self._compute()) if distances.tile()[1] >= gallery else None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Blocks, each with the index of its first gallery image."""
        return iter(self._compute() if self._held is None else self._held)

    def _compute(self) -> Iterator[tuple[int, Any]]:
        columns = self._distances.tile()[1]
        for first in range(0, self._gallery, columns):
            yield first, self._distances.block(*self._queries, slice(first, first + columns))


def _distances_of_pairs(blocks: _Blocks, query: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[Any]:
    """(pairs,) distances of single queries to single gallery images.

    They are taken from the blocks that they are compared with later: computed otherwise they could be
    rounded otherwise, and equal features would not have equal distances.
    """
    result: NDArray[Any] = np.empty(0)
    for first, block in blocks:
        within = (column >= first) & (column < first + block.shape[1])
        values = blocks.ops.pick(block, query[within], column[within] - first)
        if not len(result):
            result = np.empty(len(query), dtype=values.dtype)
        result[within] = values
    return result


def _count_without(
    blocks: _Blocks, left_out: NDArray[np.int64], match: NDArray[np.int64], limits: NDArray[Any]
) -> NDArray[np.int64]:
    """(matches,) how many gallery images, but those `left_out`, are as close as each match or closer."""
    ops = blocks.ops
    counts = np.zeros(len(match), dtype=np.int64)
    for first, block in blocks:
        counts += ops.count_at_most(block, match, limits)
        some = left_out[(left_out >= first) & (left_out < first + block.shape[1])] - first
        if len(some):
            counts -= ops.count_at_most(ops.columns(block, some), match, limits)
    return counts


def _require(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ReidError(f"{name} is {value!r}; it is one of {', '.join(known)}")
