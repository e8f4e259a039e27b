"""Labels that features contradict: computed once, and kept in a file (docs/inspect.md says what is in it)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import claim_file, write_file
from reidprep.progress import Progress, Steps, unseen, unseen_steps
from reidprep.records import JUNK_PID
from reidprep.shards.reader import ShardSet
from reidprep.store.hdf5 import DAMAGE, Column, Schema, Table, hdf5_bytes, open_hdf5
from reidtrain.explore.rankings import read_plan
from reidtrain.explore.sources import Explored, Kind, differences
from reidtrain.features.files import read_about, read_arrays
from reidtrain.metrics.distances import FeatureDistances
from reidtrain.metrics.protocols import Labels

SCHEMA = Schema("reidtrain.contradictions", 1)
NEAR = 10
"""Neighbours kept of each sample."""
NOBODY = -1
APART = 0.75
"""A person's images that are as far apart, by the distance to other people, may be two people's."""
_VOTES = 5


@dataclass(frozen=True, eq=False)
class Contradictions:
    """What the features of n samples say about their labels. Distances are Euclidean.

    Attributes:
        about: what the file says about itself.
        rows: (n,) int64 samples, through the whole shard directory.
        pids: (n,) int64 their labels.
        own: (n,) int32 position of the nearest sample of the same label, -1 if there is none, as for nobody's.
        own_distances: (n,) float32, inf if there is none.
        other: (n,) int32 position of the nearest sample of another label, -1 if there is none.
        other_distances: (n,) float32, inf if there is none.
        near: (n, k) int32 positions of the nearest samples, nearest first.
        near_distances: (n, k) float32.
        gaps: (n,) float32, distance between the two groups that the images of the label fall into; 0 if they do not.
        group: (n,) int8, 1 in the larger of these groups, 2 in the smaller, 0 in neither.
    """

    about: Mapping[str, Any]
    rows: NDArray[np.int64]
    pids: NDArray[np.int64]
    own: NDArray[np.int32]
    own_distances: NDArray[np.float32]
    other: NDArray[np.int32]
    other_distances: NDArray[np.float32]
    near: NDArray[np.int32]
    near_distances: NDArray[np.float32]
    gaps: NDArray[np.float32]
    group: NDArray[np.int8]


def find_contradictions(
    features: NDArray[Any],
    pids: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    nobody: Collection[int] = (),
    about: Mapping[str, Any] | None = None,
    progress: Progress = unseen,
) -> Contradictions:
    """Compare features with labels.

    Args:
        features: (n, dimension).
        pids: (n,) labels.
        rows: (n,) the samples that these are.
        nobody: labels of many people, such as distractors: their images are nobody's own.
        about: what is to be said about them.
        progress: called with samples done and in total.

    Raises:
        ReidError: features that cannot be compared.
    """
    total = len(pids)
    distances = FeatureDistances.checked(features, features, "euclidean")
    # No image shares a camera with itself: all of a label are its own, but those of nobody.
    camids = np.zeros(total, np.int64)
    labels = Labels.checked(pids, pids, camids, camids, total, total)
    somebody = ~np.isin(pids, [*nobody])
    near = min(NEAR, max(1, total - 1))  # a sample alone has itself, infinitely far
    found = Contradictions(
        about=about or {},
        rows=rows,
        pids=pids,
        own=np.full(total, NOBODY, np.int32),
        own_distances=np.full(total, np.inf, np.float32),
        other=np.full(total, NOBODY, np.int32),
        other_distances=np.full(total, np.inf, np.float32),
        near=np.empty((total, near), np.int32),
        near_distances=np.empty((total, near), np.float32),
        gaps=np.zeros(total, np.float32),
        group=np.zeros(total, np.int8),
    )
    at_once = distances.rows_per_block()
    for start in range(0, total, at_once):
        stop = min(start + at_once, total)
        block = distances.block(start, stop)
        distances.ops.set_diagonal(block, start, np.inf)
        some = slice(start, stop)
        values, found.near[some] = distances.ops.smallest(block, near)
        found.near_distances[some] = np.sqrt(values)
        who, column = labels.same_person(start, stop)
        own = block[who, column]
        block[who, column] = np.inf
        _nearest(block, found.other[some], found.other_distances[some])
        block.fill(np.inf)
        counts = somebody[start + who]
        block[who[counts], column[counts]] = own[counts]
        _nearest(block, found.own[some], found.own_distances[some])
        progress(stop, total)
    for pid in np.unique(pids[somebody]).tolist():
        members = np.flatnonzero(pids == pid)
        gap, group = two_groups(np.asarray(distances.query[members], np.float64))
        found.gaps[members], found.group[members] = gap, group
    return found


def _nearest(block: NDArray[Any], which: NDArray[np.int32], far: NDArray[np.float32]) -> None:
    """Write down the nearest of each row, where there is one; `block` holds squared distances."""
    columns = block.argmin(axis=1)
    squares = block[np.arange(len(block)), columns]
    some = np.isfinite(squares)
    which[some], far[some] = columns[some], np.sqrt(squares[some])


def two_groups(features: NDArray[np.float64]) -> tuple[float, NDArray[np.int8]]:
    """The two groups of two or more that images fall into with the widest gap between them, by single linkage.

    Args:
        features: (n, dimension) of a label.

    Returns:
        The gap, the distance between the nearest two of different groups; and (n,) 1 in the larger group, 2 in the
        smaller one, 0 in neither. 0 and zeros where there are no two groups.
    """
    from scipy.cluster.hierarchy import linkage

    count = len(features)
    group = np.zeros(count, np.int8)
    if count < 4:
        return 0.0, group
    members = [[i] for i in range(count)]
    widest, sides = 0.0, None
    for first, second, gap, _ in linkage(features, "single"):
        pair = members[int(first)], members[int(second)]
        members.append([*pair[0], *pair[1]])
        if min(map(len, pair)) > 1 and gap >= widest:
            widest, sides = float(gap), sorted(pair, key=len)
    if sides is not None:
        group[sides[1]], group[sides[0]] = 1, 2
    return widest, group


def strays(found: Contradictions) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Samples that are nearer to somebody else than to their own label, the clearest first.

    The score is the distance to the nearest of the own label by that to the nearest other, times the share of the five
    nearest that agree on that other. Above 1 the label is contradicted by all of them.

    Returns:
        Positions and their scores, of those whose own label is farther than another.
    """
    chosen = np.flatnonzero(np.isfinite(found.own_distances) & (found.own_distances > found.other_distances))
    if not len(chosen):
        return chosen, np.empty(0, np.float32)
    votes = found.pids[found.near[chosen, :_VOTES]] == found.pids[found.other[chosen]][:, None]
    ratios = found.own_distances[chosen] / np.maximum(found.other_distances[chosen], np.float32(1e-6))
    scores = np.asarray(ratios * votes.mean(axis=1), np.float32)
    order = np.argsort(-scores, kind="stable")
    return chosen[order], scores[order]


