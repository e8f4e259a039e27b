"""What the commands that score share."""

from __future__ import annotations

import click

PROTOCOLS = click.Choice(["market1501", "cuhk03-np", "cuhk03-classic", "cuhk03-classic-any-camera"])
PROTOCOL_HELP = "Which gallery images count; market1501 also serves DukeMTMC-reID and MSMT17."

ap_option = click.option(
    "--ap",
    type=click.Choice(["step", "trapezoid"]),
    default="step",
    help="Average precision: mean of the precision at each hit, or the Market-1501 authors' area.",
)
metric_option = click.option(
    "--metric", type=click.Choice(["euclidean", "cosine"]), default="euclidean", help="Distance."
)
