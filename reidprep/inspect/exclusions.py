"""The list of samples to leave out, as a file that others may change too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from reidprep.errors import ReidError
from reidprep.files import lock_directory, not_written, unlock_directory
from reidprep.inspect.selection import Excluded
from reidprep.shards.exclusions import read_exclusions, write_exclusions

_WAIT = 5.0
"""Seconds to wait for another server that writes the list."""


@dataclass(frozen=True)
class Change:
    """What marking many samples did.

    Attributes:
        listed: how many are listed since.
        before: the reason that each changed path had, None where it was not listed.
        reason: the reason that they have since, None where they are not listed any more.
    """

    listed: int
    before: Mapping[str, str | None]
    reason: str | None


class Exclusions:
    """An exclude.csv and the samples that it lists. Safe to use from several threads.

    Args:
        file: the file; made when the first sample is marked.
        paths: of all samples, empty where unknown.

    Raises:
        ReidError: the file is there and cannot be used.
    """

    def __init__(self, file: Path, paths: Sequence[str]) -> None:
        self.file = file
        self._paths = paths
        self._lock = Lock()
        self._reasons: dict[str, str] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._excluded = Excluded(np.zeros(len(paths), dtype=np.bool_), 0)
        self._refresh()

    @property
    def reasons(self) -> dict[str, str]:
        """Reason by path, in the order of the paths.

        Raises:
            ReidError: somebody changed the file to what cannot be used.
        """
        with self._lock:
            self._refresh()
            return dict(self._reasons)

    @property
    def excluded(self) -> Excluded:
        """Which samples are listed.

        Raises:
            ReidError: somebody changed the file to what cannot be used.
        """
        with self._lock:
            self._refresh()
            return self._excluded

    def mark(self, path: str, excluded: bool, reason: str | None = None) -> tuple[int, str | None]:
        """Enter a path, or take it out.

        Args:
            path: of a sample.
            excluded: whether it is to be listed.
            reason: why, None to keep the reason that it has.

        Returns:
            How many are listed then, and the reason that was given before, None where it was not listed.

        Raises:
            ReidError: the file cannot be read or written.
        """
        with self._alone():
            before = self._reasons.get(path)
            new = (before or "") if reason is None else reason
            return self._write({path: new if excluded else None}), before

    def mark_all(self, paths: Iterable[str], excluded: bool, reason: str = "") -> Change:
        """Enter paths, or take them out, all at once; those that are so already keep their reason.

        Raises:
            ReidError: the file cannot be read or written.
        """
        with self._alone():
            changed = [path for path in dict.fromkeys(paths) if (path in self._reasons) != excluded]
            before = {path: self._reasons.get(path) for path in changed}
            after = reason if excluded else None
            return Change(self._write(dict.fromkeys(changed, after)), before, after)

    def take_back(self, change: Change) -> tuple[int, int]:
        """Undo what `mark_all` did, but for what was marked otherwise since; returns how many are listed, and changed.

        Raises:
            ReidError: the file cannot be read or written.
        """
        with self._alone():
            undone = {path: old for path, old in change.before.items() if self._reasons.get(path) == change.reason}
            return self._write(undone), len(undone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others, other servers among them, from changing the list between reading and writing it."""
        with self._lock:
            handle = self._locked()
            try:
                self._refresh()
                yield
            finally:
                unlock_directory(handle)

    def _locked(self) -> int | None:
        until = time.monotonic() + _WAIT
        while True:
            try:
                return lock_directory(self.file.parent)
            except OSError as error:
                raise not_written(self.file, error) from None
            except ReidError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _write(self, changes: Mapping[str, str | None]) -> int:
        """Reason by path, None to take it out; returns how many are listed then."""
        reasons = {path: reason for path, reason in self._reasons.items() if path not in changes}
        reasons |= {path: reason for path, reason in changes.items() if reason is not None}
        write_exclusions(self.file, reasons)
        self._stamp = self._on_disk()
        self._take(reasons)
        return len(reasons)

    def _on_disk(self) -> tuple[int, int, int] | None:
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReidError(f"{self.file}: cannot be read: {error.strerror}") from None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _refresh(self) -> None:
        stamp = self._on_disk()
        if stamp != self._stamp:
            self._take(read_exclusions(self.file) if stamp is not None else {})
            self._stamp = stamp

    def _take(self, reasons: dict[str, str]) -> None:
        self._reasons = dict(sorted(reasons.items()))
        mask = np.fromiter((path in reasons for path in self._paths), np.bool_, len(self._paths))
        self._excluded = Excluded(mask, self._excluded.version + 1)
