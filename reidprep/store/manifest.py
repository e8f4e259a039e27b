"""The manifest of a directory of part files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError
from reidprep.files import TOOL
from reidprep.store.hdf5 import Schema

MANIFEST = "manifest.json"
JOURNAL = "manifest.jsonl"
"""Beside the manifest of a directory that is being filled: the parts it does not list yet, a line of JSON each."""


@dataclass(frozen=True)
class StoreFile:
    """One whole part file, as the manifest lists it.

    Attributes:
        name: file name within the directory.
        rows: rows it holds.
        sha256: hash of the file, hex.
        skipped: `{"path", "reason"}` of the images that should have been in it.
        statistics: what later stages add up over parts.
    """

    name: str
    rows: int
    sha256: str
    skipped: tuple[Mapping[str, str], ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """What manifest and journal hold of it."""
        return {
            "name": self.name,
            "rows": self.rows,
            "sha256": self.sha256,
            "skipped": list(self.skipped),
            "statistics": self.statistics,
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> StoreFile:
        """The part that `content` is of.

        Raises:
            KeyError, TypeError, ValueError: something is missing or wrong.
        """
        return cls(
            name=_plain_name(content["name"]),
            rows=int(content["rows"]),
            sha256=str(content["sha256"]),
            skipped=tuple(content["skipped"]),
            statistics=content["statistics"],
        )

    @property
    def order(self) -> tuple[str, int, str]:
        """What parts are sorted by: name, but numbers as numbers, for there may be more than five digits hold."""
        kind, _, number = self.name.partition("-")
        digits = number.partition(".")[0]
        return kind, int(digits) if digits.isdecimal() else 0, self.name


@dataclass(frozen=True)
class Manifest:
    """What a part directory holds and how it came to be.

    Attributes:
        schema: kind and version of the directory.
        tool: name and version of what wrote it.
        source: where the images are, relative to the directory (POSIX), absolute on another drive.
        plan: every parameter that shaped the bytes of the parts.
        files: the whole files, by name.
        complete: whether all parts of the plan are there.
        summary: totals, once complete.
    """

    schema: Schema
    source: str
    plan: Mapping[str, Any]
    files: tuple[StoreFile, ...] = ()
    complete: bool = False
    summary: Mapping[str, Any] = field(default_factory=dict)
    tool: str = TOOL

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.files)

    @property
    def skipped(self) -> list[Mapping[str, str]]:
        """The images left out, with reasons, in order."""
        return [entry for part in self.files for entry in part.skipped]

    def to_json(self) -> str:
        """Deterministic text: the same manifest gives the same bytes."""
        content = {
            "schema": self.schema.name,
            "version": self.schema.version,
            "tool": self.tool,
            "complete": self.complete,
            "source": self.source,
            "plan": self.plan,
            "summary": self.summary,
            "parts": [part.content() for part in self.files],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_manifest(directory: Path, *schemas: Schema) -> Manifest:
    """Read the manifest of a part directory, and the journal of one that is being filled.

    Args:
        directory: the directory.
        schemas: the kinds the caller understands.

    Raises:
        ReidError: missing, damaged, of another kind or of a version this program does not know.
    """
    path = directory / MANIFEST
    expected = " or ".join(schema.name.removeprefix("reidprep.") for schema in schemas)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReidError(f"{directory}: no {MANIFEST} here; expected a directory of {expected}") from None
    except (OSError, ValueError) as error:
        raise ReidError(f"{path}: cannot be read ({error}); make the directory again") from None
    with checked_fields(directory):
        schema = Schema(str(content["schema"]), int(content["version"]))
        if schema.name not in {known.name for known in schemas}:
            raise ReidError(f"{path}: holds {schema.name!r}, expected {expected}")
        if schema not in schemas:
            known = ", ".join(str(s.version) for s in schemas if s.name == schema.name)
            raise ReidError(
                f"{path}: {schema.name} version {schema.version} (written by {content.get('tool')}) is not known "
                f"to {TOOL}, which reads version {known}; update the tool or make the directory again"
            )
        complete = bool(content["complete"])
        parts = {part.name: part for part in map(StoreFile.of, content["parts"])}
        if not complete:
            parts |= {part.name: part for part in _journal(directory / JOURNAL)}
        return Manifest(
            schema=schema,
            source=str(content["source"]),
            plan=dict(content["plan"]),
            files=tuple(sorted(parts.values(), key=lambda part: part.order)),
            complete=complete,
            summary=dict(content["summary"]),
            tool=str(content["tool"]),
        )


def _journal(path: Path) -> Iterator[StoreFile]:
    """The parts of a journal, up to the line that a kill or a full disk may have cut off."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:
            return
        if line.endswith(b"\n"):
            yield StoreFile.of(content)


@contextmanager
def checked_fields(directory: Path) -> Iterator[None]:
    """Turn what goes wrong while a manifest's fields are looked up into a plain error.

    Raises:
        ReidError: a field is missing or holds something else than it should.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReidError(
            f"{directory / MANIFEST}: a field is missing or wrong ({error!r}); make the directory again"
        ) from None


def _plain_name(name: object) -> str:
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"part name {name!r}")
    return name
