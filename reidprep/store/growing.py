"""Directories that grow: the new one is filled beside the old one, from it, and takes its place once it is complete.

A kill at any moment leaves the old directory or the new one whole, under its name, and the same command goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from reidprep.errors import ReidError
from reidprep.files import FolderClaim, exchange_folders, is_temporary, restore_folder
from reidprep.store.fields import checked, plain
from reidprep.store.manifest import MANIFEST, Format, Manifest, Plan, Statistics, Summary, read_manifest
from reidprep.store.writer import StoreWriter, folder_kind, may_grow


@dataclass(frozen=True)
class Filling(Generic[Plan, Summary, Statistics]):
    """A directory to fill.

    Attributes:
        writer: fills it.
        earlier: the manifest of the directory of fewer images whose place it takes; None if there is none.
    """

    writer: StoreWriter[Plan, Summary, Statistics]
    earlier: Manifest[Plan, Summary, Statistics] | None


@contextmanager
def filling(
    path: Path,
    format: Format[Plan, Summary, Statistics],
    source: str,
    plan: Plan,
    *,
    overwrite: bool = False,
    grow: bool = False,
) -> Iterator[Filling[Plan, Summary, Statistics]]:
    """A directory to fill: `path`, or one beside it that takes its place if the block ends without an exception.

    Args:
        path: the directory.
        format: kind of directory.
        source: see `Manifest.source`.
        plan: every parameter that shapes the files.
        overwrite: discard the files that are there.
        grow: if `path` holds files of fewer images, go on from them.

    Raises:
        ReidError: as `StoreWriter`; or the directory cannot be renamed.
    """
    plan = checked(plain(plan), format.plan, path / MANIFEST, "plan")
    place = path.resolve()  # a link stays one
    beside = place.with_name(f".{place.name}.grown")
    if grow:
        restore_folder(place, beside)
    earlier = _earlier(path, format, source, plan) if grow else None
    if earlier is None:
        with StoreWriter(path, format, source, plan, overwrite=overwrite) as writer:
            yield Filling(writer, None)
    else:
        with FolderClaim(path, folder_kind(format)):
            try:
                again = not _holds(beside, format, plan)
                with StoreWriter(beside, format, source, plan, overwrite=again) as writer:
                    yield Filling(writer, earlier)
                    exchange_folders(place, beside)
            finally:
                if beside.exists() and {entry.name for entry in beside.iterdir()} == {MANIFEST}:  # nothing was done
                    _discard(beside, path, format)
    if grow and beside.exists():
        _discard(beside, path, format)


def _earlier(
    path: Path, format: Format[Plan, Summary, Statistics], source: str, plan: Plan
) -> Manifest[Plan, Summary, Statistics] | None:
    """The manifest of what a directory holds of fewer images; None if it may be filled as it is, or by nobody."""
    if not (path / MANIFEST).is_file():
        return None
    old = read_manifest(path, format)
    return old if old.plan != plan and may_grow(format, old, Manifest(format.schema, source, plan, {})) else None


def _holds(path: Path, format: Format[Plan, Summary, Statistics], plan: Plan) -> bool:
    """Whether a directory is one that was begun by a plan."""
    try:
        return bool(read_manifest(path, format).parameters == plain(plan))
    except ReidError:
        return False


def _discard(old: Path, new: Path, format: Format[Plan, Summary, Statistics]) -> None:
    """Remove a directory, but for what others put there, which moves to the one in its place."""
    ours = rf"{folder_kind(format).names}|{re.escape(MANIFEST)}"
    # The manifest last: it says whose folder this is.
    for entry in sorted(old.iterdir(), key=lambda entry: entry.name == MANIFEST):
        with suppress(OSError):
            if re.fullmatch(ours, entry.name) or is_temporary(entry.name):
                entry.unlink()
            elif not os.path.lexists(new / entry.name):
                entry.rename(new / entry.name)
    with suppress(OSError):
        old.rmdir()
