"""What `find`, `search` and `rank` found, as text, and the options that they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.text import counted, printable

from ..options import Command, per_sheet_option

if TYPE_CHECKING:
    from reidtrain.evaluation.lists import Entry, FoundList, Shown

SHOWN_QUERIES = 20

list_option = click.option(
    "--list",
    "listing",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv|.json",
    help="Write what was found: rank, path, person, camera, distance; right, wrong or junk where that is known.",
)


def draw_options(function: Command) -> Command:
    """Give a command --draw and --per-sheet."""
    text = "Draw what was found: PNG sheets and a page."
    draw = click.option("--draw", type=click.Path(path_type=Path), metavar="FOLDER", help=text)
    return draw(per_sheet_option(6, "Queries")(function))


def print_found(lists: Sequence[FoundList]) -> None:
    """Print a table for each query, of the first queries only."""
    for found in lists[:SHOWN_QUERIES]:
        click.echo(_query(found))
        rows = [_cells(entry) for entry in found.entries]
        widths = [max(map(len, column)) for column in zip(*(cells for cells, _ in rows), strict=True)]
        for cells, name in rows:
            padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True) if width)
            click.echo(f"  {'  '.join((*padded, name))}")
    print_rest(lists)


def print_rest(lists: Sequence[FoundList], where: str = "--json and --list give all") -> None:
    """Say how many queries were not shown, and where they are."""
    if len(lists) > SHOWN_QUERIES:
        more = counted(len(lists) - SHOWN_QUERIES, "more query", "more queries")
        click.echo(f"... and {more}; {where}")


def _query(found: FoundList) -> str:
    name = f" {printable(found.image.path)}" if found.image.path else ""
    model = f" by {printable(found.model)}" if found.model else ""
    return f"query {found.query}{model}:{name}{''.join(f', {word}' for word in _who(found.image))}"


def _cells(entry: Entry) -> tuple[tuple[str, ...], str]:
    """Rank, distance, person and camera, and verdict of a gallery image, and its name."""
    name = printable(entry.image.path) if entry.image.path else f"image {entry.index}"
    return (str(entry.rank), f"{entry.distance:.4f}", ", ".join(_who(entry.image)), entry.verdict or ""), name


def _who(image: Shown) -> list[str]:
    person = [] if image.pid is None else [f"person {image.pid}"]
    return person if image.camid is None else [*person, f"camera {image.camid}"]
