"""`reidtrain pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import json_option, progress
from .training import machine_options, print_result, recipe_options


@click.command(short_help="Classified images -> weights for fit --init.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder: checkpoints, curves, figures.")
@recipe_options
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Weights to start from: a run, a checkpoint, or a state dict.  [default: random]",
)
@machine_options
@click.option("--overwrite", is_flag=True, help="Discard the run that OUT holds and start anew.")
@json_option
def pretrain(
    data: Path,
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    init: Path | None,
    overwrite: bool,
    as_json: bool,
    **machine: Any,
) -> None:
    """Train a network to classify the images of DATA; `fit --init OUT` starts from what it learns.

    DATA has a folder of images for each class, below train/ and val/ or directly; or it holds CIFAR-100's binary
    files. An interrupted run goes on when the same command is given again.

    \b
    Example:
      reidtrain pretrain imagenet --out pretrained --recipe pretrain-attention-driven
      reidtrain pretrain cifar-100-binary --out cifar --recipe cifar100-resnet-dil-sac
      reidtrain fit shards --out run --recipe attention-driven-market1501 --init pretrained
    """
    from reidtrain.pretraining.task import pretrain as run
    from reidtrain.recipes import load_recipe
    from reidtrain.training import Machine

    chosen = load_recipe(recipe, overrides)
    with progress("pretrain") as report:
        result = run(
            data,
            out,
            chosen,
            init=init,
            machine=Machine(**machine),
            overwrite=overwrite,
            progress=report,
            log=lambda line: click.echo(line, err=True),
        )
    print_result(result, as_json)
