"""The drawn dataset: files, names, determinism."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.images import decode_image
from reidprep.synth.dataset import SynthSummary, generate
from reidprep.synth.truth import load_truth

SMALL = {"identities": 3, "cameras": 2, "images_per_camera": 2}
NAME = re.compile(r"(-1|\d{4})_c(\d)s\d_\d{6}_\d{2}\.jpg")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synth") / "small"
    generate(path, **SMALL)
    return path


@pytest.mark.parametrize("workers", [1, 2])
def test_same_seed_same_bytes(small: Path, tmp_path: Path, workers: int) -> None:
    generate(tmp_path, **SMALL, workers=workers)
    assert contents(tmp_path) == contents(small)


def test_another_seed_draws_other_images(small: Path, tmp_path: Path) -> None:
    generate(tmp_path, **SMALL, seed=1)
    ours, theirs = contents(small), contents(tmp_path)
    assert ours.keys() == theirs.keys()
    assert all(ours[path] != theirs[path] for path in ours)


def test_a_larger_dataset_keeps_the_images_of_a_smaller_one(small: Path, tmp_path: Path) -> None:
    generate(tmp_path, identities=4, cameras=3, images_per_camera=3)
    larger = contents(tmp_path)
    for path, data in contents(small).items():
        if path.endswith(".jpg"):
            assert larger[path] == data


def test_summary_counts_the_files(tmp_path: Path) -> None:
    summary = generate(tmp_path, identities=4, cameras=2, images_per_camera=3)
    assert summary == SynthSummary(path=str(tmp_path), train=12, query=4, gallery=8 + 4 + 2, distractors=4, junk=2)
    folders = Counter(path.partition("/")[0] for path in contents(tmp_path))
    assert folders == {"bounding_box_train": 12, "query": 4, "bounding_box_test": 14, "truth.json": 1}


def test_names_and_images_are_market_1501s(small: Path) -> None:
    truth = load_truth(small)
    for path, pid, camid in zip(truth.paths, truth.pids, truth.camids, strict=True):
        match = NAME.fullmatch(path.rpartition("/")[2])
        assert match is not None, path
        assert (int(match[1]), int(match[2])) == (pid, camid)
        assert decode_image((small / path).read_bytes()).shape == (128, 64, 3)


def test_splits_suit_evaluation(small: Path) -> None:
    truth = load_truth(small)
    by_split: dict[str, Counter[int]] = {}
    for path, pid in zip(truth.paths, truth.pids.tolist(), strict=True):
        by_split.setdefault(path.partition("/")[0], Counter())[pid] += 1
    assert by_split["bounding_box_train"] == {2: 4}
    assert by_split["query"] == {1: 2, 3: 2}
    assert by_split["bounding_box_test"] == {-1: 2, 0: 4, 1: 2, 3: 2}


def test_the_reader_takes_it_for_market_1501(small: Path) -> None:
    dataset = open_dataset(small)
    assert dataset.name == "market1501"
    assert [record.path for record in dataset.records] == list(load_truth(small).paths)


@pytest.mark.parametrize(
    ("option", "value"), [("identities", 1), ("cameras", 10), ("images_per_camera", 1), ("seed", -1)]
)
def test_refuses_impossible_numbers(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(ReidError, match="--" + option.replace("_", "-")):
        generate(tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()
