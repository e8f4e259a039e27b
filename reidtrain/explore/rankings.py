"""The rankings of a run: computed once, and kept in a file that the pages read (docs/inspect.md says what is in it)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError, first_line
from reidprep.files import claim_file, write_file
from reidprep.progress import Progress, Steps, unseen, unseen_steps
from reidprep.store.hdf5 import DAMAGE, Column, Schema, Table, hdf5_bytes, open_hdf5
from reidtrain.evaluation.images import RankedImages
from reidtrain.explore.sources import Explored, differences
from reidtrain.features.files import EMBEDDING, Features, read_about
from reidtrain.metrics.distances import FeatureDistances
from reidtrain.metrics.protocols import WHOLE_GALLERY, Labels, Protocol
from reidtrain.metrics.ranked_lists import NOBODY, rank_lists
from reidtrain.metrics.ranking import match_ranks
from reidtrain.metrics.scores import average_precisions

SCHEMA = Schema("reidtrain.rankings", 1)
TOP = 100
"""Gallery images kept of each list."""

RIGHT, WRONG, JUNK, ABSENT = range(4)
VERDICTS = ("right", "wrong", "junk")


@dataclass(frozen=True, eq=False)
class Rankings:
    """The rankings of q queries, with k images of each list, m matches in all and p features beside the embedding.

    Samples are counted through the whole shard directory. Distances are Euclidean.

    Attributes:
        about: what the file says about itself.
        rows: (q,) int64 samples that are the queries.
        average_precision: (q,) float64, nan where the gallery holds no match.
        lists: (q, k) int32 samples, nearest first, with those that count for neither; -1 after the last.
        distances: (q, k) float32 of the embedding; nan after the last.
        verdicts: (q, k) uint8, positions in `VERDICTS`; 3 after the last.
        typical: (q, 1 + p) float32, root of the mean squared distance to all of the gallery, of the embedding and of
            each part.
        match_counts: (q,) int32, matches of each query, which lie one after the other in the following.
        match_rows: (m,) int32 samples.
        match_ranks: (m,) int32 from 1, of the images that count.
        match_distances: (m,) float32.
        part_distances: (q, k, p) float32, of each feature beside the embedding.
        match_part_distances: (m, p) float32.
    """

    about: Mapping[str, Any]
    rows: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    lists: NDArray[np.int32]
    distances: NDArray[np.float32]
    verdicts: NDArray[np.uint8]
    typical: NDArray[np.float32]
    match_counts: NDArray[np.int32]
    match_rows: NDArray[np.int32]
    match_ranks: NDArray[np.int32]
    match_distances: NDArray[np.float32]
    part_distances: NDArray[np.float32]
    match_part_distances: NDArray[np.float32]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the features beside the embedding."""
        return tuple(self.about["parts"])

    @cached_property
    def match_ends(self) -> NDArray[np.int64]:
        """(q + 1,) where the matches of each query begin, and the last one's end."""
        return np.concatenate([[0], np.cumsum(self.match_counts)])

    def matches(self, query: int) -> slice:
        """Where the matches of a query are."""
        return slice(int(self.match_ends[query]), int(self.match_ends[query + 1]))

    @cached_property
    def match_query(self) -> NDArray[np.int64]:
        """(m,) query of each match."""
        return np.repeat(np.arange(len(self.rows)), self.match_counts)

    @cached_property
    def first_rank(self) -> NDArray[np.float64]:
        """(q,) rank of the first right image, nan where there is none."""
        first = np.full(len(self.rows), np.nan)
        some = self.match_counts > 0
        first[some] = self.match_ranks[self.match_ends[:-1][some]]
        return first

    @cached_property
    def nearest(self) -> NDArray[np.int32]:
        """(q,) the nearest sample that counts, -1 where there is none."""
        counts = self.verdicts < JUNK
        at = counts.argmax(axis=1)
        nearest: NDArray[np.int32] = self.lists[np.arange(len(at)), at]
        nearest[~counts.any(axis=1)] = NOBODY
        return nearest

    def in_short(self, query: int) -> str:
        """A query's average precision and first right rank."""
        precision = self.average_precision[query]
        return "no match" if np.isnan(precision) else f"AP {100 * precision:.0f}, rank {self.first_rank[query]:.0f}"

    @property
    def scores(self) -> tuple[float, float]:
        """Rank-1 and mAP."""
        some = self.match_counts > 0
        return float((self.first_rank[some] == 1).mean()), float(self.average_precision[some].mean())