def twins(found: Contradictions) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Pairs of labels that may be one person: near-duplicates across them, the nearest first.

    The score is the distance that a quarter of the images exceed to the nearest of their own label, by that between the
    two: above 1 they are nearer than these images are to their own person's.

    Returns:
        Positions of one image of each pair of labels, whose `other` is the other one, and the scores; of those above 1.
    """
    own = found.own_distances[np.isfinite(found.own_distances)]
    usual = float(np.percentile(own, 75)) if len(own) else 0.0
    chosen = np.flatnonzero(found.other_distances < usual)
    chosen = chosen[np.argsort(found.other_distances[chosen], kind="stable")]
    pairs = np.sort(np.stack([found.pids[chosen], found.pids[found.other[chosen]]]), axis=0)
    _, first = np.unique(pairs, axis=1, return_index=True)
    chosen = chosen[np.sort(first)]
    return chosen, np.asarray(usual / np.maximum(found.other_distances[chosen], 1e-6), np.float32)


def halves(found: Contradictions) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels whose images fall into two groups, the farthest apart first.

    The score is the gap between the groups, by the median distance of the smaller group to other labels: above 1 its
    images are nearer to others than to the rest of their own.

    Returns:
        Labels and scores, of those above `APART`.
    """
    smaller = np.flatnonzero(found.group == 2)
    pids = np.unique(found.pids[smaller])
    scores = np.array(
        [
            found.gaps[of[0]] / max(float(np.median(found.other_distances[of])), 1e-6)
            for of in (smaller[found.pids[smaller] == pid] for pid in pids)
        ],
        np.float32,
    )
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > APART]
    return pids[order], scores[order]


