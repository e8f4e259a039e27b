"""The Ray executor: two local workers against one, and one against the local executor with one worker.

    python benchmarks/ray_executor.py Market-1501 [--images 1500] [--step extract-poses]

Every executor makes the same parts, in turns; the files must be the same. Every worker has one core: Ray's by its
rules, the local executor's because it has one thread (`extract-poses`; a second one only writes the parts) or works in
one process (`build-shards`). The steady rate counts from when every worker has made a part until the first finds none
left; what is before that, starting Ray and its workers and loading the network, is told apart: it does not grow with
the dataset.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.registry import create_estimator
from reidprep.executors.base import Executor
from reidprep.executors.local import LocalExecutor
from reidprep.executors.ray import ray_executor
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.progress import Progress
from reidprep.shards.build import BuildOptions, build_shards


@dataclass(frozen=True)
class Timing:
    """Seconds from the start of the executor to its end, and images per second once all workers are at work."""

    seconds: float
    first_part: float
    rate: float


def timed(executor: Any, run: Callable[[Executor, Progress], object], workers: int, rows: int) -> Timing:
    started = time.perf_counter()
    seen: list[tuple[float, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((time.perf_counter(), done))

    with executor as chosen:
        run(chosen, progress)
    # From the moment when every worker has made its first part to that when the first of them finds none left.
    total = seen[-1][1]
    begin = next(entry for entry in seen if entry[1] >= workers * rows)
    end = next(entry for entry in seen if entry[1] >= total - (workers - 1) * rows)
    return Timing(time.perf_counter() - started, begin[0] - started, (end[1] - begin[1]) / (end[0] - begin[0]))


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


@contextmanager
def steps(arguments: argparse.Namespace) -> Iterator[tuple[int, Callable[[Path, Executor, Progress], object]]]:
    """How many images there are, and what to run."""
    full = open_dataset(arguments.source)
    chosen = full.records[:: max(1, len(full.records) // arguments.images)][: arguments.images]
    dataset = Dataset(full.name, full.root, full.options, chosen, full.images, ())
    create = partial(create_estimator, device="cpu")
    estimator = create()
    options = ExtractOptions(rows_per_part=arguments.rows)

    def extract(out: Path, executor: Executor, progress: Progress) -> object:
        worker = create if executor.device else None
        return extract_poses(
            dataset, out, estimator, options, executor=executor, worker_estimator=worker, progress=progress
        )

    if arguments.step == "extract-poses":
        yield len(chosen), extract
        return
    with tempfile.TemporaryDirectory() as folder:
        poses = arguments.poses or Path(folder) / "poses"
        if not arguments.poses:
            extract_poses(dataset, poses, estimator, workers=2)

        def build(out: Path, executor: Executor, progress: Progress) -> object:
            sizes = BuildOptions(samples_per_shard=arguments.rows)
            return build_shards(poses, out, sizes, executor=executor, progress=progress)

        yield len(chosen), build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a dataset")
    parser.add_argument("--step", choices=["extract-poses", "build-shards"], default="extract-poses")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument(
        "--poses", type=Path, help="build-shards: poses that are there already, of all images they hold"
    )
    parser.add_argument("--rows", type=int, default=100, help="images per part")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    executors: dict[str, tuple[int, Callable[[], Any]]] = {
        "local, one worker": (1, lambda: nullcontext(LocalExecutor(1))),
        "Ray, one worker": (1, lambda: ray_executor(workers=1)),
        "Ray, two workers": (2, lambda: ray_executor(workers=2)),
    }
    timings: dict[str, list[Timing]] = {name: [] for name in executors}
    with steps(arguments) as (images, run), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder / "warm", LocalExecutor(2), lambda done, total: None)
        expected = contents(folder / "warm")
        for turn in range(arguments.rounds):
            for title, (workers, executor) in executors.items():
                out = folder / f"{turn} {title}"
                timings[title].append(timed(executor(), partial(run, out), workers, arguments.rows))
                if contents(out) != expected:
                    raise SystemExit(f"{title}: the files differ from the local executor's")
    print(f"{arguments.step}, {images} images, {arguments.rows} a part, median of {arguments.rounds} rounds")
    for title, found in timings.items():
        print(
            f"  {title:<18} {median(t.rate for t in found):7.1f} images/s, first parts there after "
            f"{median(t.first_part for t in found):5.2f} s, all over after {median(t.seconds for t in found):6.2f} s"
        )
    rate = {title: median(t.rate for t in found) for title, found in timings.items()}
    local, one, two = rate.values()
    whole = [median(t.seconds for t in found) for found in timings.values()]
    print(f"  steady: two Ray workers {two / one:.2f} x one; one takes {local / one - 1:+.1%} time against local")
    print(
        f"  with starting and ending: two {whole[1] / whole[2]:.2f} x one; {whole[1] / whole[0] - 1:+.1%} against local"
    )
    print("  the files of all runs are the same")


if __name__ == "__main__":
    main()
