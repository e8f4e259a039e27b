"""Directories of part files with a manifest: written so that a kill at any moment loses no whole part.

A part is put together in memory, written under a temporary name, flushed, synced and renamed; only then is it named,
with its SHA-256 and row count, by a line in a journal, and once the run ends, in whatever way but a kill, by the
manifest. (A manifest written anew for every part would take time in proportion to the square of their number.) A later
run with the same plan keeps the parts that are whole and makes the others again, with the same bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from reidprep.errors import ReidError
from reidprep.files import (
    file_sha256,
    is_temporary,
    lock_directory,
    not_written,
    sync_directory,
    unlock_directory,
    write_file,
)
from reidprep.shards.exclusions import EXCLUDE
from reidprep.store.hdf5 import Schema
from reidprep.store.manifest import JOURNAL, MANIFEST, Manifest, StoreFile, read_manifest
from reidprep.text import differences

_PART = re.compile(r"(part|train|query|gallery)-[0-9]{5,}\.(h5|tar)")


class StoreWriter:
    """Fills a part directory, or goes on filling one that was interrupted. Use it in a `with` block.

    Parts from which images had to be left out are made again on the next run: the images may be there by then.

    Args:
        path: the directory; made if missing.
        schema: kind of directory.
        source: see `Manifest.source`.
        plan: every parameter that shapes the parts; JSON values only.
        overwrite: discard the parts that are there.

    Raises:
        ReidError: the directory holds something else, or parts made with another plan, or another run is filling it.
    """

    def __init__(
        self, path: Path, schema: Schema, source: str, plan: Mapping[str, Any], *, overwrite: bool = False
    ) -> None:
        self.path = path
        # What comes back from the file must compare equal to what was put in.
        plan = json.loads(json.dumps(plan))
        self._head = Manifest(schema=schema, source=source, plan=plan)
        self._parts: dict[str, StoreFile] = {}
        self._journal: IO[bytes] | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_directory(path)
        except OSError as error:
            raise ReidError(f"{path}: cannot be used as the output folder ({error.strerror})") from None
        try:
            self._head = self._found(self._head, overwrite)
            self._parts = {part.name: part for part in self._head.files}
            self._save()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs use the directory."""
        if self._journal is not None:
            with suppress(ReidError):  # what the journal says is not lost if the disk is full
                self._save()
        unlock_directory(self._lock)
        self._lock = None

    def _found(self, fresh: Manifest, overwrite: bool) -> Manifest:
        """What to start from: nothing, or the whole parts of an earlier run."""
        present = sorted(entry.name for entry in self.path.iterdir())
        leftovers = [name for name in present if is_temporary(name)]
        parts = [name for name in present if _PART.fullmatch(name)]
        foreign = [name for name in present if name not in {MANIFEST, JOURNAL, EXCLUDE, *leftovers, *parts}]
        if MANIFEST not in present and (foreign or parts):
            raise ReidError(
                f"{self.path}: the folder is not empty and holds no {MANIFEST} (found {(foreign or parts)[0]!r}); "
                "choose an empty folder"
            )
        if MANIFEST in present and not overwrite:
            fresh = self._resumed(fresh)
        elif MANIFEST in present:
            self._check_replaceable(fresh.schema, foreign)
            leftovers += [JOURNAL, *parts]
        for name in leftovers:
            (self.path / name).unlink(missing_ok=True)
        return fresh

    def _resumed(self, fresh: Manifest) -> Manifest:
        old = read_manifest(self.path, fresh.schema)
        if old.plan != fresh.plan:
            changed = ", ".join(differences(old.plan, fresh.plan))
            raise ReidError(
                f"{self.path}: was made with other parameters ({changed}); "
                "choose another folder, or --overwrite to make it again"
            )
        whole = tuple(
            part for part in old.files if not part.skipped and file_sha256(self.path / part.name) == part.sha256
        )
        if old.complete and len(whole) == len(old.files):
            return replace(old, source=fresh.source)
        return replace(fresh, files=whole)

    def _check_replaceable(self, schema: Schema, foreign: list[str]) -> None:
        """Raise unless what is here is ours, of whatever version, or the ruin of it."""
        try:
            name = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["schema"]
        except (OSError, ValueError, KeyError, TypeError):
            if foreign:
                raise ReidError(
                    f"{self.path}: {MANIFEST} cannot be read and there are other files (found {foreign[0]!r}); "
                    "choose an empty folder"
                ) from None
            return
        if name != schema.name:
            raise ReidError(f"{self.path}: holds {name!r}, not {schema.name!r}; choose another folder")

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is to be."""
        return replace(self._head, files=tuple(sorted(self._parts.values(), key=lambda part: part.order)))

    @property
    def present(self) -> set[str]:
        """Names of the parts that are whole."""
        return set(self._parts)

    def add(self, part: StoreFile) -> None:
        """Enter a part whose file is in place.

        Raises:
            ReidError: the disk is full or the folder cannot be written to.
        """
        path = self.path / JOURNAL
        try:
            if self._journal is None:
                self._journal = path.open("wb")
                sync_directory(self.path)
            self._journal.write(json.dumps(part.content(), ensure_ascii=False).encode() + b"\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise not_written(path, error) from None
        self._parts[part.name] = part

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the directory complete, and remove what killed workers left behind."""
        self._head = replace(self._head, summary=summary, complete=True)
        self._save()
        for entry in self.path.iterdir():
            if is_temporary(entry.name):
                entry.unlink(missing_ok=True)

    def _save(self) -> None:
        write_file(self.path / MANIFEST, self.manifest.to_json().encode())
        if self._journal is not None:
            with suppress(OSError):  # a full disk; the manifest says it all
                self._journal.close()
            self._journal = None
        (self.path / JOURNAL).unlink(missing_ok=True)


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
