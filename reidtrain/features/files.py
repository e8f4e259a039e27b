"""Files of features: one `.npz`, or a folder of `.npy` with the same arrays (docs/features-format.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import is_temporary, lock_directory, unlock_directory, whole_file, write_file
from reidprep.store.hdf5 import Schema
from reidtrain.features.extractor import EMBEDDING, Features
from reidtrain.metrics.features_file import read_features

SCHEMA = Schema("reidtrain.features", 1)
NPZ = ".npz"
ABOUT = "about"
ABOUT_FILE = "features.json"

QUERY, GALLERY = "query_", "gallery_"
_LABELS = ("pids", "camids", "paths")


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
    try:
        (path if folder else path.parent).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReidError(f"{path}: cannot be made ({error.strerror}); choose another place") from None
    if folder:
        with _locked(path), ExitStack() as stack:
            _check_folder(path, overwrite)
            yield _Folder(path, stack)
    elif path.exists() and not overwrite:
        raise ReidError(f"{path}: exists already; choose another file, or --overwrite")
    else:
        yield _Npz(path)


def read_query_and_gallery(path: Path) -> tuple[dict[str, Any], Features, Features]:
    """What an `.npz` file of query and gallery features says about itself, and these.

    Raises:
        ReidError: no such file, damaged, or not written by this toolkit with a query and a gallery.
    """
    about = read_about(path)
    names = list(about["dimensions"])
    query, gallery = (
        Features(
            dict(zip(names, read_features(path, [_array_name(prefix, name) for name in names]), strict=True)),
            *read_features(path, [prefix + label for label in _LABELS]),
        )
        for prefix in (QUERY, GALLERY)
    )
    return about, query, gallery


def read_about(path: Path) -> dict[str, Any]:
    """What an `.npz` file of features says about itself.

    Raises:
        ReidError: no such file, damaged, or not written by this toolkit.
    """
    (text,) = read_features(path, (ABOUT,))
    try:
        about = json.loads(str(text))
    except ValueError:
        about = None
    if not isinstance(about, dict) or (about.get("schema"), about.get("version")) != (SCHEMA.name, SCHEMA.version):
        raise ReidError(f"{path}: its array {ABOUT} is not that of {SCHEMA.name} version {SCHEMA.version}")
    return about


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
                self.files[name] = file = self.stack.enter_context(whole_file(self.path / f"{name}.npy"))
                shape = (total, *rows.shape[1:])
                descr = np.lib.format.dtype_to_descr(rows.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            self.files[name].write(np.ascontiguousarray(rows).tobytes())

    def finish(self, about: Mapping[str, Any]) -> None:
        # While the arrays are exchanged the folder does not say what it holds.
        (self.path / ABOUT_FILE).unlink(missing_ok=True)
        self.stack.close()
        for left in self.path.glob("*.npy"):
            if left.stem not in self.files:
                left.unlink()
        write_file(self.path / ABOUT_FILE, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())


def _arrays(features: Features, prefix: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {_array_name(prefix, name): rows for name, rows in features.arrays.items()}
    return arrays | {prefix + label: getattr(features, label) for label in _LABELS}


def _array_name(prefix: str, feature: str) -> str:
    return prefix + ("features" if feature == EMBEDDING else feature)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = lock_directory(folder)
    try:
        yield
    finally:
        unlock_directory(handle)


def _check_folder(path: Path, overwrite: bool) -> None:
    names = sorted(entry.name for entry in path.iterdir())
    for name in filter(is_temporary, names):
        (path / name).unlink()
    left = [name for name in names if not is_temporary(name)]
    if left and ABOUT_FILE not in left:
        raise ReidError(f"{path}: holds {left[0]} but no {ABOUT_FILE}; choose an empty folder")
    if left and not overwrite:
        raise ReidError(f"{path}: holds features already; choose another folder, or --overwrite")
