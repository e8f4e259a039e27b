"""Write files whole or not at all; claim the folder or file that a command is to write."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Any, BinaryIO

from reidprep import __version__
from reidprep.errors import ReidError, ShortageError


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


_TEMPORARY = re.compile(r"\.(.+)\.[0-9]+\.tmp")


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
    forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    remedy = "choose a folder that you may write to" if forbidden else "make room or choose another folder"
    return ReidError(f"{path}: cannot be written ({error.strerror or error}); {remedy}, and run the command again")


def sync_directory(path: Path) -> None:
    """Make sure that files made or renamed in a folder survive a power failure."""
    if os.name == "posix":  # elsewhere folders cannot be opened
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def exchange_folders(one: Path, other: Path) -> None:
    """Give two folders of one parent each other's names: at once where the system can, which Linux does.

    Elsewhere `one` is missing for a moment; `restore_folder` mends it after a kill there.

    Raises:
        ReidError: they cannot be renamed.
    """
    try:
        if not _renamed_at_once(one, other):
            aside = _aside(one)
            one.rename(aside)
            other.rename(one)
            aside.rename(other)
        sync_directory(one.parent)
    except OSError as error:
        raise not_written(one, error) from None


def restore_folder(one: Path, other: Path) -> None:
    """Put back what a kill within `exchange_folders` may have left aside."""
    aside = _aside(one)
    if aside.exists():
        aside.rename(other if one.exists() else one)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def _renamed_at_once(one: Path, other: Path) -> bool:
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    # -100 is the current folder, to which paths may be relative, and 2 RENAME_EXCHANGE.
    return rename is not None and rename(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0


_SHORTAGES = {
    errno.EMFILE: "too many files are open in this process; allow more ('ulimit -n 4096'), or use fewer --workers",
    errno.ENFILE: "too many files are open on this machine; close some programs",
    errno.ENOMEM: "there is not enough memory; close some programs, or use fewer --workers",
    errno.ENOLCK: "the file system gives no locks; set HDF5_USE_FILE_LOCKING=FALSE",
}


def check_shortage(error: OSError, path: Path) -> None:
    """Raise if an error in opening a file is none of the file's.

    Raises:
        ShortageError: says what is short, and what to do.
    """
    if error.errno in _SHORTAGES:
        raise ShortageError(f"{path}: cannot be opened: {_SHORTAGES[error.errno]}") from None


def open_file(path: Path) -> BinaryIO:
    """Open a file to read: what every reader of somebody's file opens it by.

    Raises:
        OSError: as `open`; or it is no regular file. A pipe would be waited for, and a device has no end.
        ShortageError: too many files are open.
    """
    try:
        # Not to wait for a writer, where it is a pipe after all.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a NUL, or a lone surrogate, which no file name can hold
        raise OSError(errno.EINVAL, "not a usable file name", str(path)) from None
    except OSError as error:
        check_shortage(error, path)
        raise
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(handle, "rb")


def read_file(path: Path, most: int | None = None) -> bytes:
    """The content of a file.

    Args:
        path: the file.
        most: bytes it may have, None for any number.

    Raises:
        OSError: as `open_file`; or it is larger.
    """
    with open_file(path) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"the file is larger than {most // 2**20} MiB", str(path))
        return file.read()


def file_sha256(path: Path) -> str | None:
    """SHA-256 of a file, None if it cannot be read.

    Raises:
        ShortageError: as `open_file`.
    """
    digest = hashlib.sha256()
    try:
        with open_file(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def require_file(path: Path) -> None:
    """Make sure that what opens a file by its name will not wait for ever.

    Raises:
        OSError: as `open_file`.
    """
    open_file(path).close()


def check_archive(path: Path) -> None:
    """Make sure that a file, if it is a ZIP archive, is whole and as long as what is in it, as PyTorch's are.

    Raises:
        OSError: as `open_file`; or it would unpack to more.
    """
    with open_file(path) as file:
        if not zipfile.is_zipfile(file):
            return
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(member.file_size for member in archive.infolist())
                if size <= os.fstat(file.fileno()).st_size and (damaged := archive.testzip()):
                    raise ValueError(f"the checksum of {damaged} is another")  # PyTorch does not look
        except Exception as error:  # zipfile lets many kinds through: of text, of numbers
            raise OSError(errno.EINVAL, f"it is a damaged archive: {error}", str(path)) from None
        if size > os.fstat(file.fileno()).st_size:
            raise OSError(errno.EINVAL, "it is an archive that unpacks to more than its size", str(path))


@dataclass(frozen=True)
class FolderKind:
    """What a command fills a folder with, and how such a folder is known again.

    Attributes:
        noun: in messages, such as "a preview".
        schema: what the marker has under `key`.
        marker: name of the JSON file that says what the folder holds; None if the names of all files say it.
        names: regular expression of what else is ours: of names at the top of the folder or, without a marker, of the
            names of files at any depth. Nothing else is ever removed.
        beside: names of what others may have put there, which is never removed.
        listed: whether only those are ours that the marker lists under `files`.
        key: of the marker.
    """

    noun: str
    schema: str | int
    marker: str | None
    names: str
    beside: tuple[str, ...] = ()
    listed: bool = False
    key: str = "schema"

    @property
    def stage(self) -> str:
        """Name of the folder within the folder in which `whole_folder` puts the content together."""
        return f".{self.noun.split()[-1]}.unfinished"


@dataclass(frozen=True)
class _Found:
    """What is in an output folder; see `FolderClaim` for `earlier` and `ours`."""

    earlier: Mapping[str, Any] | None
    ours: Sequence[str]
    leftovers: Sequence[str]


class FolderClaim:
    """The output folder of a command: here alone it is decided whether a folder may be written to.

    It may if it is missing or empty, or holds what an earlier run of the same kind made or, when it was killed, left
    behind. Leftovers are removed, and other runs are kept out until `close`. Use it in a `with` block.

    Args:
        out: the folder; made if missing.
        kind: what it is to hold.
        overwrite: whether what an earlier run made will be replaced; then its marker may be damaged.

    Attributes:
        earlier: what the marker of an earlier run says, empty if it is damaged; None if there was no earlier run.
        ours: names of what an earlier run made, but for the marker.

    Raises:
        ReidError: the folder is a file, holds something else, or another run is filling it.
    """

    def __init__(self, out: Path, kind: FolderKind, *, overwrite: bool = False) -> None:
        self.out = out
        self._lock: int | None = None
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._lock = lock_directory(out)
            found = _look(out, kind, overwrite)
        except OSError as error:
            self.close()
            raise _unusable(out, error) from None
        except BaseException:
            self.close()
            raise
        self.earlier, self.ours = found.earlier, found.ours
        for name in found.leftovers:
            with suppress(OSError):  # of a folder that is read-only by now
                _remove(out / name)

    def __enter__(self) -> FolderClaim:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def clear(self) -> None:
        """Remove what an earlier run made, but for the marker: until it is replaced it says whose folder this is.

        Raises:
            ReidError: the folder cannot be written to.
        """
        for name in self.ours:
            try:
                _remove(self.out / name)
            except OSError as error:
                raise not_written(self.out / name, error) from None
        self.ours = ()

    def close(self) -> None:
        """Let others have the folder."""
        unlock_directory(self._lock)
        self._lock = None


def check_folder(out: Path, kind: FolderKind, *, overwrite: bool = False) -> None:
    """Make sure, before long work, that `whole_folder` will take a folder; changes nothing.

    Raises:
        ReidError: the folder is a file, or holds something that is not to be replaced.
    """
    try:
        if out.exists():
            _check_free(out, kind, _look(out, kind, overwrite), overwrite)
    except OSError as error:
        raise _unusable(out, error) from None


@contextmanager
def whole_folder(out: Path, kind: FolderKind, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, whose content appears in `out` once the block has ended, or not at all.

    It is put together in a folder within `out`, which the next run removes if this one is killed.

    Args:
        out: the folder; see `FolderClaim`.
        kind: what it is to hold.
        overwrite: replace what an earlier run made, once the new content is whole.

    Raises:
        ReidError: as `FolderClaim`; an earlier run that is not to be replaced; a full disk, or a folder that cannot be
            written to. Nothing is left behind.
    """
    new = not out.exists()
    with FolderClaim(out, kind, overwrite=overwrite) as claim:
        stage = out / kind.stage
        try:
            _check_free(out, kind, claim, overwrite)
            stage.mkdir()
            yield stage
            _publish(stage, claim, kind)
        except BaseException as error:
            shutil.rmtree(stage, ignore_errors=True)
            if new:
                with suppress(OSError):
                    out.rmdir()
            if isinstance(error, OSError) and (error.filename is None or out in Path(str(error.filename)).parents):
                raise not_written(out, error) from None
            raise


