"""The official cuhk-03.mat: an HDF5 file (MATLAB 7.3) that holds the images as arrays.

`labeled` and `detected` are cell arrays of camera pairs, each a cell array of people x 10 images with some
cells empty; `testsets` is a cell array of 20 lists of (camera pair, person). HDF5 shows every MATLAB array
with its axes reversed: people x 10 as (10, people), an image of height x width x 3 as (3, width, height).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.cuhk03_names import BOXES, IMAGES_PER_PERSON, ImageId, PersonId, parse_name
from reidprep.errors import ImageError, ReidError
from reidprep.files import check_shortage, require_file
from reidprep.images import MAX_PIXELS
from reidprep.text import counted


class MatImages:
    """The images in a cuhk-03.mat, by paths such as labeled/1_001_1_01.png.

    The file is opened on first use, in each process anew: an HDF5 handle must not be carried through a fork.
    Threads may share the handle, as h5py itself lets in one at a time.

    Attributes:
        root: the .mat file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: _Opened | None = None

    def __reduce__(self) -> tuple[type[MatImages], tuple[Path]]:
        return MatImages, (self.root,)

    def __repr__(self) -> str:
        return f"MatImages({self.root!r})"

    def read(self, path: str) -> NDArray[np.uint8]:
        """Read one image as (h, w, 3) uint8 RGB.

        Raises:
            ImageError: no such image, or one that cannot be read.
            ReidError: the .mat file itself cannot be opened.
        """
        boxes, _, name = path.partition("/")
        image = parse_name(name)
        if boxes not in BOXES or image is None:
            raise ImageError(f"not the path of an image in {self.root.name}, such as labeled/1_001_1_01.png")
        opened = self._opened
        if opened is None or opened.process != os.getpid():
            opened = self._opened = _Opened(self.root)
        return opened.read(boxes, image)


class _Opened:
    """An open .mat file and the references it holds, read once per camera pair."""

    def __init__(self, root: Path) -> None:
        self.process = os.getpid()
        self._root = root
        self._file = _open(root)
        self._pairs: dict[str, list[NDArray[Any]]] = {}

    def read(self, boxes: str, image: ImageId) -> NDArray[np.uint8]:
        if boxes not in self._pairs:
            with _described(self._root):
                self._pairs[boxes] = _pairs(self._file, boxes)
        pairs = self._pairs[boxes]
        if image.pair > len(pairs) or image.person > len(pairs[image.pair - 1]):
            raise ImageError(f"no such image in {self._root.name}")
        try:
            reference = pairs[image.pair - 1][image.person - 1, image.index - 1]
            cell: Any = self._file[reference] if reference else None
            if not _is_image(cell):
                raise ImageError(f"no such image in {self._root.name}: the cell is empty")
            if cell.dtype != np.uint8 or cell.size > 3 * MAX_PIXELS:
                raise ImageError(f"stored as {cell.dtype} {cell.shape}, not as an 8-bit image")
            return np.ascontiguousarray(cell[()].transpose(2, 1, 0))
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise ImageError(f"cannot be read from {self._root.name}: {error}") from None


def list_images(root: Path, boxes: str) -> list[ImageId]:
    """All images of one kind that a .mat file holds, empty cells left out."""
    images = []
    with _described(root), _open(root) as file:
        for pair, references in enumerate(_pairs(file, boxes), 1):
            for (person, column), reference in np.ndenumerate(references):
                if reference and _is_image(file[reference]):
                    images.append(ImageId(pair, person + 1, column + 1))
    return images


def tested_people(root: Path, split: int) -> frozenset[PersonId]:
    """The test people of a classic split, 1 to 20."""
    with _described(root), _open(root) as file:
        cells = file["testsets"][()].ravel()
        if split > len(cells):
            raise ReidError(f"{root}: holds {counted(len(cells), 'test set')}, not split {split}")
        people = _rows_of(file[cells[split - 1]][()], 2, "a test set").astype(int)
    return frozenset(PersonId(pair, person) for pair, person in people.tolist())


def _pairs(file: h5py.File, boxes: str) -> list[NDArray[Any]]:
    """Per camera pair the references to its images, (people, 10)."""
    return [
        _rows_of(file[reference][()], IMAGES_PER_PERSON, f"camera pair {i} of {boxes}")
        for i, reference in enumerate(file[boxes][()].ravel(), 1)
    ]


def _rows_of(array: NDArray[Any], width: int, what: str) -> NDArray[Any]:
    """Rows of `width` values, whichever way round they are stored; MATLAB's way if it could be either."""
    if array.ndim != 2 or width not in array.shape:
        raise ValueError(f"{what} has shape {array.shape}, expected rows of {width}")
    rows: NDArray[Any] = array.T if array.shape[0] == width else array
    return rows


def _is_image(cell: Any) -> bool:
    """An empty cell is stored as MATLAB's size of it, an array of another shape."""
    return isinstance(cell, h5py.Dataset) and cell.ndim == 3 and cell.shape[0] == 3 and cell.size > 0


def _open(root: Path) -> h5py.File:
    try:
        require_file(root)
    except FileNotFoundError:
        raise ReidError(f"{root}: file not found") from None
    except OSError as error:
        raise ReidError(f"{root}: cannot be read: {error.strerror}") from None
    try:
        return h5py.File(root, "r", locking=False)
    except OSError as error:
        check_shortage(error, root)
        raise ReidError(
            f"{root}: cannot be opened as HDF5 ({error}); "
            "the official cuhk-03.mat is a MATLAB 7.3 file: is this it, and is it whole?"
        ) from None


@contextmanager
def _described(root: Path) -> Iterator[None]:
    """Turn what h5py and numpy raise over an unexpected structure into a message about the file."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise ReidError(
            f"{root}: is not built like cuhk-03.mat, with cell arrays labeled, detected, testsets: {error}"
        ) from None
