"""Text for people, and text that people wrote: counts, lists, differences, rows of a CSV file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError
from reidprep.files import read_file


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "", called: Callable[[str], str] = str
) -> list[str]:
    """Dotted names whose values differ, with both values where they are short; `called` gives other names for them."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{key}.", called)
        elif before != after:
            values = f" {before} -> {after}" if len(f"{before}{after}") < 60 else ""
            found.append(f"{called(f'{prefix}{key}')}{values}")
    # Several may be called the same: each name once, with values where there are some.
    return [name for name in dict.fromkeys(found) if not any(other.startswith(f"{name} ") for other in found)]


def first_differences(old: Mapping[str, Any], new: Mapping[str, Any], limit: int = 3) -> str:
    """The first few `differences` for a message: "beta 5 -> 7; exact ..."; empty if there are none."""
    found = differences(old, new)
    return "; ".join(found[:limit]) + (" ..." if len(found) > limit else "")


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values, in words, of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def csv_rows(file: Path, separators: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their last line.

    Args:
        file: the file.
        separators: what may separate values; that which the first line has most of does, the first of them if none.

    Raises:
        ReidError: the file cannot be read, is not UTF-8 or not CSV; names file and line.
    """
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark in front.
        text = read_file(file).decode("utf-8-sig")
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReidError(f"{file}, line {line}: is not UTF-8; save the file as 'CSV UTF-8'") from None
    separator = max(separators, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ReidError(f"{file}, line {reader.line_num}: is not valid CSV: {error}") from None


def quoted(names: Iterable[object], limit: int = 5) -> str:
    """The first few of some names for a message: "a, b, c and 7 more"."""
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """Text of anybody's as a terminal may show it: control characters, which could move the cursor, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def utf8(text: str) -> bytes:
    r"""Text to write. What of a path of this machine is no character becomes `\udce9`, which JSON reads as it was."""
    return text.encode("utf-8", "backslashreplace")


def json_file(values: object) -> bytes:
    """A JSON file that people read, too: indented, and letters as such."""
    return utf8(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def counted(number: int, one: str, many: str = "") -> str:
    """`counted(2, "file")` is "2 files", `counted(2, "query", "queries")` "2 queries"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
