"""The manifest of a directory of files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import msgspec

from reidprep.errors import ReidError
from reidprep.files import TOOL, read_file
from reidprep.store.fields import Count, checked, plain
from reidprep.store.hdf5 import Schema
from reidprep.text import counted

MANIFEST = "manifest.json"
JOURNAL = "manifest.jsonl"
"""Beside the manifest of a directory that is being filled: the files it does not list yet, a line of JSON each."""

_DEEPEST = 32
"""Levels of a plan; what shows or compares one need not fear for the stack."""

Plan = TypeVar("Plan")
Summary = TypeVar("Summary")
Statistics = TypeVar("Statistics")


@dataclass(frozen=True)
class Format(Generic[Plan, Summary, Statistics]):
    """A kind of directory, and what its manifest may hold, said as types (`reidprep.store.fields`).

    Attributes:
        schema: name and version.
        plan: type of every parameter that shapes the bytes of the files.
        summary: type of the totals.
        statistics: type of what is added up over files.
        command: what makes such a directory.
        most_rows: a plan -> the rows that a file may have, those left out included.
        fits: a plan and the statistics of a file -> whether these are of what the plan says is in it.
        beside: names of somebody else's files that may lie in such a directory; they stay as they are.
        grows: an old plan and a new one -> whether they differ in no more than what more images bring, so that
            `reidprep.store.growing` may take the work on old images over.
        options: parameters, with dots -> the option that sets them; those at the top of the plan are called as theirs.
            Where a parameter ends in a dot, what is below it follows the option.
    """

    schema: Schema
    plan: type[Plan]
    summary: type[Summary]
    statistics: type[Statistics]
    command: str
    most_rows: Callable[[Plan], int]
    fits: Callable[[Plan, Statistics], bool] = lambda plan, statistics: True
    beside: tuple[str, ...] = ()
    grows: Callable[[Plan, Plan], bool] = lambda old, new: False
    options: Mapping[str, str] = field(default_factory=dict)

    def option(self, parameter: str) -> str:
        """What sets a parameter, as a user knows it: an option, or the parameter itself."""
        for start, option in self.options.items():
            if parameter == start or parameter.startswith(f"{start}."):
                return option
            if start.endswith(".") and parameter.startswith(start):
                return option + parameter.removeprefix(start)
        return parameter if "." in parameter else f"--{parameter.replace('_', '-')}"


@dataclass(frozen=True)
class Skipped:
    """An image that should have been in a file.

    Attributes:
        path: of the image.
        reason: why it is not there.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class StoreFile(Generic[Statistics]):
    """One whole file, as the manifest lists it.

    Attributes:
        name: file name within the directory.
        rows: rows it holds.
        sha256: hash of the file, hex.
        skipped: the images that should have been in it.
        statistics: what later stages add up over files.
    """

    name: str
    rows: Count
    sha256: str
    skipped: tuple[Skipped, ...]
    statistics: Statistics

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^/\\\0]{1,200}", self.name) or self.name in (".", ".."):
            raise ValueError(f"name {self.name[:200]!r} is no name of a file here")

    @property
    def order(self) -> tuple[str, int, str]:
        """What files are sorted by: name, but numbers as numbers, for there may be more than five digits hold."""
        kind, _, number = self.name.partition("-")
        digits = number.partition(".")[0]
        return kind, int(digits) if digits.isdecimal() else 0, self.name


AnyFile = StoreFile[Any]


@dataclass(frozen=True)
class Manifest(Generic[Plan, Summary, Statistics]):
    """What a directory holds and how it came to be.

    Attributes:
        schema: kind and version of the directory.
        source: where the images are, relative to the directory (POSIX), absolute on another drive.
        plan: every parameter that shaped the bytes of the files.
        parameters: the plan as JSON values, with what later programs have in theirs besides.
        files: the whole files, by name.
        totals: the summary, None until all files of the plan are there.
        tool: name and version of what wrote it.
        kept: rows that an earlier run had made, of a directory that was just filled.
        replaced: images that were other ones when an earlier run made their rows, of one that has just grown.
    """

    schema: Schema
    source: str
    plan: Plan
    parameters: Mapping[str, Any]
    files: tuple[StoreFile[Statistics], ...] = ()
    totals: Summary | None = None
    tool: str = TOOL
    kept: int = 0
    replaced: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all files of the plan are there."""
        return self.totals is not None

    @property
    def summary(self) -> Summary:
        """Totals of a complete directory.

        Raises:
            ValueError: it is not complete.
        """
        if self.totals is None:
            raise ValueError("there is no summary of a directory that is not complete")
        return self.totals

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def skipped(self) -> list[Skipped]:
        """The images left out, in order."""
        return [entry for file in self.files for entry in file.skipped]

    @property
    def sha256(self) -> str:
        """Hash over the hashes of all files: changes when any of them does."""
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Deterministic text, which ends with its own hash: the same manifest gives the same bytes."""
        content = {
            "schema": self.schema.name,
            "version": self.schema.version,
            "tool": self.tool,
            "complete": self.complete,
            "source": self.source,
            "plan": self.parameters,
            "summary": plain(self.totals) if self.complete else {},
            "parts": [plain(file) for file in self.files],
        }
        return signed(json.dumps(content, indent=1, ensure_ascii=False).encode().removesuffix(b"\n}"))


_SIGNATURE = b',\n "sha256": "'


