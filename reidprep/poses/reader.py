"""Read a pose directory, a file at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.poses.format import POSES, PoseFile, Poses, concatenate, read_poses, take, unusable_poses
from reidprep.store.manifest import read_manifest
from reidprep.text import counted


@dataclass(frozen=True)
class Piece:
    """Some rows of one file.

    Attributes:
        file: its name.
        sha256: its hash, hex.
        rows_of_file: how many rows it has.
        rows: (n,) those wanted, ascending.
    """

    file: str
    sha256: str
    rows_of_file: int
    rows: NDArray[np.int64]


class PoseSet:
    """Reads a complete pose directory, a file at a time.

    Example:
        >>> from reidprep import PoseSet
        >>> poses = PoseSet("poses")
        >>> poses
        PoseSet(poses, 22 images of market1501, movenet)
        >>> poses.column("joints").shape  # x and y in pixels, score
        (22, 18, 3)
        >>> poses.read([0, 1]).paths.tolist()
        ['bounding_box_train/0002_c1s1_000451_01.jpg', 'bounding_box_train/0002_c1s1_000476_02.jpg']

    Attributes:
        path: the directory.
        manifest: its manifest.
        plan: what was processed, and how.

    Raises:
        ReidError: not a pose directory, or one whose extraction was not finished.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path
        self.manifest = read_manifest(path, POSES)
        if not self.manifest.complete:
            raise ReidError(f"{path}: the poses are not complete; run the same extract-poses command again to finish")
        self.plan = self.manifest.plan
        self._starts = np.cumsum([0, *(file.rows for file in self.manifest.files)])

    def __len__(self) -> int:
        return self.manifest.rows

    def __repr__(self) -> str:
        images = counted(len(self), "image", "images")
        return f"PoseSet({self.path}, {images} of {self.plan.dataset.name}, {self.plan.estimator.name})"

    @property
    def source(self) -> Path:
        """Where the images were when the poses were estimated."""
        return (self.path / self.manifest.source).resolve()

    def read_file(self, file: PoseFile) -> Poses:
        """The poses of one file.

        Raises:
            ReidError: it is missing, or not the one that the manifest lists.
        """
        return _read_file(self.path / file.name, file.sha256, file.rows)

    def column(self, name: str) -> NDArray[Any]:
        """One column of `Poses` over all rows."""
        [values] = self.columns(name)
        return values

    def columns(self, *names: str) -> list[NDArray[Any]]:
        """Columns of `Poses` over all rows, reading every file once.

        Raises:
            ReidError: a file is missing, or not the one that the manifest lists.
        """
        found: list[list[NDArray[Any]]] = [[] for _ in names]
        for file in self.manifest.files:
            poses = self.read_file(file)
            for values, name in zip(found, names, strict=True):
                values.append(getattr(poses, name))
        return [np.concatenate(values) if values else np.zeros(0) for values in found]

    def pieces(self, rows: ArrayLike) -> tuple[Piece, ...]:
        """Where the given rows (ascending) are: what `read_pieces` takes.

        Raises:
            IndexError: a row that does not exist.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if ((wanted < 0) | (wanted >= len(self))).any():
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {len(self)}")
        numbers = np.searchsorted(self._starts, wanted, side="right") - 1
        return tuple(
            Piece(file.name, file.sha256, file.rows, wanted[numbers == number] - self._starts[number])
            for number in np.unique(numbers).tolist()
            for file in [self.manifest.files[number]]
        )

    def read(self, rows: ArrayLike) -> Poses:
        """The given rows (ascending), reading only the files that hold them.

        Raises:
            IndexError: a row that does not exist.
            ReidError: a file is missing, or not the one that the manifest lists.
        """
        return read_pieces(self.path, self.pieces(rows))


def read_pieces(path: Path, pieces: Sequence[Piece]) -> Poses:
    """Rows of the pose directory `path`, one piece after the other; at least one piece.

    Raises:
        ReidError: a file is missing, or not the one that the manifest lists.
    """
    return concatenate(
        [take(_read_file(path / piece.file, piece.sha256, piece.rows_of_file), piece.rows) for piece in pieces]
    )


def _read_file(path: Path, sha256: str, rows: int) -> Poses:
    # Before HDF5 sees it: a damaged file may read as other numbers, or keep HDF5 in a loop.
    if path.exists() and file_sha256(path) != sha256:
        raise ReidError(
            f"{path}: is damaged or was changed (its SHA-256 differs from the manifest); "
            "run the same extract-poses command again to make it anew"
        )
    poses = read_poses(path, rows)
    for row, reason in unusable_poses(poses):
        raise ReidError(f"{path}: row {row}: {reason}; make the poses again")
    return poses
