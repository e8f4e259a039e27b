"""`reidprep fit-canonical`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reidprep.records import SPLITS
from reidprep.text import counted

from ..common import print_json
from ..options import FiniteRange, json_option


@click.command(short_help="Learn typical poses for filling gaps.")
@click.argument("poses", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--count", type=click.IntRange(1, 4096), default=256, help="Number of typical poses.")
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="train",
    help="Whose poses to learn from.",
)
@click.option(
    "--confidence",
    type=FiniteRange(0),
    help="Score from which a joint counts as found.  [default: what the poses were made with]",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the clustering.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@json_option
def fit_canonical(
    poses: Path, out: Path, count: int, split: Any, confidence: float | None, seed: int, overwrite: bool, as_json: bool
) -> None:
    """Learn typical poses from the folder POSES and write them to the JSON file OUT.

    \b
    Example:
      reidprep fit-canonical poses canonical.json
      reidprep build-shards poses shards --canonical canonical.json
    """
    from reidprep.fit_canonical import fit_canonical as run

    result = run(poses, out, split=split, count=count, confidence=confidence, seed=seed, overwrite=overwrite)
    if as_json:
        print_json({"out": str(out), "poses": len(result.poses), "provenance": dict(result.provenance)})
    else:
        click.echo(f"{counted(len(result.poses), 'pose')} in {out}")
