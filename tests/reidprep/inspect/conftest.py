"""Applications over drawn people, and over shards made by hand: any path, any flag, several files."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from reidprep.images import encode_jpeg
from reidprep.inspect.app import create_app, open_samples
from reidprep.inspect.exclusions import Exclusions
from reidprep.inspect.runs import find_run_pictures
from reidprep.inspect.security import Hosts
from reidprep.poses.format import EXCLUDE
from reidprep.shards.format import SHARDS, ShardFile, ShardPlan, ShardSummary, image_shapes, shard_bytes
from reidprep.store.writer import StoreWriter

BASE = "http://127.0.0.1:8765"
TOKEN = "the token"

Open = Callable[..., TestClient]


@pytest.fixture(scope="session")
def browse() -> Open:
    """Opens a directory, and gives a client whose requests are those of a browser on this machine."""

    def make(path: Path, *, source: Path | None = None, run: Path | None = None, exclude: Path | None = None, **client):
        samples = open_samples(path, source)
        exclusions = Exclusions(exclude or path / EXCLUDE, samples.index.paths)
        runs = find_run_pictures(run) if run else []
        app = create_app(samples, exclusions, TOKEN, Hosts("127.0.0.1"), runs)
        return TestClient(app, base_url=BASE, follow_redirects=False, **client)

    return make


@pytest.fixture(scope="session")
def unmarked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the marks that `reader` would make: tests that change something have a client of their own."""
    return tmp_path_factory.mktemp("marks") / "exclude.csv"


@pytest.fixture(scope="session")
def reader(browse: Open, drawn_shards: Path, unmarked: Path) -> Iterator[TestClient]:
    """A client that looks at the drawn people, one for all tests that change nothing."""
    with browse(drawn_shards, exclude=unmarked) as client:  # else each request starts a thread and an event loop
        yield client


def random_columns(paths: list[str], pids: list[int] | None, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Columns with many equal values, so that orders have ties."""
    n = len(paths)
    boxes = rng.uniform(-20, 40, (n, 5, 4))
    boxes[..., 2:] = boxes[..., :2] + rng.integers(20, 30, (n, 5, 2))
    return {
        "paths": np.array(paths),
        "pids": np.array(pids) if pids else rng.integers(-1, 8, n),
        "camids": rng.integers(1, 4, n),
        "sequences": np.full(n, -1),
        "frames": rng.integers(0, 5, n),
        "joints": rng.integers(0, 11, (n, 18, 3)) / 10,
        "joints_filled": rng.uniform(0, 40, (n, 18, 2)),
        "filled": rng.random((n, 18)) < 0.3,
        "boxes": boxes,
        "residuals": rng.integers(0, 20, n) / 100,
        "flags": rng.integers(0, 16, n) * (rng.random(n) < 0.5),
        "image_sizes": rng.integers(30, 60, (n, 2)),
    }


@pytest.fixture(scope="session")
def write_by_hand(
    shard_plan: Callable[..., ShardPlan],
    shard_summary: Callable[..., ShardSummary],
    shard_file: Callable[..., ShardFile],
) -> Callable[..., Path]:
    """Writes a shard directory: split -> paths, a file for each; there are no source images."""

    def make(
        path: Path,
        content: dict[str, list[str]],
        *,
        pids: list[int] | None = None,
        encoding: str = "jpeg",
        without: str = "",
    ) -> Path:
        rng = np.random.default_rng(0)
        settings = shard_plan(whole_size=(32, 16), part_size=(8, 16), encoding=encoding)
        with StoreWriter(path, SHARDS, "gone", settings) as directory:
            for split, paths in content.items():
                columns = random_columns(paths, pids, rng)
                columns.pop(without, None)
                crops = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in image_shapes(settings)]
                stored = [crop.tobytes() if encoding == "raw" else encode_jpeg(crop, 90) for crop in crops]
                name = f"{split}-00000.h5"
                (path / name).write_bytes(shard_bytes(columns, [stored] * len(paths), settings))
                directory.add(shard_file(name, len(paths), "0" * 64, split))
            directory.finish(shard_summary())
        return path

    return make


@pytest.fixture
def by_hand(write_by_hand: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Writes such a directory for a test of its own."""
    return partial(write_by_hand, tmp_path / "by hand")


def indices(page: str) -> list[int]:
    """The samples on a page, in order."""
    return [int(text) for text in re.findall(r'<article class="sample[^"]*" id="sample-\d+" data-index="(\d+)"', page)]


def count(page: str) -> int:
    """How many a page says there are."""
    found = re.search(r'id="count" data-count="(\d+)"', page)
    assert found
    return int(found[1])
