"""Images that are files in a folder: list them fast, read them safely."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ImageError, ReidError
from reidprep.images import decode_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

MAX_BYTES = 256 * 1024 * 1024
"""Larger files are not read: no image within the pixel limit needs as much."""


def why_unsafe(path: str) -> str | None:
    """Why a path must not be opened below a dataset's folder; None if it may.

    The path is checked as text: a symbolic link inside the folder was put there by its owner and is followed.
    """
    if not PurePosixPath(path).parts:
        return "the path is empty"
    if "\0" in path:
        return "the path contains a NUL character"
    if "\\" in path:
        return "the path contains a backslash; separate folders by /"
    if path.startswith("/") or PureWindowsPath(path).drive:
        return "the path is absolute; give it relative to the dataset's folder"
    if ".." in PurePosixPath(path).parts:
        return "the path leaves the dataset's folder through '..'"
    return None


@dataclass(frozen=True)
class FolderImages:
    """Image files below a folder.

    Attributes:
        root: the folder that record paths are relative to.
    """

    root: Path

    def read(self, path: str) -> NDArray[np.uint8]:
        """Read an image file as (h, w, 3) uint8 RGB.

        Raises:
            ImageError: missing, not a file, outside the folder, or not a usable image.
        """
        unsafe = why_unsafe(path)
        if unsafe:
            raise ImageError(unsafe)
        return decode_image(_read_bytes(self.root / path))


def _read_bytes(file: Path) -> bytes:
    try:
        status = file.stat()
        # Checked before opening: opening a named pipe would wait for ever.
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a regular file")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"the file is larger than {MAX_BYTES // 2**20} MiB")
        return file.read_bytes()
    except FileNotFoundError:
        raise ImageError("file not found") from None
    except PermissionError:
        raise ImageError("no permission to read the file") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # a lone surrogate, which no file name can hold
        raise ImageError("not a usable file name") from None


@dataclass(frozen=True)
class Entries:
    """The contents of one folder.

    Attributes:
        images: names of image files, sorted.
        others: names of everything else, sorted, printable.
    """

    images: tuple[str, ...]
    others: tuple[str, ...]


def scan(folder: Path) -> Entries:
    """Names in a folder, told apart by suffix without looking at each file.

    Raises:
        ReidError: the folder cannot be listed.
    """
    images: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                try:
                    name.encode()
                except UnicodeEncodeError:
                    # Paths are stored as UTF-8: a name in another encoding cannot be kept.
                    others.append(os.fsencode(name).decode("utf-8", "backslashreplace"))
                    continue
                if not name.lower().endswith(IMAGE_SUFFIXES):
                    others.append(name)
                elif entry.is_dir():
                    others.append(name + "/")
                else:
                    images.append(name)
    except OSError as error:
        raise ReidError(f"{folder}: cannot be listed: {error.strerror or error}") from None
    return Entries(tuple(sorted(images)), tuple(sorted(others)))


def missing_files(root: Path, paths: Iterable[str]) -> list[str]:
    """Those of the relative paths that do not exist below root; lists each folder once, for speed."""
    seen: dict[str, frozenset[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in seen:
            try:
                seen[folder] = frozenset(os.listdir(root / folder))  # noqa: PTH208
            except OSError:
                seen[folder] = frozenset()
        # Asked again by name: a file system may ignore case or normalise Unicode.
        if name not in seen[folder] and not (root / path).exists():
            missing.append(path)
    return missing


def quoted(names: Iterable[object], limit: int = 5) -> str:
    """The first few of some names for a message: "a, b, c and 7 more"."""
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, one: str, many: str) -> str:
    """`counted(2, "file", "files")` is "2 files"."""
    return f"{number:,} {one if number == 1 else many}"
