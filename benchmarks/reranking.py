"""Re-ranking at Market-1501 size: time and peak memory against the reference method.

    python benchmarks/reranking.py pyppbox_torchreid-1.4.1.0-*.whl

The reference is the authors' dense method as torchreid carries it (`rerank.py`), see `torchreid_wheel.py`. Both
start from the same features and end with all re-ranked distances, each in a process of its own, one after the
other. For the reference, the time of the distances it is given is told apart.

    python benchmarks/reranking.py --growth

measures how the cost of ours grows with the gallery instead, from a quarter of Market-1501 on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import market_like
import numpy as np
import torchreid_wheel
from numpy.typing import NDArray

from reidtrain.metrics.distances import FeatureDistances
from reidtrain.metrics.reranking import KReciprocal, Reranking


def save_features(folder: Path, dimension: int, fraction: float, factor: int) -> None:
    drawn = market_like.draw(dimension, gallery=factor * market_like.GALLERY)
    for name in ("query_features", "gallery_features"):
        np.save(folder / f"{name}.npy", drawn[name][: int(fraction * len(drawn[name]))])


def sparse(query: NDArray[Any], gallery: NDArray[Any], wheel: Path | None) -> tuple[float, NDArray[Any]]:
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


def peak_memory() -> int:
    """In KB (Linux); getrusage would count what this process was started from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def measure(method: Any, folder: Path, wheel: Path | None, answer: Connection) -> None:
    query, gallery = (np.load(folder / f"{name}.npy") for name in ("query_features", "gallery_features"))
    before = peak_memory()
    start = time.perf_counter()
    given, result = method(query, gallery, wheel)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    np.save(folder / "result.npy", result)
    answer.send((seconds, given, peak / 1e6, before / 1e6))


def apart(method: Any, arguments: argparse.Namespace, factor: int = 1) -> tuple[Any, ...]:
    """Run in a process of its own: seconds, of which for distances, peak and first memory in GB, and the result."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_features(folder, arguments.dimension, arguments.fraction, factor)
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=measure, args=(method, folder, arguments.wheel, theirs))
        process.start()
        theirs.close()
        found = (*mine.recv(), np.load(folder / "result.npy"))
        process.join()
    return found


def growth(arguments: argparse.Namespace) -> None:
    first = None
    for factor in (1, 2, 4, 8):
        seconds, _, peak, before, result = apart(sparse, arguments, factor)
        first = first or seconds
        print(
            f"  gallery x{factor}, {sum(result.shape):6d} images  {seconds:6.2f} s, {seconds / first:4.1f} times; "
            f"peak {peak:.2f} GB, {before:.2f} before it began"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, nargs="?")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--fraction", type=float, help="of Market-1501's size; 1, or 0.25 with --growth")
    parser.add_argument("--growth", action="store_true")
    arguments = parser.parse_args()
    arguments.fraction = arguments.fraction or (0.25 if arguments.growth else 1.0)
    if arguments.growth:
        growth(arguments)
        return
    if arguments.wheel is None:
        parser.error("give the wheel, or --growth")
    ours, theirs = apart(sparse, arguments), apart(reference, arguments)
    difference = np.abs(ours[4] - theirs[4])
    print(f"{difference.shape[0]} x {difference.shape[1]}, {arguments.dimension} dimensions")
    print(f"  reference     {theirs[0]:7.1f} s ({theirs[1]:.1f} s of it distances), peak {theirs[2]:.2f} GB")
    print(f"  KReciprocal   {ours[0]:7.1f} s, peak {ours[2]:.2f} GB; {ours[3]:.2f} GB before it began")
    print(f"  {theirs[0] / ours[0]:.1f} times faster, {ours[2] / theirs[2]:.2f} of the memory")
    wrong = np.count_nonzero(difference > 1e-5)
    print(f"  largest difference {difference.max():.1e}, {wrong / difference.size:.1e} of all differ by more than 1e-5")


if __name__ == "__main__":
    main()
