"""`reidprep synth`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from ..common import print_json
from ..options import json_option, workers_option


@click.command(short_help="Draw a small dataset with known joints.")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--identities", type=click.IntRange(2, 9999), default=12, help="People; half of them train.")
@click.option("--cameras", type=click.IntRange(2, 9), default=3, help="Cameras, each with its own place.")
@click.option(
    "--images-per-camera",
    type=click.IntRange(2, 99),
    default=5,
    help="Images of each person by each camera; one of them is a query.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="The same seed draws the same files.")
@click.option("--overwrite", is_flag=True, help="Replace the drawn dataset that OUT holds.")
@workers_option
@json_option
def synth(
    out: Path,
    identities: int,
    cameras: int,
    images_per_camera: int,
    seed: int,
    overwrite: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Draw a small dataset of pedestrians with known joints into the empty folder OUT.

    It has the layout and the file names of Market-1501; truth.json says where the joints are.

    \b
    Example:
      reidprep synth drawn
      reidprep synth drawn --identities 40 --cameras 6 --seed 1
    """
    from reidprep.synth.dataset import generate

    summary = generate(
        out,
        identities=identities,
        cameras=cameras,
        images_per_camera=images_per_camera,
        seed=seed,
        overwrite=overwrite,
        workers=workers or os.cpu_count() or 1,
    )
    if as_json:
        print_json(asdict(summary))
        return
    click.echo(f"{out}: {summary.train} train, {summary.query} query, {summary.gallery} gallery images")
    click.echo(f"  of the gallery, {summary.distractors} are distractors and {summary.junk} junk")
