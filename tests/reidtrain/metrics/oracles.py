"""Slow, explicit versions of what the package computes."""

import itertools
from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    cmc: list[float]
    ap: float
    inp: float
    first: float


def scores_of_list(hits, ranks, ap="step"):
    """Scores of one ranked list of True (a match) and False, walked from the top."""
    matches = sum(hits)
    found, area, old_recall, old_precision = 0, 0.0, 0.0, 1.0
    precisions, last = [], 0
    for place, hit in enumerate(hits, start=1):
        found += hit
        recall, precision = found / matches, found / place
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
        if hit:
            precisions.append(precision)
            last = place
    first = hits.index(True) + 1
    value = area if ap == "trapezoid" else sum(precisions) / matches
    return Scores([float(first <= k) for k in ranks], value, matches / last, first)


def multi_shot(distances, query_pids, gallery_pids, query_camids, gallery_camids, ranks, ap="step"):
    """Per query: Scores, or None without a match. Equal distances: wrong images first."""
    result = []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        entries = [
            (distance, other == pid)
            for distance, other, camera in zip(row, gallery_pids, gallery_camids, strict=True)
            if other != -1 and not (other == pid and camera == camid)
        ]
        hits = [hit for _, hit in sorted(entries)]
        result.append(scores_of_list(hits, ranks, ap) if any(hits) else None)
    return result


def single_shot(distances, query_pids, gallery_pids, query_camids, gallery_camids, ranks, ap, any_camera):
    """Per query: Scores averaged over every gallery that can be drawn, or None without a match."""
    result = []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        eligible: dict[int, list[float]] = {}
        for distance, other, camera in zip(row, gallery_pids, gallery_camids, strict=True):
            if other != -1 and (camera != camid or (any_camera and other != pid)):
                eligible.setdefault(int(other), []).append(distance)
        if pid == -1 or pid not in eligible:
            result.append(None)
            continue
        drawn = []
        for gallery in itertools.product(*eligible.values()):
            entries = [(d, other == pid) for d, other in zip(gallery, eligible, strict=True)]
            drawn.append(scores_of_list([hit for _, hit in sorted(entries)], ranks, ap))
        result.append(
            Scores(
                list(np.mean([s.cmc for s in drawn], axis=0)),
                *(float(np.mean([getattr(s, name) for s in drawn])) for name in ("ap", "inp", "first")),
            )
        )
    return result


def k_reciprocal(squared, queries, k1, k2, weight):
    """Re-ranked (queries, gallery) distances from all squared distances, by the definitions of the paper."""
    images = len(squared)
    original = squared / np.maximum(squared.max(axis=1, keepdims=True), 1e-300)
    order = [sorted(range(images), key=lambda j, i=i: (-1 if j == i else squared[i, j], j)) for i in range(images)]

    def reciprocal(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    weights = np.zeros((images, images))
    for i in range(images):
        base = reciprocal(i, k1)
        whole = set(base)
        for candidate in base:
            more = reciprocal(candidate, round(k1 / 2))
            if 3 * len(more & base) > 2 * len(more):
                whole |= more
        members = sorted(whole)
        weights[i, members] = np.exp(-original[i, members])
        weights[i] /= weights[i].sum()
    weights = np.stack([np.mean([weights[j] for j in order[i][:k2]], axis=0) for i in range(images)])
    result = np.empty((queries, images - queries))
    for i in range(queries):
        for j in range(queries, images):
            common = np.minimum(weights[i], weights[j]).sum()
            union = np.maximum(weights[i], weights[j]).sum()
            result[i, j - queries] = (1 - weight) * (1 - common / union) + weight * original[i, j]
    return result
