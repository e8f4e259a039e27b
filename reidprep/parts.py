"""Directories of part files with a manifest: written so that a kill at any moment loses no whole part.

A part is put together in memory, written under a temporary name, flushed, synced and renamed; only then does the
manifest, replaced in the same way, name it with its SHA-256 and row count. A later run with the same plan
keeps the parts that are whole and makes the others again, with the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError
from reidprep.files import Schema, file_sha256, is_temporary, write_file
from reidprep.manifest import MANIFEST, Manifest, Part, read_manifest


class PartDirectory:
    """Fills a part directory, or goes on filling one that was interrupted.

    Args:
        path: the directory; made if missing.
        schema: kind of directory.
        source: see `Manifest.source`.
        plan: every parameter that shapes the parts; JSON values only.
        overwrite: replace a directory made with another plan.

    Raises:
        ReidError: the directory holds something else, or parts made with another plan.
    """

    def __init__(
        self, path: Path, schema: Schema, source: str, plan: Mapping[str, Any], *, overwrite: bool = False
    ) -> None:
        self.path = path
        # What comes back from the file must compare equal to what was put in.
        plan = json.loads(json.dumps(plan))
        fresh = Manifest(schema=schema, source=source, plan=plan)
        self.manifest = fresh
        try:
            path.mkdir(parents=True, exist_ok=True)
            present = sorted(entry.name for entry in path.iterdir())
        except OSError as error:
            raise ReidError(f"{path}: cannot be used as the output folder ({error.strerror})") from None
        leftovers = [name for name in present if is_temporary(name)]
        foreign = [name for name in present if name not in leftovers]
        if MANIFEST in present:
            self.manifest = self._resume(fresh, overwrite)
        elif foreign:
            raise ReidError(
                f"{path}: the folder is not empty and holds no {MANIFEST} (found {foreign[0]!r}); "
                "choose an empty folder"
            )
        for name in leftovers:
            (path / name).unlink(missing_ok=True)
        self._save()

    def _resume(self, fresh: Manifest, overwrite: bool) -> Manifest:
        if overwrite:
            old = read_manifest(self.path, Schema(fresh.schema.name, _version(self.path, fresh.schema)))
            for part in old.parts:
                (self.path / part.name).unlink(missing_ok=True)
            return fresh
        old = read_manifest(self.path, fresh.schema)
        if old.plan != fresh.plan:
            changed = ", ".join(_differences(old.plan, fresh.plan))
            raise ReidError(
                f"{self.path}: was made with other parameters ({changed}); "
                "choose another folder, or --overwrite to make it again"
            )
        whole = tuple(part for part in old.parts if file_sha256(self.path / part.name) == part.sha256)
        if old.complete and len(whole) == len(old.parts):
            return old
        return Manifest(schema=fresh.schema, source=fresh.source, plan=fresh.plan, parts=whole)

    @property
    def present(self) -> set[str]:
        """Names of the parts that are whole."""
        return {part.name for part in self.manifest.parts}

    def add(self, part: Part) -> None:
        """Enter a part whose file is in place."""
        parts = tuple(sorted([*self.manifest.parts, part], key=lambda entry: entry.name))
        self.manifest = replace(self.manifest, parts=parts)
        self._save()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the directory complete."""
        self.manifest = replace(self.manifest, summary=summary, complete=True)
        self._save()

    def _save(self) -> None:
        write_file(self.path / MANIFEST, self.manifest.to_json().encode())


def _version(directory: Path, schema: Schema) -> int:
    """The version a manifest states, so that one of an older version can be overwritten."""
    try:
        return int(json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return schema.version


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names whose values differ, with both values where they are short."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            values = f" {before} -> {after}" if len(f"{before}{after}") < 60 else ""
            found.append(f"{prefix}{key}{values}")
    return found


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
