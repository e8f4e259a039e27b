"""What is searched, and what was found, in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.files import claim_file, whole_file
from reidtrain.features.files import read_array
from reidtrain.features.numpy_files import NPZ, array_names
from reidtrain.retrieval.gallery import Nearest

_FEATURES, _PATHS = "gallery_features", "gallery_paths"


def open_gallery(files: Sequence[Path]) -> list[NDArray[Any]]:
    """The parts of a gallery: `.npy` files, or the array `gallery_features` of `.npz` files or folders.

    Raises:
        ReidError: as `read_array`.
    """
    return [read_array(file, _FEATURES) for file in files]


def image_paths(files: Sequence[Path], gallery: Sequence[NDArray[Any]]) -> list[NDArray[np.str_]] | None:
    """Paths of the images of a gallery, by its parts; None where they are not known of all images.

    Args:
        files: of the gallery. Those of `reidtrain extract-features` have the paths of the images: an `.npz` file and a
            folder of queries and gallery in the array `gallery_paths`, a file `features.npy` in `paths.npy` beside it.
        gallery: its parts.

    Raises:
        ReidError: as `read_array`.
    """
    parts = []
    for file, features in zip(files, gallery, strict=True):
        source = file
        if file.suffix == NPZ or file.is_dir():
            known = _PATHS in array_names(file)
        else:
            source = file.with_name(file.name.replace("features", "paths"))
            known = source != file and source.exists()
        if not known:
            return None
        parts.append(read_array(source, _PATHS))
        if len(parts[-1]) != len(features):
            return None
    return parts


def as_records(nearest: Nearest, paths: Sequence[NDArray[np.str_]] | None) -> list[list[dict[str, Any]]]:
    """What was found for each query: `index`, `distance` and, where it is known, `path` of each image.

    Args:
        nearest: the result of a search.
        paths: of the images of the gallery, by its parts.
    """
    starts = np.cumsum([0, *map(len, paths or ())])

    def record(index: int, distance: float) -> dict[str, Any]:
        entry = {"index": index, "distance": distance}
        if paths is None:
            return entry
        part = int(starts.searchsorted(index, side="right")) - 1
        text = str(paths[part][index - starts[part]])
        # A file may hold what is no character, and no output takes it.
        return {**entry, "path": text.encode("utf-8", "replace").decode("utf-8", "replace")}

    return [
        [record(index, distance) for index, distance in zip(*row, strict=True) if index >= 0]
        for row in zip(nearest.indices.tolist(), nearest.distances.tolist(), strict=True)
    ]


def write_nearest(path: Path, nearest: Nearest) -> None:
    """Write the arrays `indices` and `distances` to an `.npz` file.

    Raises:
        ReidError: the file cannot be written.
    """
    claim_file(path, overwrite=True)
    with whole_file(path) as file:
        np.savez(file, indices=nearest.indices, distances=nearest.distances)
