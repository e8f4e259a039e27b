"""`reidprep preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reidprep.records import SPLITS
from reidprep.text import counted

from ..common import print_album, progress
from ..options import json_option, per_sheet_option


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(number) for number in value.split(",")) if value is not None else ()
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of person ids, such as 2,7") from None


@click.command(short_help="Draw samples with joints, boxes and crops.")
@click.argument("shards", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1), default=24, help="At most so many samples.")
@click.option("--split", type=click.Choice(SPLITS), help="Only this split.  [default: all]")
@click.option("--ids", callback=numbers, metavar="ID,ID,...", help="Only these persons, in equal shares.")
@click.option("--random", type=click.IntRange(0), metavar="SEED", help="Choose at random, the same for the same seed.")
@click.option("--flagged", is_flag=True, help="The most doubtful alignments, worst first.")
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="Where the source images are now.  [default: where they were]",
)
@per_sheet_option(8, "Samples")
@json_option
def preview(shards: Path, out: Path, source: Path | None, per_sheet: int, as_json: bool, **choice: Any) -> None:
    """Draw samples of SHARDS with joints, boxes and crops, as PNG sheets and one HTML page, in the folder OUT.

    Without --random or --flagged the samples are spread evenly. An earlier preview in OUT is replaced.

    \b
    Example:
      reidprep preview shards preview --flagged
    """
    from reidprep.preview.selection import Selection
    from reidprep.preview.write import write_preview

    selection = Selection(**choice)
    with progress("preview", "samples") as report:
        summary = write_preview(shards, out, selection, source=source, per_sheet=per_sheet, progress=report)
    more = {"matched": summary.matched, "total": summary.total, "missing_sources": summary.missing}
    print_album(summary, f"{summary.shown:,} of {counted(summary.matched, 'sample', 'samples')}", as_json, **more)
    if summary.missing and not as_json:
        images = counted(summary.missing, "source image", "source images")
        click.echo(f"{images} could not be read; crops are shown instead", err=True)
