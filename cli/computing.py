"""What the commands share that compute with a trained network."""

from __future__ import annotations

import os

import click

from .common import Command, device_option

decoders_option = click.option(
    "--workers",
    type=click.IntRange(0),
    default=lambda: min(8, os.cpu_count() or 1),
    show_default="CPU cores, at most 8",
    help="Processes that decode.",
)
batch_size_option = click.option("--batch-size", type=click.IntRange(1), default=64, help="Images computed at once.")
which_option = click.option(
    "--which", type=click.Choice(["last", "best"]), default="last", help="Which checkpoint of a run folder."
)


def computing_options(function: Command) -> Command:
    """How a network computes features, by the fields of `reidtrain.features.extractor.Computing`."""
    flip = click.option("--flip", is_flag=True, help="Average features with those of the mirrored image.")
    precision = click.option(
        "--precision",
        type=click.Choice(["float32", "bf16"]),
        help="Of what the network computes.  [default: what it was trained in]",
    )
    return flip(precision(device_option(decoders_option(batch_size_option(function)))))
