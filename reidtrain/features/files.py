"""Features, and their files: one `.npz`, or a folder of `.npy` with the same arrays (docs/features-format.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import FolderKind, claim_file, read_file, whole_file, whole_folder
from reidprep.store.hdf5 import Schema
from reidprep.text import counted, json_file, utf8
from reidtrain.features.numpy_files import NPZ, StoredArray, array_names, load_arrays, stored_array, stored_arrays

if TYPE_CHECKING:
    from reidprep.shards.reader import ShardSet

SCHEMA = Schema("reidtrain.features", 1)
ABOUT = "about"
ABOUT_FILE = "features.json"
FOLDER = FolderKind("features", SCHEMA.name, ABOUT_FILE, r".+\.npy")

EMBEDDING = "embedding"
"""The feature by which images are compared; its arrays are called `features`."""

QUERY, GALLERY = "query_", "gallery_"
_TRACKLETS = "tracklets"
_LABELS = ("pids", "camids", "paths", "flags", _TRACKLETS)


class _Column(NamedTuple):
    """What an array must be: how many axes, of which kinds of types, up to how many bytes each, and all in words."""

    axes: int
    kinds: str
    most: int
    needs: str


_FEATURE = _Column(2, "fiu", 16, "(images, dimension) real numbers, such as float32, neither of them 0")
_LABEL = _Column(1, "iu", 8, "one whole number per image, such as int64")
_COLUMNS = {
    "pids": _LABEL,
    "camids": _LABEL,
    "flags": _LABEL,
    _TRACKLETS: _LABEL,
    "paths": _Column(1, "U", 4 * 4096, "one text per image, of up to 4,096 characters"),
    ABOUT: _Column(0, "U", 4 << 20, "one text, of up to a million characters"),
}
"""Columns by the name without its prefix; all others are features."""

_FEW_BYTES, _MOST_PACKED = 1 << 26, 100
"""Features that are larger than that and pack to less than a hundredth are all but constant."""


@dataclass(frozen=True)
class Features:
    """Features of n samples.

    Attributes:
        arrays: name to (n, dimension) float32, or whatever a file has: `embedding`, by which images are compared; for
            the attention-driven network also `whole`, each part and, of several parts, `fused`, each of length 1.
        pids: (n,) person ids.
        camids: (n,) cameras.
        paths: (n,) relative paths of the source images; None if they are not known.
        flags: (n,) int32 of `reidprep.Flag`, what is doubtful about the crops; None if that is not known.
        tracklets: (n,) which tracklet of its person and camera an image is of, -1 for none; None if there are none.
    """

    arrays: dict[str, NDArray[Any]]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    paths: NDArray[np.str_] | None = None
    flags: NDArray[np.int32] | None = None
    tracklets: NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.dimensions.items())
        return f"Features({counted(len(self.pids), 'sample', 'samples')}: {sizes})"

    @property
    def embedding(self) -> NDArray[Any]:
        """(n, dimension), by which images are compared."""
        return self.arrays[EMBEDDING]

    @property
    def dimensions(self) -> dict[str, int]:
        """Length of each feature."""
        return {name: values.shape[1] for name, values in self.arrays.items()}

    def take(self, rows: NDArray[np.int64]) -> Features:
        """The features of some samples."""
        return Features(
            {name: values[rows] for name, values in self.arrays.items()},
            self.pids[rows],
            self.camids[rows],
            None if self.paths is None else self.paths[rows],
            None if self.flags is None else self.flags[rows],
            None if self.tracklets is None else self.tracklets[rows],
        )

    @classmethod
    def of(cls, shards: ShardSet, indices: NDArray[np.int64] | None, arrays: Mapping[str, NDArray[Any]]) -> Features:
        """Those computed of some samples, or of all, with what the shards say about these."""
        chosen = np.arange(len(shards)) if indices is None else indices
        tracklets = shards.column("sequences")[chosen] if shards.plan.poses.dataset.has_tracklets else None
        return cls(
            dict(arrays),
            shards.pids[chosen],
            shards.camids[chosen],
            shards.column("paths")[chosen],
            tracklets=tracklets,
        )


class Output(Protocol):
    """What features are written to, block by block."""

    def write(self, features: Features, prefix: str, total: int) -> None:
        """Add the features of the next samples of those with a prefix, of which there will be `total`."""

    def finish(self, about: Mapping[str, Any]) -> None:
        """Let the file appear, after the last block."""


@contextmanager
def open_output(path: Path, overwrite: bool = False) -> Iterator[Output]:
    """A file of features to write: an `.npz`, which is held in memory meanwhile, else a folder, which is not.

    Args:
        path: the file or folder; what is above it is made if need be.
        overwrite: replace the one that is there, once the new one is whole.

    Raises:
        ReidError: something is there already, or nothing can be written.
    """
    folder = path.suffix != NPZ
    if path.exists() and path.is_dir() != folder:
        raise ReidError(f"{path}: is {'a file' if folder else 'a folder'}; a name that ends in {NPZ} is for a file")
    if folder:
        with whole_folder(path, FOLDER, overwrite=overwrite) as new, ExitStack() as stack:
            yield _Folder(new, stack)
    else:
        claim_file(path, overwrite=overwrite)
        yield _Npz(path)


def read_query_and_gallery(path: Path, names: Sequence[str] = (EMBEDDING,)) -> tuple[Features, Features]:
    """Features of the queries and of the gallery, of any model, without the paths of the images.

    Args:
        path: an `.npz` file, or a folder, whose arrays stay on the disk until they are used.
        names: which features.

    Raises:
        ReidError: as `read_arrays`; labels in the place of a feature; tracklets of one side alone; or features and
            labels of different numbers of images.
    """
    if labels := set(names).intersection((*_LABELS, ABOUT)):
        raise ReidError(f"{path}: {', '.join(sorted(labels))} is no feature")
    there = array_names(path)
    # Tracklets of one side alone would be of length 1, and compared with what is of any.
    tracklets = [_TRACKLETS] if any(prefix + _TRACKLETS in there for prefix in (QUERY, GALLERY)) else []
    wanted = [
        {column: _array_name(prefix, column) for column in (*names, "pids", "camids", *tracklets)}
        for prefix in (QUERY, GALLERY)
    ]
    stored = _stored(path, [array for columns in wanted for array in columns.values()])
    for columns in wanted:
        sizes = {array: stored[array].shape[0] for array in columns.values()}
        if len({*sizes.values()}) > 1:
            listed = ", ".join(f"{array} {size}" for array, size in sizes.items())
            raise ReidError(f"{path}: the arrays are of different numbers of images: {listed}")
    arrays = load_arrays(path, stored)
    sides = ({column: arrays[array] for column, array in columns.items()} for columns in wanted)
    query, gallery = (
        Features(pids=side.pop("pids"), camids=side.pop("camids"), tracklets=side.pop(_TRACKLETS, None), arrays=side)
        for side in sides
    )
    return query, gallery


def read_array(path: Path, name: str) -> NDArray[Any]:
    """One array: that of this name of an `.npz` file or a folder, else all of an `.npy` file.

    Raises:
        ReidError: as `read_arrays`.
    """
    if path.suffix == NPZ or path.is_dir():
        return read_arrays(path, (name,))[name]
    array = stored_array(path)
    _check(name, array)
    return array.load()


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Arrays of an `.npz` file, or of a folder, whose arrays stay on the disk until they are used.

    Raises:
        ReidError: no such file, damaged, larger than the memory, without one of the arrays, or with one of another
            shape or type than its name says; or a folder that does not say what it holds.
    """
    return load_arrays(path, _stored(path, names))


