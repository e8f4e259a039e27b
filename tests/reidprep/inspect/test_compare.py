"""Two shard directories side by side."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from reidprep.errors import ReidError
from reidprep.inspect.app import create_app, open_samples
from reidprep.inspect.compare import BOXES, Comparison, compare_section, overlap
from reidprep.inspect.exclusions import Exclusions
from reidprep.inspect.security import Hosts
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet

from .conftest import BASE, TOKEN, count, indices


def counted(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two boxes of whole pixels, by counting them."""
    y, x = np.mgrid[-20:60, -20:60]
    inside = [(x >= c[0]) & (x < c[2]) & (y >= c[1]) & (y < c[3]) for c in (a, b)]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def test_overlap_is_that_of_counted_pixels() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.integers(-20, 40, (2, 50, 4)).astype(np.float32)
    boxes[..., 2:] = boxes[..., :2] + rng.integers(1, 20, (2, 50, 2))
    assert overlap(*boxes) == pytest.approx([counted(a, b) for a, b in zip(*boxes, strict=True)])
    nothing = np.zeros((1, 4), np.float32)
    assert overlap(nothing, nothing) == 1 and overlap(nothing, boxes[0, :1]) == 0
    assert np.isnan(overlap(nothing * np.nan, nothing))


@pytest.fixture(scope="module")
def strips(drawn_poses: Path, drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images in equal strips, without the second of them."""
    out = tmp_path_factory.mktemp("compared") / "strips"
    left_out = ShardSet.open(drawn_shards)[1].path
    build_shards(drawn_poses, out, BuildOptions(alignment="strips", samples_per_shard=8), exclude=[left_out])
    return out


@pytest.fixture(scope="module")
def comparison(drawn_shards: Path, strips: Path) -> Comparison:
    return Comparison(open_samples(drawn_shards), strips)


@pytest.fixture(scope="module")
def client(
    drawn_shards: Path, comparison: Comparison, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    samples = open_samples(drawn_shards)
    exclusions = Exclusions(tmp_path_factory.mktemp("marks") / "exclude.csv", samples.index.paths)
    app = create_app(samples, exclusions, TOKEN, Hosts("127.0.0.1"), sections=[compare_section(comparison)])
    with TestClient(app, base_url=BASE) as client:
        yield client


def test_the_least_overlap_comes_first(client: TestClient, comparison: Comparison, drawn_shards: Path) -> None:
    total = len(ShardSet.open(drawn_shards))
    assert (comparison.only_here, comparison.only_there) == (1, 0) and np.isnan(comparison.overlaps[1]).all()
    order = [row for row in np.argsort(comparison.overlaps.min(axis=1), kind="stable").tolist() if row != 1]
    page = client.get("/compare").text
    assert indices(page) == order[:24] and count(page) == total - 1 and "Only here: 1 sample;" in page
    least = comparison.overlaps[order[0]]
    assert f"{BOXES[least.argmin()].replace('_', ' ')} {least.min():.2f}" in page.replace("whole body", "whole")
    for row in (0, 1):
        assert ("not in the other shards" in client.get(f"/sample/{row}").text) is (row == 1)


@pytest.mark.parametrize("box", BOXES)
def test_one_box_below_a_limit_in_a_filter(client: TestClient, comparison: Comparison, box: str) -> None:
    overlaps = comparison.overlaps[:, BOXES.index(box)]
    expected = set(np.flatnonzero(overlaps < 0.7).tolist())  # nan, of the absent one, is not less
    page = client.get(f"/compare?box={box}&below=0.7").text
    assert set(indices(page)) == expected
    queries = client.get(f"/compare?box={box}&below=0.7&split=query").text
    assert set(indices(queries)) <= expected and "/compare?" in queries


@pytest.mark.parametrize("query", ["box=arm", "below=0", "below=2", "below=x", "below=nan", "split=none"])
def test_addresses_that_make_no_sense(client: TestClient, query: str) -> None:
    assert client.get(f"/compare?{query}").status_code == 400


def test_pictures_are_those_of_the_other_directory(client: TestClient, comparison: Comparison) -> None:
    here, there = (client.get(f"/{base}/0/whole") for base in ("image", "other"))
    assert here.status_code == there.status_code == 200 and here.content != there.content
    assert there.content == comparison.other.crop(0, "whole").data
    for path in ("/other/100000/whole", "/other/0/plain.jpg", "/other/x/whole"):
        assert client.get(path).status_code == 404


def test_directories_that_cannot_be_compared(by_hand, drawn_shards: Path, drawn_poses: Path) -> None:
    with pytest.raises(ReidError, match="none of the images"):
        Comparison(open_samples(drawn_shards), by_hand({"train": ["a.jpg"]}))
    with pytest.raises(ReidError, match="compare two shard directories"):
        Comparison(open_samples(drawn_poses), drawn_shards)
    with pytest.raises(ReidError, match="manifest"):
        Comparison(open_samples(drawn_shards), drawn_poses)
