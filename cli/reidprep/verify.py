"""`reidprep verify`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from reidprep.text import counted

from ..common import print_json, progress
from ..options import json_option, workers_option


@click.command(short_help="Check every byte and image of poses, shards or tar files.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="Also compare with the images, which are in this folder or file.",
)
@workers_option
@json_option
def verify(path: Path, source: Path | None, workers: int | None, as_json: bool) -> None:
    """Check a pose or shard folder, or exported tar files: hashes, counts, checksums, and that every image decodes.

    Names the file and row of each fault; exit status 1 if there is any.

    \b
    Example:
      reidprep verify shards
      reidprep verify shards --source Market-1501-v15.09.15
    """
    from reidprep.verify import verify as run

    with progress("verify", "rows") as report:
        faults = run(path, source=source, workers=workers or os.cpu_count() or 1, progress=report)
    if as_json:
        print_json({"path": str(path), "ok": not faults, "faults": [asdict(fault) for fault in faults]})
    else:
        for fault in faults:
            click.echo(str(fault))
        click.echo(f"{path}: {counted(len(faults), 'fault')}" if faults else f"{path}: all is well")
    if faults:
        sys.exit(1)