def read_about(path: Path) -> dict[str, Any]:
    """What an `.npz` file or a folder of features says about itself.

    Raises:
        ReidError: no such file, damaged, or not written by this toolkit.
    """
    if path.is_dir():
        where = f"{path / ABOUT_FILE}"
        if not (path / ABOUT_FILE).exists():
            raise ReidError(f"{path}: is a folder without {ABOUT_FILE}; give files or folders of features")
        try:
            text = read_file(path / ABOUT_FILE)
        except OSError as error:
            raise ReidError(f"{where} cannot be read: {error.strerror or error}") from None
        except MemoryError:
            raise ReidError(f"{where} cannot be read: it is larger than the memory") from None
    else:
        where = f"{path}: its array {ABOUT}"
        text = utf8(str(read_arrays(path, (ABOUT,))[ABOUT]))
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = None
    if (
        not isinstance(about, dict)
        or (about.get("schema"), about.get("version")) != (SCHEMA.name, SCHEMA.version)
        or not isinstance(about.get("dimensions"), dict)
        or EMBEDDING not in about["dimensions"]
    ):
        raise ReidError(f"{where} is not that of {SCHEMA.name} version {SCHEMA.version}")
    return about


def _stored(path: Path, names: Sequence[str]) -> dict[str, StoredArray]:
    """Arrays of an `.npz` file or a folder, checked by their names."""
    if path.is_dir():
        read_about(path)
    stored = stored_arrays(path, names)
    for name, array in stored.items():
        _check(name, array)
    return stored


