"""Rows of a CSV file that a person may have edited, with line numbers for what is wrong in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from reidprep.errors import ReidError


def csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their last line.

    Raises:
        ReidError: the file cannot be read, is not UTF-8 or not CSV; names file and line.
    """
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark in front.
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReidError(f"{file}, line {line}: is not UTF-8; save the file as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ReidError(f"{file}, line {reader.line_num}: is not valid CSV: {error}") from None
