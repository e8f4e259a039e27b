"""Ranking at Market-1501 size: `evaluate_ranking` against torchreid's compiled ranker and the memory.

    python benchmarks/ranking.py pyppbox_torchreid-1.4.1.0-*.whl

All on the same distances, in one run, best of `--repeats` after one call to warm up. See `torchreid_wheel.py`
for where the wheel comes from.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import market_like
import numpy as np
import torchreid_wheel

from reidtrain.metrics.distances import FeatureDistances
from reidtrain.metrics.ranking import evaluate_features, evaluate_ranking

LABELS = ("query_pids", "gallery_pids", "query_camids", "gallery_camids")
FEATURES = ("query_features", "gallery_features")


def best(repeats: int, call: Callable[[], Any]) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dimension", type=int, default=384)
    arguments = parser.parse_args()
    evaluate_cy = torchreid_wheel.load(arguments.wheel, "rank_cy").evaluate_cy
    drawn = market_like.draw(arguments.dimension)
    labels = [drawn[name] for name in LABELS]
    model = FeatureDistances.checked(*(drawn[name] for name in FEATURES), "euclidean").block(0, market_like.QUERIES)
    random = np.random.default_rng(0).random(model.shape, dtype=np.float32)

    for name, distances in (("a good model's distances", model), ("random distances", random)):
        cmc, mean_ap = evaluate_cy(distances, *labels, 20)
        metrics = evaluate_ranking(distances, *labels, ranks=range(1, 21))
        difference = max(abs(metrics.mAP - mean_ap), np.abs(metrics.cmc - cmc).max())
        theirs = best(arguments.repeats, lambda d=distances: evaluate_cy(d, *labels, 20))
        ours = best(arguments.repeats, lambda d=distances: evaluate_ranking(d, *labels))
        memory = best(arguments.repeats, lambda d=distances: d.max())
        print(f"{name}, {distances.shape[0]} x {distances.shape[1]}, mAP {metrics.mAP:.3f}")
        print(f"  torchreid rank_cy   {theirs:7.3f} s")
        print(
            f"  evaluate_ranking    {ours:7.3f} s   {theirs / ours:5.1f} times faster, numbers within {difference:.0e}"
        )
        print(f"  one pass of memory  {memory:7.3f} s   the limit, {ours / memory:.1f} times less")

    print("how cost grows: all of it, from features, and ranking alone, from random distances of 842 queries")
    first: list[float] = []
    for factor in (1, 2, 4, 8):
        grown = market_like.draw(arguments.dimension, gallery=factor * market_like.GALLERY)
        features, labels = [grown[name] for name in FEATURES], [grown[name] for name in LABELS]
        few = [
            values[: market_like.QUERIES // 4] if name.startswith("query") else values
            for name, values in zip(LABELS, labels, strict=True)
        ]
        given = np.random.default_rng(0).random((len(few[0]), len(features[1])), dtype=np.float32)
        times = [
            best(1, lambda f=features, n=labels: evaluate_features(*f, *n)),
            best(arguments.repeats, lambda d=given, n=few: evaluate_ranking(d, *n)),
        ]
        first = first or times
        print(
            f"  gallery x{factor}  "
            + "  ".join(f"{t:7.3f} s, {t / one:4.1f} times" for t, one in zip(times, first, strict=True))
        )


if __name__ == "__main__":
    main()
