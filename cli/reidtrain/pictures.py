"""What the commands that draw share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..common import Command, print_json

if TYPE_CHECKING:
    from reidprep.drawing.album import Album


def per_sheet_option(default: int, what: str) -> Callable[[Command], Command]:
    """--per-sheet."""
    return click.option("--per-sheet", type=click.IntRange(1, 50), default=default, help=f"{what} on one PNG sheet.")


def print_pictures(pictures: Album, what: str, as_json: bool) -> None:
    """Where the pictures are."""
    if as_json:
        sheets = [str(sheet) for sheet in pictures.sheets]
        print_json({"page": str(pictures.page), "sheets": sheets, "shown": pictures.shown})
    else:
        click.echo(f"{pictures.shown} {what} on {len(pictures.sheets)} sheets; open {pictures.page}")
