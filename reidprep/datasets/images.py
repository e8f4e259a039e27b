"""Images that are files in a folder: list them fast, read them safely, whole or a box of them.

A box is written as a W3C media fragment (Media Fragments URI 1.0, section 4.2.2): `frames/1.jpg#xywh=10,20,64,128` is
the part of `frames/1.jpg` that starts 10 pixels from its left and 20 from its top edge, 64 wide and 128 high.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.base import ImageSource
from reidprep.errors import ImageError, ReidError
from reidprep.images import decode_image, read_bytes
from reidprep.records import why_unsafe
from reidprep.text import counted, printable, quoted


def check_readable(images: ImageSource, path: str | None) -> None:
    """Raise if an image that could be read where the command was started cannot be read here.

    Raises:
        ReidError: names the image and this machine.
    """
    if path is None:
        return
    try:
        images.read(path)
    except ImageError as error:
        raise ReidError(f"{path}: {error}; the images must be at the same place on all machines") from None


CACHE_BYTES = 128 * 1024 * 1024
"""Decoded frames kept by a process: 21 of 1920x1080."""

_FRAGMENT = re.compile(r"(.+)#xywh=([0-9]{1,9}),([0-9]{1,9}),([1-9][0-9]{0,8}),([1-9][0-9]{0,8})", re.DOTALL)


@dataclass(frozen=True)
class Box:
    """A part of a frame, in whole pixels; it may reach beyond the right and the lower edge.

    Attributes:
        x: pixels of the frame left of it, 0 or more.
        y: pixels of the frame above it, 0 or more.
        width: 1 or more.
        height: 1 or more.
    """

    x: int
    y: int
    width: int
    height: int


def with_box(frame: str, box: Box) -> str:
    """The record path of a box in a frame."""
    return f"{frame}#xywh={box.x},{box.y},{box.width},{box.height}"


def split_box(path: str) -> tuple[str, Box | None]:
    """The frame that a record path names, and the box in it; None if the path names no box.

    A point of the frame lies in the crop at (x - box.x, y - box.y).
    """
    match = _FRAGMENT.fullmatch(path)
    return (match[1], Box(*map(int, match.groups()[1:]))) if match else (path, None)


def without_suffix(path: str) -> str:
    """A record path without the file's last suffix: `a/b.jpg` -> `a/b`, `b.jpg#xywh=1,2,3,4` -> `b#xywh=1,2,3,4`."""
    frame, box = split_box(path)
    stem = str(PurePosixPath(frame).with_suffix(""))
    return with_box(stem, box) if box else stem


