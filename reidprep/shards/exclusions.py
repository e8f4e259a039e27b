"""Lists of images to leave out: `exclude.csv`, as `reidprep inspect` writes and `build-shards --exclude` reads it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.shards.format import Excluded
from reidprep.text import counted, csv_rows

COLUMNS = ("path", "reason")


def read_exclusions(file: Path) -> dict[str, str]:
    """The images that a file lists, with the reason for each, empty where it gives none.

    Args:
        file: CSV in UTF-8 whose first line names the column `path`, and may name `reason`.

    Returns:
        Reason by path, in the order of the file.

    Raises:
        ReidError: the file cannot be read or used; names file and line.
    """
    rows = csv_rows(file)
    _, header = next(rows, (1, []))
    columns = [name.strip().lower() for name in header]
    if "path" not in columns or set(columns) - set(COLUMNS) or len(columns) > len(set(columns)):
        raise ReidError(f"{file}, line 1: must name the columns path,reason (reason may be left out), found {header}")
    reasons: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, values in rows:
        if not any(values):
            continue
        if len(values) != len(columns):
            raise ReidError(
                f"{file}, line {line}: {counted(len(values), 'value')} for {counted(len(columns), 'column')}"
            )
        row = dict(zip(columns, values, strict=True))
        path = row["path"]
        if not path:
            raise ReidError(f"{file}, line {line}: gives no path")
        if path in lines:
            raise ReidError(f"{file}, line {line}: {path!r} is listed already on line {lines[path]}; remove one")
        lines[path] = line
        reasons[path] = row.get("reason", "")
    return reasons


def write_exclusions(file: Path, reasons: Mapping[str, str]) -> None:
    """Write the file (RFC 4180) whole or not at all, ordered by path: the same list gives the same bytes.

    Args:
        file: the file.
        reasons: reason by path.

    Raises:
        ReidError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(sorted(reasons.items()))
    write_file(file, text.getvalue().encode())


def excluded_rows(paths: NDArray[np.str_], exclude: Collection[str]) -> NDArray[np.bool_]:
    """Which of the images to leave out.

    Args:
        paths: (n,) the images there are.
        exclude: paths to leave out; empty for none.

    Returns:
        (n,) True where an image is to be left out.

    Raises:
        ReidError: none of `exclude` is there, or nothing else.
    """
    wanted = frozenset(exclude)
    excluded = np.fromiter((path in wanted for path in paths.tolist()), np.bool_, len(paths))
    if exclude and not excluded.any():
        raise ReidError(
            f"none of {counted(len(exclude), 'image')} to exclude is among the poses (such as {min(exclude)!r}, "
            f"where there is {str(paths[0])!r}); is the list of another dataset?"
        )
    if exclude and excluded.all():
        raise ReidError(f"all images are excluded ({len(paths):,}); nothing is left to build")
    return excluded


def unknown_paths(paths: NDArray[np.str_], exclude: Collection[str]) -> list[str]:
    """Those of `exclude` that are not among (n,) `paths`, in order."""
    return sorted(set(exclude) - set(paths.tolist()))


def fingerprint(excluded: NDArray[np.str_]) -> Excluded:
    """Number and SHA-256 of the paths of images that were left out, whatever their order."""
    listed = "\n".join(sorted(excluded.tolist()))
    return Excluded(images=len(excluded), sha256=hashlib.sha256(listed.encode()).hexdigest())