def _table(top: int, parts: int) -> Table:
    some = parts > 0
    columns = {
        "rows": Column(np.int64),
        "average_precision": Column(np.float64),
        "lists": Column(np.int32, (top,)),
        "distances": Column(np.float32, (top,)),
        "verdicts": Column(np.uint8, (top,)),
        "typical": Column(np.float32, (1 + parts,)),
        "match_counts": Column(np.int32),
        "match_rows": Column(np.int32, per_sample=False),
        "match_ranks": Column(np.int32, per_sample=False),
        "match_distances": Column(np.float32, per_sample=False),
    }
    if some:
        columns["part_distances"] = Column(np.float32, (top, parts))
        columns["match_part_distances"] = Column(np.float32, (parts,), per_sample=False)
    return columns


def rankings_of(
    explored: Explored, images: RankedImages, protocol: Protocol, progress: Steps = unseen_steps
) -> Rankings:
    """The rankings of a run: from its file, or computed and then kept there.

    Args:
        explored: the run and the shards.
        images: queries and gallery, those of nobody too.
        protocol: which gallery images count; of those that draw the gallery, the rule alone.
        progress: shows how far each step is.

    Raises:
        ReidError: as `Explored.features`, or features that cannot be compared; the file cannot be written.
    """
    if protocol not in WHOLE_GALLERY:
        protocol = "cuhk03-np"
    file = explored.file("rankings").with_suffix(".h5")
    wanted = {**explored.wanted, "protocol": protocol}
    explored.find("test")  # refuses what is given and does not fit
    kept = _kept(file, wanted, images)
    if kept is not None:
        return kept
    with progress("features") as report:
        path = explored.features("test", report)
    claim_file(file, overwrite=True)
    with progress("rankings", "queries") as report:
        about = read_about(path)
        sides = images.read(path, list(about["dimensions"]))
        about["protocol"] = protocol
        rankings = rank(*sides, (images.query, images.gallery), about, progress=report)
    table = _table(rankings.lists.shape[1], len(rankings.parts))
    write_file(file, hdf5_bytes(SCHEMA, rankings.about, table, vars(rankings)))
    return rankings


def rank(
    query: Features,
    gallery: Features,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    about: Mapping[str, Any],
    *,
    top: int = TOP,
    progress: Progress = unseen,
) -> Rankings:
    """Rank the gallery for each query.

    Args:
        query: features of the queries; all but `embedding` are of parts.
        gallery: of the gallery.
        rows: the samples that these are of, through the whole shard directory.
        about: what the features say about themselves, and `protocol`.
        top: images to keep of each list.
        progress: called with queries done and in total.

    Raises:
        ReidError: features that cannot be compared, or no query with a match.
    """
    parts = tuple(name for name in query.arrays if name != EMBEDDING)
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    sides = query.arrays[EMBEDDING], gallery.arrays[EMBEDDING]
    total, protocol = len(query.pids), about["protocol"]
    top = min(top, len(gallery.pids))
    lists = rank_lists(
        *sides, *labels, queries=np.arange(total), top=top, protocol=protocol, junk=True, progress=progress
    )
    distances = {
        name: FeatureDistances.checked(query.arrays[name], gallery.arrays[name], "euclidean")
        for name in (EMBEDDING, *parts)
    }
    checked = Labels.checked(*labels, total, len(gallery.pids)).under(protocol)
    ranks, nth, of = _match_ranks(distances[EMBEDDING], checked, total)
    pairs = _matches(distances[EMBEDDING], checked, total)
    present = lists.gallery != NOBODY
    who, where = np.nonzero(present)
    part_distances = np.full((*lists.gallery.shape, len(parts)), np.nan, dtype=np.float32)
    match_parts = np.empty((len(pairs[0]), len(parts)), dtype=np.float32)
    for number, name in enumerate(parts):
        part_distances[who, where, number] = np.sqrt(distances[name].pairs(who, lists.gallery[present]))
        match_parts[:, number] = np.sqrt(distances[name].pairs(*pairs))
    assert lists.junk is not None
    verdicts = np.where(lists.right, RIGHT, np.where(lists.junk, JUNK, WRONG))
    return Rankings(
        about={**about, "parts": parts, "top": top},
        rows=rows[0],
        average_precision=average_precisions(ranks, nth, of, total, "step"),
        lists=np.where(present, rows[1][lists.gallery], NOBODY).astype(np.int32),
        distances=lists.distances.astype(np.float32),
        verdicts=np.where(present, verdicts, ABSENT).astype(np.uint8),
        typical=np.stack([_typical(each) for each in distances.values()], axis=1),
        match_counts=np.bincount(of, minlength=total).astype(np.int32),
        match_rows=rows[1][pairs[1]].astype(np.int32),
        match_ranks=ranks.astype(np.int32),
        match_distances=np.sqrt(distances[EMBEDDING].pairs(*pairs)).astype(np.float32),
        part_distances=part_distances,
        match_part_distances=match_parts,
    )


