"""Small datasets in each layout, made of single-coloured images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Make empty files below tmp_path; returns tmp_path."""

    def make(*paths: str) -> Path:
        for path in paths:
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path

    return make


@pytest.fixture
def save_image() -> Callable[[Path], NDArray[np.uint8]]:
    """Write a lossless image of random pixels, 8 wide and 16 high; returns the pixels."""
    generator = np.random.default_rng(0)

    def save(file: Path) -> NDArray[np.uint8]:
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (16, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        return pixels

    return save


class MatFile:
    """A file built like cuhk-03.mat, with the pixels that went into it.

    Attributes:
        path: the file.
        pixels: (h, w, 3) images by boxes, pair, person, index (all from 1).

    One camera pair has ten people, a count that could be mistaken for the ten images.
    """

    def __init__(self, path: Path, people: tuple[int, ...] = (4, 10, 2, 1, 3), people_first: bool = False) -> None:
        self.path = path
        self.pixels: dict[tuple[str, int, int, int], NDArray[np.uint8]] = {}
        generator = np.random.default_rng(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for boxes in ("labeled", "detected"):
                pairs = [
                    self._pair(file, boxes, pair, count, generator, people_first)
                    for pair, count in enumerate(people, 1)
                ]
                _cells(file, boxes, np.array([pairs], dtype=h5py.ref_dtype))
            sets = [self._test_set(file, split) for split in range(1, 21)]
            _cells(file, "testsets", np.array([sets], dtype=h5py.ref_dtype))

    @staticmethod
    def tested(split: int) -> list[tuple[int, int]]:
        """(pair, person) of the test people of a split."""
        return [(1, 1 + split % 4), (2, 1 + split % 10), (3, 1)]

    @staticmethod
    def empty(boxes: str, pair: int, person: int, index: int) -> bool:
        """Which cells hold no image: each view's last, and the detected second view of one person."""
        return index in (5, 10) or (boxes == "detected" and (pair, person) == (1, 3) and index > 5)

    def _pair(
        self,
        file: h5py.File,
        boxes: str,
        pair: int,
        count: int,
        generator: np.random.Generator,
        people_first: bool,
    ) -> h5py.Reference:
        cells = np.empty((count, 10), dtype=h5py.ref_dtype)
        for person in range(1, count + 1):
            for index in range(1, 11):
                name = f"#refs#/{boxes}-{pair}-{person}-{index}"
                if self.empty(boxes, pair, person, index):
                    cell = file.create_dataset(name, data=np.zeros(2, np.uint64))
                else:
                    shape = (*generator.integers(3, 7, 2), 3)
                    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
                    self.pixels[boxes, pair, person, index] = pixels
                    cell = file.create_dataset(name, data=pixels.transpose(2, 1, 0))
                cells[person - 1, index - 1] = cell.ref
        return _cells(file, f"#refs#/{boxes}-{pair}", cells if people_first else cells.T).ref

    def _test_set(self, file: h5py.File, split: int) -> h5py.Reference:
        people = np.array(self.tested(split), dtype=np.float64)
        return file.create_dataset(f"#refs#/testset-{split}", data=people.T).ref


def _cells(file: h5py.File, name: str, references: NDArray[np.object_]) -> h5py.Dataset:
    dataset = file.create_dataset(name, references.shape, dtype=h5py.ref_dtype)
    dataset[...] = references
    return dataset


@pytest.fixture(scope="session")
def mat_file(tmp_path_factory: pytest.TempPathFactory) -> MatFile:
    """A small cuhk-03.mat. Read only."""
    return MatFile(tmp_path_factory.mktemp("cuhk03") / "cuhk03_release" / "cuhk-03.mat")


@pytest.fixture
def make_mat_file() -> type[MatFile]:
    """Makes others."""
    return MatFile
