"""HDF5 files of a store: written whole, opened with care."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5l, h5o
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import TOOL
from reidprep.store.fields import plain


@dataclass(frozen=True)
class Schema:
    """Name and version of a kind of directory."""

    name: str
    version: int


def hdf5_bytes(schema: Schema, plan: object, columns: Mapping[str, Any]) -> bytes:
    """A whole HDF5 file: one contiguous dataset per column, schema and plan as attributes.

    All strings are fixed-length UTF-8. The file is made in memory: HDF5 itself does not survive a full
    disk, a plain write does.
    """
    with h5py.File("part.h5", "w", driver="core", backing_store=False) as file:
        file.attrs["version"] = schema.version
        parameters = json.dumps(plain(plan), ensure_ascii=False)
        for name, text in (("schema", schema.name), ("tool", TOOL), ("plan", parameters)):
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
    """Open a file for reading.

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