def contradictions_of(explored: Explored, kind: Kind, progress: Steps = unseen_steps) -> Contradictions:
    """What the features of a run say about the labels of some images: from its file, or computed and then kept there.

    Args:
        explored: the run and the shards.
        kind: which images; those of the gallery and the queries are compared together.
        progress: shows how far each step is.

    Raises:
        ReidError: as `Explored.features`, or features that cannot be compared; the file cannot be written.
    """
    file = explored.file(f"labels-{kind}").with_suffix(".h5")
    shards = ShardSet.open(explored.shards)
    sizes = [len(ShardSet.open(explored.shards, split)) for split in ("train", "query", "gallery")]
    rows = np.arange(sizes[0]) if kind == "train" else np.arange(sizes[0], sum(sizes))
    kept = _kept(file, explored.wanted, rows) if file.is_file() else None
    if kept is not None:
        return kept
    with progress("features") as report:
        path = explored.features(kind, report)
    names = ("features",) if kind == "train" else ("query_features", "gallery_features")
    features = np.concatenate(list(read_arrays(path, names).values()))
    if len(features) != len(rows):
        raise ReidError(f"{path}: holds features of {len(features)} images, {explored.shards} has {len(rows)} of them")
    somebody = shards.pids[rows] != JUNK_PID
    dataset = shards.plan.poses.dataset.name
    with progress("labels", "images") as report:
        found = find_contradictions(
            features[somebody],
            shards.pids[rows][somebody],
            rows[somebody],
            nobody=_NOBODY.get(dataset, ()),
            about=read_about(path),
            progress=report,
        )
    claim_file(file, overwrite=True)
    plan = {**found.about, "samples": len(found.rows), "near": found.near.shape[1]}
    write_file(file, hdf5_bytes(SCHEMA, plan, _table(found.near.shape[1]), vars(found)))
    return found


_NOBODY = {"market1501": (0,)}
"""Labels of distractors, by dataset."""


def _table(near: int) -> Table:
    return {
        "rows": Column(np.int64),
        "pids": Column(np.int64),
        "own": Column(np.int32),
        "own_distances": Column(np.float32),
        "other": Column(np.int32),
        "other_distances": Column(np.float32),
        "near": Column(np.int32, (near,)),
        "near_distances": Column(np.float32, (near,)),
        "gaps": Column(np.float32),
        "group": Column(np.int8),
    }


def _kept(file: Path, wanted: Mapping[str, Any], rows: NDArray[np.int64]) -> Contradictions | None:
    try:
        plan = read_plan(file)
        if differences(plan, wanted):
            return None
        table = _table(int(plan["near"]))
        with open_hdf5(file, SCHEMA, table, int(plan["samples"])) as content:
            found = Contradictions(about=plan, **{name: content[name][:] for name in table})
    except (ReidError, *DAMAGE):
        return None
    inside = all(
        ((positions >= NOBODY) & (positions < len(found.rows))).all()
        for positions in (found.own, found.other, found.near)
    )
    return found if inside and np.isin(found.rows, rows).all() else None
