"""`reidprep demo`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from reidprep.text import counted, printable

from ..common import EXIT_SKIPPED, print_json, print_skipped, progress
from ..options import json_option, workers_option


@click.command(short_help="Run the whole pipeline.")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="A dataset to run on.  [default: pedestrians drawn on the spot]",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many images of each split.  [default: all]")
@workers_option
@json_option
def demo(out: Path, data: Path | None, limit: int | None, workers: int | None, as_json: bool) -> None:
    """Run the whole pipeline into the folder OUT: dataset, poses, shards, check, preview.

    An interrupted demo goes on where it stopped when the same command is given again.

    \b
    Example:
      reidprep demo demo
      reidprep demo trial --data Market-1501-v15.09.15 --limit 200
    """
    from reidprep.demo import run_demo
    from reidprep.store.fields import plain

    result = run_demo(out, data=data, limit=limit, workers=workers or os.cpu_count() or 1, progress=progress)
    if as_json:
        print_json(
            {
                "images": result.images,
                "skipped": len(result.skipped),
                "skipped_files": plain(result.skipped),
                "notes": result.notes,
                "joints_found": result.joints_found,
                "pck": result.pck,
                "faults": [str(fault) for fault in result.faults],
                "seconds": {name: round(seconds, 2) for name, seconds in result.seconds.items()},
                "page": str(result.page),
            }
        )
    else:
        for name, seconds in result.seconds.items():
            click.echo(f"  {name:<14} {seconds:6.1f} s   {result.images / max(seconds, 1e-9):7.0f} images/s")
        became = counted(result.images, "image became a sample", "images became samples")
        click.echo(f"{became}, {len(result.skipped):,} skipped")
        click.echo(f"{result.joints_found:.1%} of joints found; the others filled from canonical poses")
        if result.pck is not None:
            click.echo(f"{result.pck:.1%} of the visible drawn joints found within a tenth of the body height")
        for fault in result.faults:
            click.echo(f"fault: {fault}")
        click.echo(f"poses, shards and preview are in {out}; look at {result.page}")
    for note in result.notes if data is not None else ():
        click.echo(f"note: {printable(note)}", err=True)
    print_skipped(result.skipped)
    if result.faults:
        sys.exit(1)
    if result.skipped:
        sys.exit(EXIT_SKIPPED)
