"""Search in a gallery that is a file: exact, and by an index, against the bare product of matrices.

    python benchmarks/search.py

The gallery is drawn: persons of 20 images, in 64 of the dimensions' directions, as learnt features fill a few of
theirs. For each step a process of its own tells its peak of private memory, which mapped files are no part of (Linux).
`--images`, `--dimension` and `--queries` change the size; the index is of a part of `--indexed` images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidtrain.retrieval.exact import search
from reidtrain.retrieval.index import build_index, search_index

LATENT, PER_PERSON, ROWS_AT_ONCE = 64, 20, 50_000


def draw(folder: Path, images: int, dimension: int, queries: int) -> None:
    rng = np.random.default_rng(0)
    persons = images // PER_PERSON
    centres = rng.standard_normal((persons, LATENT), np.float32)
    directions = rng.standard_normal((LATENT, dimension), np.float32)

    def features(pids: NDArray[Any]) -> NDArray[np.float32]:
        latent = centres[pids] + 0.7 * rng.standard_normal((len(pids), LATENT), np.float32)
        values: NDArray[np.float32] = latent @ directions + 2 * rng.standard_normal((len(pids), dimension), np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    np.save(folder / "query.npy", features(rng.integers(0, persons, queries)))
    gallery = np.lib.format.open_memmap(folder / "gallery.npy", mode="w+", dtype=np.float32, shape=(images, dimension))
    for first in range(0, images, ROWS_AT_ONCE):
        part = gallery[first : first + ROWS_AT_ONCE]
        part[:] = features(rng.integers(0, persons, len(part)))
    gallery.flush()


def private_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) << 10


def watched(call: Callable[..., Any], arguments: tuple[Any, ...], answer: Connection) -> None:
    before, peak, done = private_memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, private_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = call(*arguments)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    answer.send((seconds, (peak - before) / 1e6, result))


def apart(call: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Seconds and megabytes of private memory of a call in a process of its own, and what it returned."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=watched, args=(call, arguments, theirs))
    process.start()
    theirs.close()
    found: tuple[float, float, Any] = mine.recv()
    process.join()
    return found


def opened(folder: Path, images: int, queries: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.load(folder / "query.npy")[:queries], np.load(folder / "gallery.npy", mmap_mode="r")[:images]


def exact(folder: Path, images: int, queries: int) -> NDArray[np.int64]:
    query, gallery = opened(folder, images, queries)
    return search(query, [gallery], top=20).indices


def products(folder: Path, images: int, queries: int) -> None:
    """The part that cannot be avoided: reading the file and multiplying."""
    query, gallery = opened(folder, images, queries)
    for first in range(0, images, 16384):
        query @ gallery[first : first + 16384].T


def built(folder: Path, images: int, kind: Any) -> float:
    build_index([opened(folder, images, 1)[1]], folder / kind, kind=kind)
    return sum(file.stat().st_size for file in (folder / kind).iterdir()) / images


def by_index(folder: Path, images: int, queries: int, kind: str, visits: int) -> NDArray[np.int64]:
    query, gallery = opened(folder, images, queries)
    return search_index(query, folder / kind, [gallery], top=20, visits=visits).indices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--indexed", type=int, default=30_000, help="images of the index; 0 for none")
    arguments = parser.parse_args()
    images, queries = arguments.images, arguments.queries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, images, arguments.dimension, queries)
        size = (folder / "gallery.npy").stat().st_size / 1e6
        print(f"gallery of {images} images, {arguments.dimension} dimensions, {size:.0f} MB; {queries} queries")
        first = 0.0
        for part in (images // 8, images // 4, images // 2, images):
            bare, seconds = (min(apart(call, folder, part, queries)[0] for _ in range(2)) for call in (products, exact))
            memory = apart(exact, folder, part, queries)[1]
            first = first or seconds
            print(
                f"  exact, {part:8d} images  {seconds:7.2f} s, {seconds / first:4.1f} times; the products alone "
                f"{bare:.2f} s; {1e9 * seconds / part / queries:.1f} ns a pair; {memory:.0f} MB held"
            )
        seconds, memory, _ = apart(exact, folder, images, 1)
        print(f"  exact, one query  {seconds:.2f} s, {1e9 * seconds / images:.0f} ns an image; {memory:.0f} MB held")
        indexed = arguments.indexed
        if not indexed:
            return
        best = exact(folder, indexed, queries)
        base = apart(exact, folder, indexed, queries)[0]
        print(f"index of {indexed} images; exact {1e3 * base / queries:.2f} ms a query")
        for kind in ("ivfpq", "hnsw"):
            seconds, memory, size = apart(built, folder, indexed, kind)
            print(f"  {kind}: built in {seconds:.1f} s, {memory:.0f} MB held; {size:.0f} bytes an image")
            for visits in (64, 256):
                seconds, memory, found = apart(by_index, folder, indexed, queries, kind, visits)
                first_too = np.mean(best[:, 0] == found[:, 0])
                shared = np.mean([len(np.intersect1d(*rows)) for rows in zip(best, found, strict=True)]) / best.shape[1]
                print(
                    f"    visits {visits:3d}: {1e3 * seconds / queries:.2f} ms a query, {shared:.1%} of the 20 nearest "
                    f"and {first_too:.1%} of the nearest found, {memory:.0f} MB held"
                )


if __name__ == "__main__":
    main()