def _match_ranks(distances: FeatureDistances, labels: Labels, total: int) -> tuple[NDArray[np.int64], ...]:
    """Rank of each match, which one of its query it is, and the query."""
    labels.require_match("market1501")
    rows, _ = distances.tile()
    found = []
    for first in range(0, total, rows):
        ranks, nth, query = match_ranks(distances, labels, first, min(first + rows, total))
        found.append((ranks, nth, query + first))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _matches(distances: FeatureDistances, labels: Labels, total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Query and gallery position of each match, by query and distance: in the order of their ranks."""
    query, column = labels.same_person(0, total)
    counts = labels.query_camids[query] != labels.gallery_camids[column]
    query, column = query[counts], column[counts]
    order = np.lexsort((distances.pairs(query, column), query))
    return query[order], column[order]


def _typical(distances: FeatureDistances) -> NDArray[np.float32]:
    """(q,) root of the mean squared distance of each query to the gallery: |q|^2 + mean |g|^2 - 2 q . mean g."""
    mean = np.asarray(distances.gallery, np.float32).mean(axis=0, dtype=np.float64)
    squares = distances.query_squares + distances.gallery_squares.mean(dtype=np.float64) - 2 * (distances.query @ mean)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float32)


def nearness(distances: NDArray[np.float32], typical: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much nearer than usual a feature is: 1 - d^2 / t^2, with t^2 the query's mean squared distance.

    1 is the same feature, 0 as far as the gallery is on the whole, less is farther than that.

    Args:
        distances: (..., p) distances.
        typical: (p,) their usual ones.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - np.square(distances) / np.square(typical), np.float32)


def read_plan(file: Path) -> dict[str, Any]:
    """What a file of this package says about itself.

    Raises:
        ReidError: missing or damaged.
    """
    try:
        with h5py.File(file, "r", locking=False) as content:
            plan = json.loads(content.attrs["plan"])
    except DAMAGE as error:
        raise ReidError(f"{file}: damaged HDF5 file ({first_line(error)}); delete it, it is made again") from None
    if not isinstance(plan, dict):
        raise ReidError(f"{file}: damaged HDF5 file; delete it, it is made again")
    return plan


def _kept(file: Path, wanted: Mapping[str, Any], images: RankedImages) -> Rankings | None:
    """The rankings in a file; None if there are none, or of something else: they are made again."""
    if not file.is_file():
        return None
    try:
        plan = read_plan(file)
        if differences(plan, wanted):
            return None
        top, parts = int(plan["top"]), len(plan["parts"])
        table = _table(top, parts)
        with open_hdf5(file, SCHEMA, table, len(images.query)) as content:
            columns = {name: content[name][:] for name in table}
    except (ReidError, *DAMAGE):
        return None
    if not parts:
        columns["part_distances"] = np.empty((len(images.query), top, 0), np.float32)
        columns["match_part_distances"] = np.empty((len(columns["match_rows"]), 0), np.float32)
    rankings = Rankings(about=plan, **columns)
    return rankings if _fits(rankings, images) else None


def _fits(rankings: Rankings, images: RankedImages) -> bool:
    """Whether what was read is of these images, and points to nothing that there is not."""
    matches, samples = int(rankings.match_counts.sum()), len(images.shards)
    columns = ("match_rows", "match_ranks", "match_distances", "match_part_distances")
    return (
        np.array_equal(rankings.rows, images.query)
        and all(len(getattr(rankings, name)) == matches for name in columns)
        and all(((rows >= NOBODY) & (rows < samples)).all() for rows in (rankings.lists, rankings.match_rows))
        and bool(
            ((rankings.lists == NOBODY) == (rankings.verdicts == ABSENT)).all() and rankings.verdicts.max() <= ABSENT
        )
        and bool((rankings.match_counts >= 0).all())
    )
