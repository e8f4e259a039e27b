"""`reidtrain fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .training import train_and_print, training_options


@click.command(short_help="Shards -> a trained model.")
@click.argument("shards", type=click.Path(path_type=Path))
@training_options
def fit(shards: Path, **options: Any) -> None:
    """Train a network on the training identities of SHARDS by a recipe.

    An interrupted run goes on from its last whole epoch when the same command is given again. `reidtrain recipes`
    lists the shipped recipes and prints all their values, each of which --set can change.

    \b
    Example:
      reidtrain fit shards --out run --recipe attention-driven-market1501
      reidtrain fit shards --out quick --recipe self-attention-market1501 \\
        --set stages.0.epochs=10 --set validation.identities=50 --init resnet50.pth
    """
    from reidtrain.training.fit import fit as run

    train_and_print("fit", run, shards, **options)
