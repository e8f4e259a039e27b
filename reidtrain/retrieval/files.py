"""What is searched, and what was found, in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.images import FrameImages
from reidprep.errors import ReidError
from reidprep.files import claim_file, whole_file
from reidprep.shards.reader import ShardSet
from reidprep.text import counted, first_differences
from reidtrain.evaluation.lists import Known
from reidtrain.features.files import ABOUT, ABOUT_FILE, GALLERY, read_about, read_array
from reidtrain.features.numpy_files import NPZ, array_names
from reidtrain.retrieval.gallery import Nearest

Picture = Callable[[int], NDArray[np.uint8]]
"""Gives the picture of an image, (h, w, 3) uint8 RGB, by its position."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a search.

    Attributes:
        files: where its features are.
        parts: the features, (images, dimension) each, in these files.
        known: what is known of the images.
        prefix: `query_` or `gallery_`.
    """

    files: Sequence[Path]
    parts: Sequence[NDArray[Any]]
    known: Known
    prefix: str

    def pictures(self, images: Path | None = None) -> Picture:
        """What reads the images.

        Args:
            images: the folder that their paths are relative to; None for where the files say that they are.

        Raises:
            ReidError: paths are not known, or files do not say where the images are or were.
        """
        if not self.known.named:
            raise ReidError(f"{self.files[0]}: does not name its images, so they cannot be drawn")
        starts = np.cumsum([0, *map(len, self.parts)])
        readers = [_reader(file, self.prefix, images) for file in self.files]

        def picture(index: int) -> NDArray[np.uint8]:
            part = int(starts.searchsorted(index, side="right")) - 1
            return readers[part](index - int(starts[part]), str(self.known[index].path))

        return picture


def open_side(files: Sequence[Path], prefix: str) -> Side:
    """The features of one side of a search, and what its files say about the images.

    Args:
        files: `.npy` files; or `.npz` files or folders, whose arrays have the prefix or, if all are of one side, none.
            Those of `reidtrain extract-features` and `embed` have labels of the images: beside the features or, of a
            file `features.npy`, in `paths.npy` and so on beside it.
        prefix: `query_` or `gallery_`.

    Raises:
        ReidError: as `read_array`; or labels of another number of images.
    """
    parts = [read_array(file, _name(file, prefix, "features")) for file in files]
    sizes = [len(part) for part in parts]
    labels = (_labels(files, sizes, prefix, label) for label in ("paths", "pids", "camids"))
    return Side(files, parts, Known(sizes, *labels), prefix)


def _name(file: Path, prefix: str, label: str) -> str:
    """What an array is called in a file."""
    if file.suffix != NPZ and not file.is_dir():
        return prefix + label
    names = array_names(file)
    return label if "features" in names and f"{prefix}features" not in names else prefix + label


def _labels(files: Sequence[Path], sizes: Sequence[int], prefix: str, label: str) -> list[NDArray[Any]] | None:
    """Labels of all images, by part; None where they are not known of all.

    Raises:
        ReidError: as `read_array`; or there are not as many as features.
    """
    parts = []
    for file, size in zip(files, sizes, strict=True):
        name = _name(file, prefix, label)
        source = file
        if file.suffix == NPZ or file.is_dir():
            known = name in array_names(file)
        else:
            source = file.with_name(file.name.replace("features", label))
            known = source != file and source.exists()
        if not known:
            return None
        parts.append(read_array(source, name))
        if len(parts[-1]) != size:
            raise ReidError(f"{source}: {name} is of {counted(len(parts[-1]), 'image')}, the features are of {size}")
    return parts


def _reader(file: Path, prefix: str, images: Path | None) -> Callable[[int, str], NDArray[np.uint8]]:
    """What reads the images of a file of features, by row and path."""
    if images is not None:
        if not images.is_dir():
            raise ReidError(f"{images}: is no folder of images")
        return _below(images)
    remedy = "give the folder of its images by --images"
    about = _about(file)
    if about is None:
        raise ReidError(f"{file}: does not say where its images are; {remedy}")
    if "source" in about:
        source = Path(str(about["source"]))
        root = source if source.is_dir() else source.parent
        if not source.exists():
            raise ReidError(f"{file}: its images are not in {source} any more; {remedy}")
        return _below(root)
    split = {"test": prefix.removesuffix("_"), "all": None}.get(str(about.get("images")), about.get("images"))
    try:
        shards = ShardSet.open(Path(str(about.get("shards"))), split)
        paths = shards.column("paths")
    except ReidError as error:
        raise ReidError(f"{file}: the shards of its images cannot be read ({error}); {remedy}") from None

    def crop(row: int, path: str) -> NDArray[np.uint8]:
        if row >= len(paths) or str(paths[row]) != path:
            raise ReidError(f"{file}: {shards.path} holds other images now; {remedy}")
        return shards.pixels(row, ("whole",))["whole"]

    return crop


def _about(file: Path) -> dict[str, Any] | None:
    """What a file of features, or the folder that it is in, says about itself; None if it says nothing."""
    if file.suffix == NPZ:
        return read_about(file) if ABOUT in array_names(file) else None
    folder = file if file.is_dir() else file.parent
    return read_about(folder) if (folder / ABOUT_FILE).is_file() else None


def require_one_network(files: Sequence[Path]) -> None:
    """Refuse features that cannot be compared, as far as their files say who computed them and how.

    Raises:
        ReidError: two networks, features with and without those of mirrored images, or crops that were cut otherwise.
    """
    told = [(file, about) for file in files if (about := _about(file)) is not None]
    for file, about in told[1:]:
        first, ours = told[0]
        for key, what in (("checkpoint_sha256", "by another network"), ("flip", "otherwise")):
            if about.get(key) != ours.get(key):
                raise ReidError(
                    f"{file}: its features were computed {what} than those of {first} ({key} {about.get(key)}, "
                    f"not {ours.get(key)}); compute both by one checkpoint"
                )
        cut, otherwise = ours.get("crops"), about.get("crops")
        # Not in files of before.
        if isinstance(cut, dict) and isinstance(otherwise, dict) and (found := first_differences(cut, otherwise)):
            raise ReidError(
                f"{file}: the crops of its features were cut otherwise than those of {first} ({found}); compute both "
                "with the same parameters"
            )


def _below(root: Path) -> Callable[[int, str], NDArray[np.uint8]]:
    source = FrameImages(root)

    def read(row: int, path: str) -> NDArray[np.uint8]:
        try:
            return source.read(path)
        except ReidError as error:
            raise ReidError(f"{root / path}: {error}; give the folder of the images by --images") from None

    return read


def open_gallery(files: Sequence[Path]) -> list[NDArray[Any]]:
    """The parts of a gallery; see `open_side`.

    Raises:
        ReidError: as `read_array`.
    """
    return [read_array(file, _name(file, GALLERY, "features")) for file in files]


def write_nearest(path: Path, nearest: Nearest) -> None:
    """Write the arrays `indices` and `distances` to an `.npz` file.

    Raises:
        ReidError: the file cannot be written.
    """
    claim_file(path, overwrite=True)
    with whole_file(path) as file:
        np.savez(file, indices=nearest.indices, distances=nearest.distances)
