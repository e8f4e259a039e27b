"""What the commands that draw share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reidprep.text import counted

from .common import print_json

if TYPE_CHECKING:
    from reidprep.drawing.album import Album

Command = TypeVar("Command", bound=Callable[..., Any])


def per_sheet_option(default: int, what: str) -> Callable[[Command], Command]:
    """--per-sheet."""
    return click.option("--per-sheet", type=click.IntRange(1, 50), default=default, help=f"{what} on one PNG sheet.")


def print_album(album: Album, shown: str, as_json: bool, **more: object) -> None:
    """Where the pictures are, and in JSON whatever `more` is to be said."""
    if as_json:
        sheets = [str(sheet) for sheet in album.sheets]
        print_json({"page": str(album.page), "sheets": sheets, "shown": album.shown, **more})
    else:
        click.echo(f"{shown} on {counted(len(album.sheets), 'sheet', 'sheets')}; open {album.page}")
