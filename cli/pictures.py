"""What the commands that draw share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .common import print_json

if TYPE_CHECKING:
    from reidtrain.pictures.write import Pictures

Function = TypeVar("Function", bound=Callable[..., Any])

accelerator_option = click.option(
    "--accelerator",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    help="Where to compute; auto takes a GPU if there is one.",
)


def computing_options(function: Function) -> Function:
    """How a model computes features, by the fields of `reidtrain.pictures.sources.Computing`."""
    workers = click.option(
        "--workers",
        type=click.IntRange(0),
        default=lambda: min(8, os.cpu_count() or 1),
        show_default="CPU cores, at most 8",
        help="Processes that decode.",
    )
    batch_size = click.option("--batch-size", type=click.IntRange(1), default=64, help="Images computed at once.")
    return accelerator_option(workers(batch_size(function)))


def per_sheet_option(default: int, what: str) -> Callable[[Function], Function]:
    """--per-sheet."""
    return click.option("--per-sheet", type=click.IntRange(1, 50), default=default, help=f"{what} on one PNG sheet.")


def print_pictures(pictures: Pictures, what: str, as_json: bool) -> None:
    """Where the pictures are."""
    if as_json:
        sheets = [str(sheet) for sheet in pictures.sheets]
        print_json({"page": str(pictures.page), "sheets": sheets, "shown": pictures.shown})
    else:
        click.echo(f"{pictures.shown} {what} on {len(pictures.sheets)} sheets; open {pictures.page}")