def signed(body: bytes) -> bytes:
    """A JSON object, given without its last brace, with the hash of all that stands before as its last value."""
    return body + _SIGNATURE + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def journal_line(file: AnyFile) -> bytes:
    """A line of the journal: the file as JSON, and the hash of that."""
    body = json.dumps(plain(file), ensure_ascii=False).encode()
    return body + b" " + hashlib.sha256(body).hexdigest().encode() + b"\n"


def require_rows(manifest: Manifest[Any, Any, Any], noun: str) -> None:
    """Make sure, before a directory is called complete, that there is something in it.

    Raises:
        ReidError: all images had to be left out; gives the reason of the first.
    """
    if not manifest.rows:
        first = manifest.skipped[0]
        raise ReidError(
            f"none of the {len(manifest.skipped)} {noun} could be used; the first: {first.path}: {first.reason}"
        )


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A directory that another was made from.

    Attributes:
        tool: name and version of what wrote it.
        sha256: `Manifest.sha256`.
    """

    tool: str
    sha256: str


@dataclass(frozen=True)
class _Head:
    schema: str
    version: int
    tool: str


@dataclass(frozen=True)
class _Content:
    """What the manifests of all formats hold; the rest is for the types of one format."""

    source: str
    complete: bool
    plan: dict[str, Any]
    summary: dict[str, Any]
    parts: list[dict[str, Any]]

    def __post_init__(self) -> None:
        if "\0" in self.source:
            raise ValueError(f"source {self.source[:80]!r} is no path")
        if _deeper_than(_DEEPEST, self.plan):
            raise ValueError(f"plan is nested more than {_DEEPEST} levels deep")


_UNSIGNED = {"schema", "version", "tool", "complete", "source", "plan", "summary", "parts"}
"""The keys of a manifest without a hash. Another one may be that of the hash, damaged."""


@overload
def read_manifest(
    directory: Path, format: Format[Plan, Summary, Statistics], /
) -> Manifest[Plan, Summary, Statistics]: ...


@overload
def read_manifest(directory: Path, *formats: Format[Any, Any, Any]) -> Manifest[Any, Any, Any]: ...


def read_manifest(directory: Path, *formats: Format[Any, Any, Any]) -> Manifest[Any, Any, Any]:
    """Read the manifest of a directory, and the journal of one that is being filled.

    Args:
        directory: the directory.
        formats: the kinds the caller understands.

    Raises:
        ReidError: missing, damaged, of another kind or of a version this program does not know, or with a field that
            its format does not allow; names the field. Manifests of before they had a hash are taken without.
    """
    path = directory / MANIFEST
    expected = " or ".join(f"{format.schema.name.removeprefix('reidprep.')} ({format.command})" for format in formats)
    try:
        text = read_file(path)
        values = msgspec.json.decode(text)
    except FileNotFoundError:
        found = f"no {MANIFEST} here" if directory.exists() else "no such directory"
        raise ReidError(f"{directory}: {found}; expected a directory of {expected}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReidError(f"{path}: cannot be read ({error}); make the directory again") from None
    head = checked(values, _Head, path)
    versions = {format.schema.version: format for format in formats if format.schema.name == head.schema}
    if not versions:
        raise ReidError(f"{path}: holds {head.schema!r}, expected {expected}")
    if head.version not in versions:
        raise ReidError(
            f"{path}: {head.schema} version {head.version} (written by {head.tool}) is not known to {TOOL}, "
            f"which reads version {', '.join(map(str, versions))}; update the tool or make the directory again"
        )
    format = versions[head.version]
    content = checked(values, _Content, path)
    plan = checked(content.plan, format.plan, path, "plan")
    kind: Any = StoreFile[format.statistics]  # type: ignore[name-defined]
    listed = [checked(entry, kind, path, f"parts[{index}]") for index, entry in enumerate(content.parts)]
    files = {file.name: file for file in listed}
    if len(files) < len(listed):
        raise ReidError(f"{path}: parts: a name is listed twice; make the directory again")
    if not content.complete:
        files |= {file.name: file for file in _journal(directory / JOURNAL, kind)}
    for file in files.values():
        if file.rows + len(file.skipped) > format.most_rows(plan):
            raise ReidError(
                f"{path}: parts: {file.name} has {counted(file.rows, 'row')}, more than the plan allows; make the "
                "directory again"
            )
        if not format.fits(plan, file.statistics):
            raise ReidError(f"{path}: parts: {file.name}: its statistics do not fit the plan; make the directory again")
    if text != signed(text.rpartition(_SIGNATURE)[0]) and not values.keys() <= _UNSIGNED:
        raise ReidError(f"{path}: is damaged or was changed (its SHA-256 is another); make the directory again")
    return Manifest(
        schema=format.schema,
        source=content.source,
        plan=plan,
        parameters=content.plan,
        files=tuple(sorted(files.values(), key=lambda file: file.order)),
        totals=checked(content.summary, format.summary, path, "summary") if content.complete else None,
        tool=head.tool,
    )


def _journal(path: Path, kind: Any) -> Iterator[AnyFile]:
    """The files of a journal, up to the line that a kill or a full disk may have cut off, or that is damaged."""
    try:
        lines = read_file(path).splitlines(keepends=True)
    except OSError:
        return
    for number, line in enumerate(lines, start=1):
        body, _, digest = line.rpartition(b" ")
        if digest != hashlib.sha256(body).hexdigest().encode() + b"\n":
            return
        yield checked(msgspec.json.decode(body), kind, path, f"line {number}")


def _deeper_than(levels: int, value: object) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (not levels or any(_deeper_than(levels - 1, entry) for entry in inner))
