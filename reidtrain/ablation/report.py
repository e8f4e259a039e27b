"""The papers' table with a column of ours, as text and as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reidtrain.metrics.scores import METRIC_NAMES, percent
from reidtrain.papers.tables import Row, Table


@dataclass(frozen=True)
class Measured:
    """A row and what came out.

    Attributes:
        row: of the table.
        run: folder of its run; None where there is none.
        scores: 0 to 1 by metric; None where there are none.
    """

    row: Row
    run: str | None
    scores: Mapping[str, float] | None


def as_values(table: Table, dataset: str | None, rows: Sequence[Measured]) -> dict[str, Any]:
    """The table as JSON values: figures 0 to 1, those of ours without a run null."""
    return {
        "paper": table.paper,
        "table": table.number,
        "dataset": dataset,
        "rows": [
            {
                "row": measured.row.label,
                "feature": measured.row.feature,
                "paper": table.scores(measured.row, dataset),
                "ours": None if measured.scores is None else dict(measured.scores),
                "run": measured.run,
            }
            for measured in rows
        ],
    }


def as_text(table: Table, dataset: str | None, rows: Sequence[Measured]) -> str:
    """Percent, the paper's figure and ours side by side; a dash where there is none."""
    width = max(len(measured.row.label) for measured in rows) + 2
    head = " " * width + "".join(f"{METRIC_NAMES[metric]:>17}" for metric in table.metrics)
    columns = " " * width + f"{'paper':>10}{'ours':>7}" * len(table.metrics)
    lines = [f"Table {table.number} of the {table.paper} paper: {table.title}", head, columns]
    for measured in rows:
        paper = table.scores(measured.row, dataset)
        ours = measured.scores or {}
        cells = "".join(f"{percent(paper.get(metric)):>10}{percent(ours.get(metric)):>7}" for metric in table.metrics)
        lines.append(f"{measured.row.label:<{width}}{cells}")
    return "\n".join(lines)