def claim_file(path: Path, *, overwrite: bool = False) -> None:
    """Make sure, before long work, that a file can be written: make its folder, remove what killed runs have left.

    Raises:
        ReidError: the file exists and is not to be replaced, or its folder cannot be written to.
    """
    if path.is_dir():
        raise ReidError(f"{path}: is a folder; give the name of a file, such as {path / 'NAME'}")
    if path.exists() and not overwrite:
        raise ReidError(f"{path}: exists already; choose another file, or --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for name in _names(path.parent):
            left = _TEMPORARY.fullmatch(name)
            if left and left[1] == path.name:
                (path.parent / name).unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(path.parent, error) from None
    if not os.access(path.parent, os.W_OK):
        raise not_written(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _look(out: Path, kind: FolderKind, overwrite: bool) -> _Found:
    """What is in a folder; raise if it is not for us."""
    names = _names(out)
    leftovers = [name for name in names if is_temporary(name) or name == kind.stage]
    others = [name for name in names if name not in (kind.marker, *kind.beside, *leftovers)]
    foreign = {name: found for name in others if (found := _foreign(out / name, kind)) is not None}
    ours = [name for name in others if name not in foreign]
    if kind.marker in names:
        earlier = _read_marker(out, kind, overwrite, others=list(foreign))
        if kind.listed:
            ours = [name for name in _listed(out, kind, earlier) if name in others]
        leftovers += [
            f"{folder}/{name}"
            for folder in ours
            if (out / folder).is_dir()
            for name in _names(out / folder)
            if is_temporary(name)
        ]
        return _Found(earlier, ours, leftovers)
    # Between two markers, or before the first, there is the folder of `whole_folder`.
    killed = kind.stage in names
    if foreign or (ours and kind.marker and not killed):
        marker = f" and no {kind.marker}" if kind.marker else ""
        found = next(iter(foreign.values()), out / others[0])
        raise ReidError(
            f"{out}: the folder is not empty and holds no {kind.noun.split()[-1]}{marker} "
            f"(found {str(found.relative_to(out))!r}); choose an empty folder"
        )
    return _Found(None, (), [*leftovers, *ours]) if killed else _Found({} if ours else None, ours, leftovers)


def _foreign(entry: Path, kind: FolderKind) -> Path | None:
    """An entry of a folder, or the first file below it, that is not ours; None if all is."""
    if re.fullmatch(kind.names, entry.name):
        return None
    if kind.marker or not entry.is_dir() or entry.is_symlink():
        return entry
    files = (Path(folder) / name for folder, _, names in os.walk(entry) for name in names)
    return next((file for file in files if not re.fullmatch(kind.names, file.name)), None)


def _read_marker(out: Path, kind: FolderKind, overwrite: bool, others: Sequence[str]) -> dict[str, Any]:
    assert kind.marker is not None
    path = out / kind.marker
    try:
        content = json.loads(read_file(path))
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        if overwrite and not others:
            return {}
        if others:
            raise ReidError(
                f"{path}: cannot be read ({error}), and there are other files (found {others[0]!r}); choose another "
                "folder"
            ) from None
        raise ReidError(f"{path}: cannot be read ({error}); choose another folder, or --overwrite") from None
    found = content.get(kind.key)
    if found != kind.schema:
        raise ReidError(f"{out}: holds {found!r}, not {kind.schema!r}, says its {kind.marker}; choose another folder")
    return content


def _listed(out: Path, kind: FolderKind, marker: Mapping[str, Any]) -> list[str]:
    names = marker.get("files")
    if not isinstance(names, list) or not all(re.fullmatch(kind.names, str(name)) for name in names):
        raise ReidError(f"{out}: its {kind.marker} is not the list of files of {kind.noun}; choose an empty folder")
    return names


def _check_free(out: Path, kind: FolderKind, found: _Found | FolderClaim, overwrite: bool) -> None:
    if found.earlier is not None and not overwrite:
        raise ReidError(f"{out}: holds {kind.noun} already; choose another folder, or --overwrite")


def _publish(stage: Path, claim: FolderClaim, kind: FolderKind) -> None:
    """Put what is in the stage in the place of what an earlier run made."""
    out = claim.out
    old = [name for name in (kind.marker, *claim.ours) if name and (out / name).exists()]
    new = sorted(_names(stage), key=lambda name: name == kind.marker)
    for name in new:
        if name not in old and os.path.lexists(out / name):
            raise ReidError(f"{out / name}: was not made by an earlier run; move it away")
    _sync(stage)
    away = stage / ".old"
    away.mkdir()
    # The marker goes first and comes last: in between the folder does not say that it holds anything.
    for name in old:
        (out / name).rename(away / name)
    for name in new:
        (stage / name).rename(out / name)
    sync_directory(out)
    shutil.rmtree(stage, ignore_errors=True)


_FEW = 256


def _sync(folder: Path) -> None:
    """Make sure that all files below a folder survive a power failure."""
    files = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    if len(files) > _FEW and hasattr(os, "sync"):  # to sync each of a million takes hours on some disks
        os.sync()
        return
    for file in files:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unusable(out: Path, error: OSError) -> ReidError:
    if out.is_file():
        return ReidError(f"{out}: is a file; choose a folder")
    return ReidError(f"{out}: cannot be used as the output folder ({error.strerror})")
