"""Re-ranking at Market-1501 size: time and peak memory against the reference method.

    python benchmarks/reranking.py pyppbox_torchreid-1.4.1.0-*.whl

The reference is the authors' dense method as torchreid carries it (`rerank.py`), see `torchreid_wheel.py`. Both
start from the same features and end with all re-ranked distances, each in a process of its own, one after the
other. For the reference, the time of the distances it is given is told apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import market_like
import numpy as np
import torchreid_wheel
from numpy.typing import NDArray

from reidtrain.evaluation.distances import FeatureDistances
from reidtrain.evaluation.reranking import KReciprocal, Reranking


def features(dimension: int, fraction: float) -> tuple[NDArray[Any], NDArray[Any]]:
    drawn = market_like.draw(dimension)
    query, gallery = drawn["query_features"], drawn["gallery_features"]
    return query[: int(fraction * len(query))], gallery[: int(fraction * len(gallery))]


def sparse(query: NDArray[Any], gallery: NDArray[Any], wheel: Path) -> tuple[float, NDArray[Any]]:
    distances = FeatureDistances.checked(query, gallery, "euclidean")
    return 0.0, KReciprocal.encode(distances, Reranking()).block(0, len(query))


def reference(query: NDArray[Any], gallery: NDArray[Any], wheel: Path) -> tuple[float, NDArray[Any]]:
    rerank = torchreid_wheel.load(wheel, "rerank").re_ranking
    start = time.perf_counter()
    given = []
    for first, second in ((query, gallery), (query, query), (gallery, gallery)):
        matrix = FeatureDistances.checked(first, second, "euclidean").block(0, len(first))
        given.append(np.sqrt(matrix, out=matrix))
    np.fill_diagonal(given[1], 0)
    np.fill_diagonal(given[2], 0)
    return time.perf_counter() - start, rerank(*given)


def measure(method: Any, arguments: argparse.Namespace, path: str, answer: Connection) -> None:
    query, gallery = features(arguments.dimension, arguments.fraction)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    given, result = method(query, gallery, arguments.wheel)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.save(path, result)
    answer.send((seconds, given, peak / 1e6, before / 1e6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--fraction", type=float, default=1.0, help="of Market-1501's size")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for method in (sparse, reference):
            mine, theirs = context.Pipe(duplex=False)
            path = str(Path(folder, f"{method.__name__}.npy"))
            process = context.Process(target=measure, args=(method, arguments, path, theirs))
            process.start()
            theirs.close()
            found[method.__name__] = (*mine.recv(), np.load(path, mmap_mode="r"))
            process.join()
        ours, reference_ = found["sparse"], found["reference"]
        difference = np.abs(ours[4] - reference_[4])
    print(f"{difference.shape[0]} x {difference.shape[1]}, {arguments.dimension} dimensions")
    print(
        f"  reference     {reference_[0]:7.1f} s ({reference_[1]:.1f} s of it distances), peak {reference_[2]:.2f} GB"
    )
    print(f"  KReciprocal   {ours[0]:7.1f} s, peak {ours[2]:.2f} GB; {ours[3]:.2f} GB before it began")
    print(f"  {reference_[0] / ours[0]:.1f} times faster, {ours[2] / reference_[2]:.2f} of the memory")
    wrong = np.count_nonzero(difference > 1e-5)
    print(f"  largest difference {difference.max():.1e}, {wrong / difference.size:.1e} of all differ by more than 1e-5")


if __name__ == "__main__":
    main()
