"""Write files whole or not at all; HDF5 part files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5d, h5l, h5o
from numpy.typing import NDArray

from reidprep import __version__
from reidprep.errors import ReidError

TOOL = f"reidprep {__version__}"


@dataclass(frozen=True)
class Schema:
    """Name and version of a kind of part directory."""

    name: str
    version: int


_TEMPORARY = re.compile(r"\..+\.[0-9]+\.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file is what a killed `write_file` leaves behind."""
    return _TEMPORARY.fullmatch(name) is not None


def write_file(path: Path, data: bytes) -> str:
    """Write a file so that it is there whole or not at all; returns its SHA-256.

    Raises:
        ReidError: the disk is full or the folder cannot be written to; nothing is left behind.
    """
    with whole_file(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which is there under its name once the block has ended, or not at all.

    Raises:
        ReidError: the disk is full or the folder cannot be written to; nothing is left behind.
    """
    # Process ids are not unique where several machines write to one shared folder.
    temporary = path.with_name(f".{path.name}.{randbits(64)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except BaseException as error:
        with suppress(OSError):  # a file system that went read-only
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise not_written(path, error) from None


def not_written(path: Path, error: OSError) -> ReidError:
    """What to raise if a file cannot be written."""
    return ReidError(
        f"{path}: cannot be written ({error.strerror}); make room or choose another folder, and run the command again"
    )


def sync_directory(path: Path) -> None:
    """Make sure that files made or renamed in a folder survive a power failure."""
    if os.name == "posix":  # elsewhere folders cannot be opened
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_sha256(path: Path) -> str | None:
    """SHA-256 of a file, None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def hdf5_bytes(schema: Schema, plan: Mapping[str, Any], columns: Mapping[str, Any]) -> bytes:
    """A whole HDF5 part file: one contiguous dataset per column, schema and plan as attributes.

    All strings are fixed-length UTF-8. The file is made in memory: HDF5 itself does not survive a full
    disk, a plain write does.
    """
    with h5py.File("part.h5", "w", driver="core", backing_store=False) as file:
        file.attrs["version"] = schema.version
        for name, text in (("schema", schema.name), ("tool", TOOL), ("plan", json.dumps(plan, ensure_ascii=False))):
            # Fixed length: a flipped bit in the heap that holds others can keep HDF5 in a loop for ever.
            data = text.encode()
            file.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", len(data)))
        for name, values in columns.items():
            if isinstance(values, np.ndarray):
                file.create_dataset(name, data=values)
            else:
                encoded = [text.encode() for text in values]
                width = max((len(text) for text in encoded), default=1)
                file.create_dataset(name, data=encoded, shape=len(encoded), dtype=h5py.string_dtype("utf-8", width))
        file.flush()
        return bytes(file.id.get_file_image())


DAMAGE = (KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What h5py raises on damaged files: a flipped bit can make a dataset a group, or a type another one."""


def open_hdf5(path: Path, schema: Schema) -> h5py.File:
    """Open a part file for reading.

    Raises:
        ReidError: missing, damaged, of another schema, or with datasets that lie in other files.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise ReidError(f"{path}: the file is missing; make the directory again") from None
    except OSError as error:
        raise ReidError(f"{path}: not a readable HDF5 file ({error}); run 'reidprep verify'") from None
    try:
        name = file.attrs.get("schema")
        found = (name.decode() if isinstance(name, bytes) else name, file.attrs.get("version"))
        _check_datasets(file, path.stat().st_size)
    except DAMAGE as error:
        file.close()
        raise ReidError(f"{path}: damaged HDF5 file ({error}); run 'reidprep verify'") from None
    if found != (schema.name, schema.version):
        file.close()
        raise ReidError(f"{path}: holds {found[0]} version {found[1]}, expected {schema.name} {schema.version}")
    return file


def _check_datasets(file: h5py.File, size: int) -> None:
    """Raise one of `DAMAGE` unless every dataset is contiguous, in a file of `size` bytes.

    HDF5 would follow links, virtual datasets and external storage to any file of the machine, and make up values that
    are not stored.
    """
    root = file.id
    for name in root:
        dataset = h5o.open(root, name) if root.links.get_info(name).type == h5l.TYPE_HARD else None
        if not isinstance(dataset, h5d.DatasetID):
            raise KeyError(f"{name.decode(errors='replace')} is no dataset of this file")
        if dataset.get_space().get_simple_extent_npoints():
            start = dataset.get_offset()
            if start is None or start + dataset.get_storage_size() > size:
                raise KeyError(f"{name.decode(errors='replace')} does not lie in this file")


def read_strings(dataset: h5py.Dataset) -> NDArray[np.str_]:
    """A column of fixed-length UTF-8 as a NumPy string array."""
    return np.char.decode(dataset[:].astype(bytes), "utf-8")
