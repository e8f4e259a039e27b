"""Write files whole or not at all, and keep other runs out of a folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import randbits
from typing import BinaryIO

from reidprep import __version__
from reidprep.errors import ReidError


def lock_directory(path: Path) -> int | None:
    """Keep other runs out of a directory until `unlock_directory`, or until this process ends, however it does.

    Returns:
        What `unlock_directory` takes, None where there are no locks.

    Raises:
        ReidError: another run has it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ReidError(f"{path}: another run is writing here; wait for it or choose another folder") from None
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    _locks.add(handle)
    return handle


def unlock_directory(handle: int | None) -> None:
    """Let others have a directory."""
    if handle is not None:
        _locks.discard(handle)
        os.close(handle)


_locks: set[int] = set()


def _leave_locks_to_the_parent() -> None:
    # A lock lasts as long as any process has its handle: workers outlive a killed parent by some seconds.
    for handle in _locks:
        os.close(handle)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_locks_to_the_parent)

TOOL = f"reidprep {__version__}"


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
