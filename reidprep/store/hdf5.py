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

from reidprep.errors import ReidError, first_line
from reidprep.files import TOOL, check_shortage, require_file
from reidprep.store.fields import plain


@dataclass(frozen=True)
class Schema:
    """Name and version of a kind of directory."""

    name: str
    version: int


@dataclass(frozen=True)
class Column:
    """A dataset of an HDF5 file, said once for what writes and what reads it.

    Attributes:
        dtype: of its values; `np.str_` is text, stored as fixed-length UTF-8.
        row: shape of one row.
        optional: whether older files lack it.
        per_sample: whether it has a row for each sample; others are as long as they are.
    """

    dtype: type[np.generic]
    row: tuple[int, ...] = ()
    optional: bool = False
    per_sample: bool = True


Table = Mapping[str, Column]
"""The columns of a format by name, in the order in which they are written."""


def hdf5_bytes(schema: Schema, plan: object, table: Table, values: Mapping[str, Any]) -> bytes:
    """A whole HDF5 file: one contiguous dataset per column, schema and plan as attributes.

    All strings are fixed-length UTF-8. The file is made in memory: HDF5 itself does not survive a full
    disk, a plain write does.

    Args:
        schema: name and version.
        plan: what shaped the values.
        table: the columns.
        values: of each column, arrays or, for text, sequences; optional ones may be missing.
    """
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        file.attrs["version"] = schema.version
        parameters = json.dumps(plain(plan), ensure_ascii=False)
        for name, text in (("schema", schema.name), ("tool", TOOL), ("plan", parameters)):
            # Fixed length: a flipped bit in the heap that holds others can keep HDF5 in a loop for ever.
            data = text.encode()
            file.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", len(data)))
        for name, column in table.items():
            if column.optional and name not in values:
                continue
            if column.dtype is np.str_:
                encoded = [text.encode() for text in values[name]]
                width = max((len(text) for text in encoded), default=1)
                file.create_dataset(name, data=encoded, shape=len(encoded), dtype=h5py.string_dtype("utf-8", width))
            else:
                file.create_dataset(name, data=np.asarray(values[name], column.dtype).reshape(-1, *column.row))
        file.flush()
        return bytes(file.id.get_file_image())


DAMAGE = (KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What h5py raises on damaged files: a flipped bit can make a dataset a group, or a type another one."""


def open_hdf5(path: Path, schema: Schema, table: Table, rows: int) -> h5py.File:
    """Open a file for reading. No column is read, but each is known to be of its type and shape.

    Args:
        path: the file.
        schema: name and version it is to have.
        table: the columns.
        rows: samples it is to hold.

    Raises:
        ShortageError: too many files are open.
        ReidError: missing, damaged, of another schema, with columns that are not those of the table or of other numbers
            of rows, or with datasets that lie in other files.
    """
    try:
        require_file(path)
    except FileNotFoundError:
        raise ReidError(f"{path}: the file is missing; make the directory again") from None
    except OSError as error:
        raise ReidError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        # Without a lock, which some file systems do not have: files appear whole, and then stay as they are.
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        check_shortage(error, path)
        raise ReidError(f"{path}: not a readable HDF5 file ({error}); run 'reidprep verify'") from None
    try:
        name, version = file.attrs.get("schema"), file.attrs.get("version")
        found = (name.decode() if isinstance(name, bytes) else str(name), int(version))
        if found != (schema.name, schema.version):
            raise ReidError(f"{path}: holds {found[0]} version {found[1]}, expected {schema.name} {schema.version}")
        counts = _row_counts(_datasets(file, path.stat().st_size), table)
        if counts != {rows}:
            listed = " or ".join(map(str, sorted(counts)))
            raise ReidError(f"{path}: holds {listed} rows, the manifest says {rows}; run 'reidprep verify'")
    except ReidError:
        file.close()
        raise
    except DAMAGE as error:
        file.close()
        raise ReidError(f"{path}: damaged HDF5 file ({first_line(error)}); run 'reidprep verify'") from None
    return file


def read_columns(file: h5py.File, table: Table) -> dict[str, NDArray[Any]]:
    """The columns of a file that `open_hdf5` opened which have a row for each sample; text as NumPy strings.

    Raises:
        ReidError: the file is damaged.
    """
    present = {name: column for name, column in table.items() if column.per_sample and name in file}
    try:
        return {
            name: np.char.decode(file[name][:], "utf-8") if column.dtype is np.str_ else file[name][:]
            for name, column in present.items()
        }
    except DAMAGE as error:
        raise ReidError(f"{file.filename}: damaged HDF5 file ({first_line(error)}); run 'reidprep verify'") from None


def _datasets(file: h5py.File, size: int) -> dict[str, h5d.DatasetID]:
    """The datasets, all of which are contiguous, in a file of `size` bytes.

    HDF5 would follow links, virtual datasets and external storage to any file of the machine, and make up values that
    are not stored.

    Raises:
        KeyError, or another of `DAMAGE`: one is not.
    """
    root = file.id
    found: dict[str, h5d.DatasetID] = {}
    for link in root:
        dataset = h5o.open(root, link) if root.links.get_info(link).type == h5l.TYPE_HARD else None
        name = link.decode(errors="replace")
        if not isinstance(dataset, h5d.DatasetID):
            raise KeyError(f"{name} is no dataset of this file")
        if dataset.get_space().get_simple_extent_npoints():
            start = dataset.get_offset()
            if start is None or start + dataset.get_storage_size() > size:
                raise KeyError(f"{name} does not lie in this file")
        found[name] = dataset
    return found


def _row_counts(found: Mapping[str, h5d.DatasetID], table: Table) -> set[int]:
    """The numbers of rows of the columns that have one for each sample; one number, if all is well.

    Raises:
        ValueError, or another of `DAMAGE`: a column is not there, or not as the table has it.
    """
    counts: set[int] = set()
    for name, column in table.items():
        if name not in found:
            if column.optional:
                continue
            raise ValueError(f"there is no column {name}")
        dtype = found[name].dtype
        shape: tuple[int, ...] = found[name].shape or ()
        text = h5py.check_string_dtype(dtype)
        is_text = text is not None and text.encoding == "utf-8" and text.length is not None
        is_right = is_text if column.dtype is np.str_ else dtype == column.dtype
        if not is_right or len(shape) != 1 + len(column.row) or shape[1:] != column.row:
            expected = "fixed-length UTF-8" if column.dtype is np.str_ else np.dtype(column.dtype)
            raise ValueError(f"column {name} is {dtype}{shape}, expected {expected}{('rows', *column.row)}")
        if column.per_sample:
            counts.add(shape[0])
    return counts