def _check(name: str, array: StoredArray) -> None:
    """Refuse an array that is not what its name says, before it is read."""
    column = _COLUMNS.get(name.removeprefix(QUERY).removeprefix(GALLERY), _FEATURE)
    fits = len(array.shape) == column.axes and array.dtype.kind in column.kinds and array.dtype.itemsize <= column.most
    if not fits or (column is _FEATURE and 0 in array.shape):
        raise ReidError(f"{array.where} has shape {array.shape} and holds {array.dtype}; it needs {column.needs}")
    if column is _FEATURE and array.packed is not None and array.size > max(_FEW_BYTES, _MOST_PACKED * array.packed):
        raise ReidError(
            f"{array.where} unpacks from {array.packed} bytes to {array.size / 1e9:.1f} GB, so it is all but constant; "
            "if it does hold features, save it by numpy.savez, unpacked"
        )


class _Npz:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: dict[str, list[NDArray[Any]]] = {}

    def write(self, features: Features, prefix: str, total: int) -> None:
        for name, rows in _arrays(features, prefix).items():
            self.blocks.setdefault(name, []).append(rows)

    def finish(self, about: Mapping[str, Any]) -> None:
        arrays = {name: np.concatenate(blocks) for name, blocks in self.blocks.items()}
        arrays[ABOUT] = np.array(json.dumps(about, ensure_ascii=False))
        with whole_file(self.path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


class _Folder:
    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.stack = stack
        self.files: dict[str, BinaryIO] = {}

    def write(self, features: Features, prefix: str, total: int) -> None:
        for name, rows in _arrays(features, prefix).items():
            if name not in self.files:
                self.files[name] = file = self.stack.enter_context((self.path / f"{name}.npy").open("wb"))
                shape = (total, *rows.shape[1:])
                descr = np.lib.format.dtype_to_descr(rows.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            self.files[name].write(np.ascontiguousarray(rows).tobytes())

    def finish(self, about: Mapping[str, Any]) -> None:
        (self.path / ABOUT_FILE).write_bytes(json_file(about))


def _arrays(features: Features, prefix: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {_array_name(prefix, name): rows for name, rows in features.arrays.items()}
    labels = {prefix + label: getattr(features, label) for label in _LABELS}
    return arrays | {name: values for name, values in labels.items() if values is not None}


def _array_name(prefix: str, feature: str) -> str:
    return prefix + ("features" if feature == EMBEDDING else feature)
