"""Directories of files with a manifest: written so that a kill at any moment loses no whole file.

A file is put together in memory, written under a temporary name, flushed, synced and renamed; only then is it named,
with its SHA-256 and row count, by a line in a journal, and once the run ends, in whatever way but a kill, by the
manifest. (A manifest written anew for every file would take time in proportion to the square of their number.) A later
run with the same plan keeps the files that are whole and makes the others again, with the same bytes.
"""

from __future__ import annotations

import os
import re
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Generic

from reidprep.errors import ReidError
from reidprep.files import (
    FolderClaim,
    FolderKind,
    file_sha256,
    is_temporary,
    not_written,
    sync_directory,
    write_file,
)
from reidprep.store.fields import checked, plain
from reidprep.store.manifest import (
    JOURNAL,
    MANIFEST,
    Format,
    Manifest,
    Plan,
    Statistics,
    StoreFile,
    Summary,
    journal_line,
    read_manifest,
)
from reidprep.text import differences

UNFINISHED = r"unfinished-[0-9]+-[0-9a-f]{64}\.h5"
"""Names of what a stopped run kept of files that it had begun."""
_FILES = r"(part|train|query|gallery)-[0-9]{5,}\.(h5|tar)"


class StoreWriter(Generic[Plan, Summary, Statistics]):
    """Fills a directory, or goes on filling one that was interrupted. Use it in a `with` block.

    Files from which images had to be left out are made again on the next run: the images may be there by then.

    Args:
        path: the directory; made if missing.
        format: kind of directory.
        source: see `Manifest.source`.
        plan: every parameter that shapes the files.
        overwrite: discard the files that are there.

    Raises:
        ReidError: a plan that the format does not allow; the directory holds something else, or files made with another
            plan, or another run is filling it.
    """

    def __init__(
        self,
        path: Path,
        format: Format[Plan, Summary, Statistics],
        source: str,
        plan: Plan,
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._format = format
        # What comes back from the file must compare equal to what was put in.
        values = plain(plan)
        plan = checked(values, format.plan, path / MANIFEST, "plan")
        self._head: Manifest[Plan, Summary, Statistics] = Manifest(format.schema, source, plan, values)
        self._files: dict[str, StoreFile[Statistics]] = {}
        self._journal: IO[bytes] | None = None
        self._finished = False  # by an earlier run; nothing was added since
        self._claim = FolderClaim(path, folder_kind(format), overwrite=overwrite)
        try:
            if overwrite:
                self._claim.clear()
            elif self._claim.earlier is not None:
                self._head = self._resumed(self._head)
            self._head = replace(self._head, kept=self._head.rows)
            self._files = {file.name: file for file in self._head.files}
            self._save()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StoreWriter[Plan, Summary, Statistics]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs use the directory."""
        if self._journal is not None:
            with suppress(ReidError):  # what the journal says is not lost if the disk is full
                self._save()
        self._claim.close()

    def _resumed(self, fresh: Manifest[Plan, Summary, Statistics]) -> Manifest[Plan, Summary, Statistics]:
        old = read_manifest(self.path, self._format)
        if old.parameters != fresh.parameters:
            changed = ", ".join(differences(old.parameters, fresh.parameters, called=self._format.option))
            if may_grow(self._format, old, fresh):
                raise ReidError(
                    f"{self.path}: was made of other images ({changed}); if some were added, --grow computes only what "
                    "is new; else choose another folder, or --overwrite to make it again"
                )
            raise ReidError(
                f"{self.path}: was made with other parameters ({changed}); "
                "choose another folder, or --overwrite to make it again"
            )
        whole = tuple(
            file for file in old.files if not file.skipped and file_sha256(self.path / file.name) == file.sha256
        )
        if old.complete and len(whole) == len(old.files):
            self._finished = True
            return replace(old, source=fresh.source)
        return replace(fresh, files=whole)

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self._head.plan

    @property
    def manifest(self) -> Manifest[Plan, Summary, Statistics]:
        """The manifest as it is to be."""
        return replace(self._head, files=tuple(sorted(self._files.values(), key=lambda file: file.order)))

    @property
    def present(self) -> set[str]:
        """Names of the files that are whole."""
        return set(self._files)

    def add(self, file: StoreFile[Statistics]) -> None:
        """Enter a file that is in place.

        Raises:
            ReidError: the disk is full or the folder cannot be written to.
        """
        path = self.path / JOURNAL
        try:
            if self._journal is None:
                self._journal = path.open("wb")
                sync_directory(self.path)
            self._journal.write(journal_line(file))
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise not_written(path, error) from None
        self._files[file.name] = file
        self._finished = False

    def finish(self, summary: Summary) -> None:
        """Mark the directory complete, and remove what killed workers and stopped runs left behind."""
        self._head = replace(self._head, totals=summary)
        self._save()
        for entry in self.path.iterdir():
            if is_temporary(entry.name) or re.fullmatch(UNFINISHED, entry.name):
                with suppress(OSError):  # the folder of a finished run may have become read-only
                    entry.unlink(missing_ok=True)

    def _save(self) -> None:
        path, content = self.path / MANIFEST, self.manifest.to_json()
        if not path.is_file() or path.read_bytes() != content:
            # For the same reason; and what it says then is where the images were.
            with suppress(ReidError) if self._finished else nullcontext():
                write_file(path, content)
        if self._journal is not None:
            with suppress(OSError):  # a full disk; the manifest says it all
                self._journal.close()
            self._journal = None
        with suppress(OSError):  # likewise; and what it says is in the manifest
            (self.path / JOURNAL).unlink(missing_ok=True)


def folder_kind(format: Format[Any, Any, Any]) -> FolderKind:
    """How the directories of a format are known."""
    return FolderKind(
        noun=format.schema.name.removeprefix("reidprep."),
        schema=format.schema.name,
        marker=MANIFEST,
        names=rf"{_FILES}|{re.escape(JOURNAL)}|{UNFINISHED}",
        beside=format.beside,
    )


def may_grow(
    format: Format[Plan, Summary, Statistics],
    old: Manifest[Plan, Summary, Statistics],
    new: Manifest[Plan, Summary, Statistics],
) -> bool:
    """Whether two plans differ in no more than what more images bring; no parameter is one that nobody here knows."""
    return old.parameters == plain(old.plan) and format.grows(old.plan, new.plan)


def relative_source(source: Path, directory: Path) -> str:
    """Where `source` lies as seen from `directory`, POSIX; absolute if there is no relative way.

    Raises:
        ReidError: the path is not UTF-8.
    """
    source, directory = source.resolve(), directory.resolve()
    try:
        relative = Path(os.path.relpath(source, directory)).as_posix()
    except ValueError:
        relative = source.as_posix()
    try:
        relative.encode()
    except UnicodeEncodeError:
        raise ReidError(f"{relative!r}: this path is not UTF-8, so it cannot be written down; rename it") from None
    return relative
