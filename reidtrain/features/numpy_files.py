"""Arrays in NumPy's files, which may be anybody's: `.npz`, `.npy`, and folders of `.npy`.

Nothing is read before its header has been checked, and no header is believed that the size of the file contradicts.
Objects, which are pickled, are never read.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import open_file

NPY, NPZ = ".npy", ".npz"
_HEADER_BYTES = 1 << 14
"""NumPy's own are some hundred bytes long, and it reads none of more than 10,000."""

_HEADERS: dict[tuple[int, int], Callable[[Any], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_SHOWN = 20


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array that has not been read yet.

    Attributes:
        where: its file, or its file and its name there.
        shape: by its header.
        dtype: by its header; no objects.
        packed: bytes it takes in its file; None where `load` leaves it on the disk until it is used, as an `.npy` file.
        load: gives its values; raises a `ReidError` where they cannot be read.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: int | None
    load: Callable[[], NDArray[Any]]

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def require_file(path: Path) -> None:
    """Make sure that a file can be read to its end, which a pipe or a device may not have.

    Raises:
        ReidError: there is none, or something else.
    """
    try:
        open_file(path).close()
    except (FileNotFoundError, NotADirectoryError):
        raise ReidError(f"{path}: no such file") from None
    except OSError as error:
        raise ReidError(f"{path} cannot be read: {error.strerror or error}") from None


def array_names(path: Path) -> set[str]:
    """Names of the arrays of an `.npz` file or a folder.

    Raises:
        ReidError: neither, or a damaged one.
    """
    if path.is_dir():
        return {file.stem for file in path.glob(f"*{NPY}")}
    with _archive(path) as archive:
        return {name.removesuffix(NPY) for name in archive.namelist()}


def stored_arrays(path: Path, names: Sequence[str]) -> dict[str, StoredArray]:
    """Arrays of an `.npz` file, or of a folder of `.npy` files, by their names.

    Raises:
        ReidError: no such file or folder, damaged, or without one of them; or one that is damaged or holds objects.
    """
    found = array_names(path)
    missing = [name for name in names if name not in found]
    if missing:
        listed = ", ".join(sorted(found)[:_SHOWN]) or "nothing"
        raise ReidError(f"{path} lacks {', '.join(missing)}; it holds {listed}")
    if path.is_dir():
        return {name: stored_array(path / f"{name}{NPY}") for name in names}
    return {name: _member(path, name) for name in names}


def stored_array(path: Path) -> StoredArray:
    """The array of an `.npy` file.

    Raises:
        ReidError: no such file, something else, a damaged one, or one of objects.
    """
    require_file(path)
    with _plainly(f"{path} is no .npy file of numbers, or a damaged one"):
        with path.open("rb") as file:
            shape, fortran, dtype, offset = _header(file, path.stat().st_size)

        def load() -> NDArray[Any]:
            if 0 in shape:  # a mapping cannot be empty
                return np.empty(shape, dtype)
            with _plainly(f"{path} cannot be mapped into memory"):
                return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")

        return StoredArray(str(path), shape, dtype, None, load)


def load_arrays(path: Path, arrays: Mapping[str, StoredArray]) -> dict[str, NDArray[Any]]:
    """The values of arrays of one file, by their names.

    Raises:
        ReidError: more than the memory holds, or one that is damaged.
    """
    needed, memory = sum(array.size for array in arrays.values() if array.packed is not None), _memory()
    if needed > memory:
        raise ReidError(f"{path} unpacks to {needed / 1e9:.1f} GB; this machine has {memory / 1e9:.1f} GB of memory")
    return {name: array.load() for name, array in arrays.items()}


def _member(path: Path, name: str) -> StoredArray:
    where = f"{path}: {name}"
    with _archive(path) as archive, _plainly(f"{where} cannot be read"):
        member = archive.getinfo(f"{name}{NPY}")
        with archive.open(member) as file:
            shape, _, dtype, _ = _header(file, member.file_size)

    def load() -> NDArray[Any]:
        with _archive(path) as archive, _plainly(f"{where} cannot be read"), archive.open(f"{name}{NPY}") as file:
            values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            return values

    return StoredArray(where, shape, dtype, member.compress_size, load)


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether columns are contiguous, type, and where the values begin, of `size` bytes in the `.npy` format."""
    start = io.BytesIO(file.read(_HEADER_BYTES))
    version = np.lib.format.read_magic(start)
    if version not in _HEADERS:
        raise ValueError(f"version {version[0]}.{version[1]} of the .npy format is not known")
    shape, fortran, dtype = _HEADERS[version](start)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read")
    wanted = start.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted != size:
        raise ValueError(f"its header tells of {wanted} bytes, and there are {size}")
    return shape, fortran, dtype, start.tell()


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    require_file(path)
    with _plainly(f"{path} is not an .npz file, or a damaged one; numpy.savez writes them"):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def _plainly(what: str) -> Iterator[None]:
    """Whatever goes wrong in reading an untrusted file as a plain error that says what was read.

    zipfile and NumPy's parser of headers let many kinds of exceptions through: of numbers, text, nesting, compression.
    """
    try:
        yield
    except ReidError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ReidError(f"{what}: {reason}") from None


def _memory() -> float:
    """Bytes of memory of this machine or, if that has less, container; infinite where the system does not say."""
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
    for limit in _CONTAINER_LIMITS:
        try:
            machine = min(machine, float(limit.read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return machine


_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much a container may take, by the two versions of its control groups."""
