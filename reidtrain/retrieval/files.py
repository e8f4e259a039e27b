"""Search in files of features."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.progress import Progress, unseen
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.features_file import read_features
from reidtrain.retrieval.exact import search
from reidtrain.retrieval.gallery import Nearest
from reidtrain.retrieval.index import search_index


def read_features_array(path: Path, name: str) -> NDArray[Any]:
    """Features of a file: all of an `.npy`, which stays on the disk until it is used, or one array of an `.npz`.

    Args:
        path: the file.
        name: the array of an `.npz`.

    Raises:
        ReidError: no such file, or none that can be read.
    """
    if path.suffix == ".npz":
        return read_features(path, (name,))[0]
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise ReidError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise ReidError(f"{path} is no .npy file of numbers, or a damaged one: {error}") from None
    return array


def open_gallery(paths: Sequence[Path]) -> list[NDArray[Any]]:
    """The parts of a gallery: `.npy` files, or the array `gallery_features` of `.npz` files.

    Raises:
        ReidError: as `read_features_array`.
    """
    return [read_features_array(path, "gallery_features") for path in paths]


def search_files(
    query: Path,
    gallery: Sequence[Path],
    *,
    top: int,
    metric: Metric = "euclidean",
    progress: Progress = unseen,
) -> Nearest:
    """Exact search; see `search`.

    Args:
        query: `.npy`, or `.npz` with the array `query_features`.
        gallery: see `open_gallery`; none is the array `gallery_features` of `query`.
        top: how many to find.
        metric: `euclidean` or `cosine`.
        progress: called with gallery images done and in total.
    """
    features = read_features_array(query, "query_features")
    return search(features, open_gallery(gallery or [query]), top=top, metric=metric, progress=progress)


def search_files_by_index(
    query: Path, gallery: Sequence[Path], folder: Path, *, top: int, candidates: int, visits: int
) -> Nearest:
    """Search by an index of this gallery; see `search_index`, and `search_files` for the files."""
    features = read_features_array(query, "query_features")
    parts = open_gallery(gallery or [query])
    return search_index(features, folder, parts, top=top, candidates=candidates, visits=visits)


def as_records(nearest: Nearest, gallery: Sequence[Path]) -> list[list[dict[str, Any]]]:
    """What was found for each query: `index`, `distance` and, where it is known, `path` of each image.

    Args:
        nearest: the result of a search.
        gallery: the files that were searched. Those of `reidtrain extract-features` have the paths of the images: an
            `.npz` in the array `gallery_paths`, a folder in the file `paths.npy` beside `features.npy`.
    """
    parts = [_paths_beside(path) for path in gallery]
    starts = np.cumsum([0, *(len(part) for part in parts if part is not None)])
    known = all(part is not None for part in parts)

    def record(index: int, distance: float) -> dict[str, Any]:
        entry = {"index": index, "distance": distance}
        if not known:
            return entry
        which = int(starts.searchsorted(index, side="right")) - 1
        return {**entry, "path": str(parts[which][index - starts[which]])}

    return [
        [record(index, distance) for index, distance in zip(*row, strict=True) if index >= 0]
        for row in zip(nearest.indices.tolist(), nearest.distances.tolist(), strict=True)
    ]


def _paths_beside(path: Path) -> Any:
    """Paths of the images of a gallery file, or None."""
    features = read_features_array(path, "gallery_features")
    if path.suffix == ".npz":
        with np.load(path) as content:
            paths = content["gallery_paths"] if "gallery_paths" in content.files else None
    else:
        beside = path.with_name(path.name.replace("features", "paths"))
        paths = read_features_array(beside, "") if beside != path and beside.exists() else None
    return None if paths is None or len(paths) != len(features) else paths


def write_nearest(path: Path, nearest: Nearest) -> None:
    """Write the arrays `indices` and `distances` to an `.npz` file.

    Raises:
        ReidError: the file cannot be written.
    """
    content = io.BytesIO()
    np.savez(content, indices=nearest.indices, distances=nearest.distances)
    write_file(path, content.getvalue())
