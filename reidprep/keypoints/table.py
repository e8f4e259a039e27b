"""A CSV file with a line per person: path, then x, y and score of each joint by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reidprep.errors import ReidError
from reidprep.keypoints.base import Content, Entry, joints, stack
from reidprep.skeleton import COCO17_JOINTS, JOINTS
from reidprep.text import counted, csv_rows


def read_table(file: Path) -> Content:
    """Read a table. The neck may be left out; an empty cell is a missing joint.

    Raises:
        ReidError: not such a table; names the line.
    """
    rows = csv_rows(file)
    _, header = next(rows, (0, []))
    columns = [name.strip().lower() for name in header]
    order = JOINTS if any(name.startswith("neck_") for name in columns) else COCO17_JOINTS
    wanted = [f"{joint}_{value}" for joint in order for value in ("x", "y", "score")]
    missing = [name for name in ("path", *wanted) if name not in columns]
    if missing:
        raise ReidError(
            f"{file}: the first line must name the columns path,nose_x,nose_y,nose_score,... for the joints "
            f"{', '.join(JOINTS)}; missing: {', '.join(missing[:6])}{' and more' * (len(missing) > 6)}"
        )
    twice = sorted({name for name in columns if name in ("path", *wanted) and columns.count(name) > 1})
    if twice:
        raise ReidError(f"{file}: the first line names a column twice: {', '.join(twice)}")
    place = [columns.index(name) for name in wanted]
    path = columns.index("path")

    people: dict[str, list[np.ndarray]] = {}
    first: dict[str, int] = {}
    for line, row in rows:
        if not any(value.strip() for value in row):
            continue
        where = f"{file}, line {line}"
        if len(row) != len(columns):
            raise ReidError(f"{where}: {counted(len(row), 'value')} for {counted(len(columns), 'column')}")
        values = np.array([_number(row[column], where, columns[column]) for column in place])
        name = row[path].replace("\\", "/")
        first.setdefault(name, line)
        people.setdefault(name, []).append(joints(values, where))
    entries = [Entry(name, True, f"{file}, line {first[name]}", stack(found)) for name, found in people.items()]
    return Content(entries, "score column of a table")


def _number(text: str, where: str, column: str) -> float:
    if not text.strip():
        return float("nan")
    try:
        if "_" in text:  # which Python allows between digits
            raise ValueError
        return float(text)
    except ValueError:
        raise ReidError(f"{where}: {column} {text[:40]!r} is not a number") from None
