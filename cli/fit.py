"""`reidtrain fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import json_option, progress
from .training import machine_options, print_result, recipe_options


@click.command(short_help="Shards -> a trained model.")
@click.argument("shards", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder: checkpoints, curves, figures.")
@recipe_options
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Weights to start from: a run of pretrain or fit, a checkpoint, or a state dict.  [default: random]",
)
@machine_options
@click.option("--overwrite", is_flag=True, help="Discard the run that OUT holds and start anew.")
@json_option
def fit(
    shards: Path,
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    init: Path | None,
    overwrite: bool,
    as_json: bool,
    **machine: Any,
) -> None:
    """Train a network on the training identities of SHARDS by a recipe.

    An interrupted run goes on from its last whole epoch when the same command is given again. `reidtrain recipes`
    lists the shipped recipes and prints all their values, each of which --set can change.

    \b
    Example:
      reidtrain fit shards --out run --recipe attention-driven-market1501
      reidtrain fit shards --out quick --recipe self-attention-market1501 \\
        --set stages.0.epochs=10 --set validation.identities=50 --init resnet50.pth
    """
    from reidtrain.recipes import load_recipe
    from reidtrain.training import Machine
    from reidtrain.training import fit as run

    chosen = load_recipe(recipe, overrides)
    with progress("fit") as report:
        result = run(
            shards,
            out,
            chosen,
            init=init,
            machine=Machine(**machine),
            overwrite=overwrite,
            progress=report,
            log=lambda line: click.echo(line, err=True),
        )
    print_result(result, as_json)