class FrameImages:
    """Image files below a folder, and boxes in them.

    Several boxes of a frame are cut from one decoding of it, as long as they are read near one another, which is how
    datasets list them: the frames read last are kept. The newest is kept whatever its size. A pickled copy starts
    with none.

    Attributes:
        root: the folder that record paths are relative to.
        cache_bytes: size of the decoded frames to keep.
    """

    def __init__(self, root: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.root = root
        self.cache_bytes = cache_bytes
        self._folder = FolderImages(root)
        self._frames: OrderedDict[str, Future[NDArray[np.uint8]]] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def read(self, path: str) -> NDArray[np.uint8]:
        """Read an image, or the part of a frame that a box covers, as (h, w, 3) uint8 RGB.

        Raises:
            ImageError: missing, not a file, outside the folder, not a usable image, or the box lies outside the frame.
        """
        name, box = split_box(path)
        if box is None:
            return self._folder.read(path)
        frame = self._frame(name)
        height, width = frame.shape[:2]
        if box.x >= width or box.y >= height:
            raise ImageError(f"the box lies outside the frame, which is {width}x{height}")
        # Copied: a view would keep the whole frame alive.
        crop: NDArray[np.uint8] = frame[box.y : box.y + box.height, box.x : box.x + box.width].copy()
        return crop

    def _frame(self, name: str) -> NDArray[np.uint8]:
        with self._lock:
            future = self._frames.get(name)
            first = future is None
            if future is None:
                future = self._frames[name] = Future()
            self._frames.move_to_end(name)
        if first:
            try:
                future.set_result(self._folder.read(name))
            except BaseException as error:
                future.set_exception(error)
            with self._lock:
                self._forget()
        return future.result()

    def _forget(self) -> None:
        """Drop the frames read longest ago until the others fit, and those that could not be read."""
        left = self.cache_bytes
        newest = True
        for name, future in reversed(list(self._frames.items())):
            if not future.done():
                continue
            left -= 0 if future.exception() else future.result().nbytes
            if future.exception() or (left < 0 and not newest):
                del self._frames[name]
            newest = False


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


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
        return decode_image(read_bytes(self.root / path))


@dataclass(frozen=True)
class Entries:
    """The contents of a folder.

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
                    others.append(_shown(name))
                    continue
                # macOS puts files ._a.jpg beside a.jpg.
                if name.startswith(".") or not name.lower().endswith(IMAGE_SUFFIXES):
                    others.append(name)
                elif entry.is_dir():
                    others.append(name + "/")
                else:
                    images.append(name)
    except OSError as error:
        raise ReidError(f"{folder}: cannot be listed: {error.strerror or error}") from None
    return Entries(tuple(sorted(images)), tuple(sorted(others)))


def scan_tree(root: Path, *, follow: bool = False) -> Entries:
    """Relative POSIX paths of the files at any depth below a folder, but for hidden ones, told apart by suffix.

    Args:
        root: the folder.
        follow: look behind symbolic links to folders, too; else they are among the others.

    Raises:
        ReidError: a folder that cannot be listed, or an image whose name is not UTF-8.
    """

    def fail(error: OSError) -> None:
        raise ReidError(f"{error.filename}: cannot be listed: {error.strerror or error}") from None

    images: list[str] = []
    others: list[str] = []
    seen: set[Path] = set()
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=follow):
        if follow:
            # A link to a folder above would lead round for ever, one to a folder beside would list it twice.
            place = Path(folder).resolve()
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root)
        if not follow:
            links = (name for name in folders if os.path.islink(os.path.join(folder, name)))  # noqa: PTH114, PTH118
            others += [f"{(below / name).as_posix()}/ (a link)" for name in links]
        for name in names:
            if not name.startswith("."):
                (images if name.lower().endswith(IMAGE_SUFFIXES) else others).append((below / name).as_posix())
    for path in images:
        check_name(root, path)
    return Entries(tuple(sorted(images)), tuple(sorted(map(_shown, others))))


def check_name(root: Path, path: str) -> None:
    """Make sure that the path of an image below a folder can be stored.

    Raises:
        ReidError: it is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ReidError(f"{root}/{_shown(path)}: the name is not UTF-8, in which paths are stored; rename it") from None


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def ignored_notes(others: Sequence[str]) -> list[str]:
    """A sentence on files that are no image files; none if there are none."""
    number = counted(len(others), "file that is", "files that are")
    return [f"ignored {number} no image file: {quoted(map(printable, others))}"] if others else []


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
        if name not in seen[folder] and not os.path.exists(root / path):  # noqa: PTH110  # true or false, whatever it is
            missing.append(path)
    return missing


def missing_note(root: Path, missing: Sequence[str]) -> str:
    """A sentence on listed images that are missing, with the names of some files that may be meant.

    Args:
        root: the dataset's folder.
        missing: what `missing_files` gives; at least one.
    """
    paths = [path if len(path) <= _LONGEST_SHOWN else path[:_LONGEST_SHOWN] + "..." for path in missing]
    note = f"{counted(len(missing), 'listed image is', 'listed images are')} missing: {quoted(paths)}"
    similar = next((found for path in missing[:_LOOKED_UP] if (found := _similar(root, path))), None)
    return note if similar is None else f"{note}; there is {similar!r}: blanks and upper and lower case count"


def missing_notes(root: Path, paths: Iterable[str]) -> list[str]:
    """The note on those of the relative paths that do not exist below root; none if all do."""
    missing = missing_files(root, paths)
    return [missing_note(root, missing)] if missing else []


def _similar(root: Path, path: str) -> str | None:
    """A file that is called like a path but for blanks, and upper and lower case."""
    found = ""
    for wanted in path.split("/"):
        try:
            names = sorted(os.listdir(root / found))  # noqa: PTH208
        except OSError:
            return None
        alike = [name for name in names if "".join(name.split()).lower() == "".join(wanted.split()).lower()]
        if not alike:
            return None
        found = f"{found}/{wanted if wanted in alike else alike[0]}".lstrip("/")
    return found


_LOOKED_UP = 5
_LONGEST_SHOWN = 200
