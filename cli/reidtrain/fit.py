"""`reidtrain fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ..common import print_json, progress_of, say
from ..options import COMPUTING, GroupedCommand, training_options

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.training.fit import RunResult


@click.command(cls=GroupedCommand, short_help="Shards -> a trained model.", headings=COMPUTING)
@click.argument("shards", type=click.Path(path_type=Path), nargs=-1, required=True)
@training_options
def fit(shards: tuple[Path, ...], **options: Any) -> None:
    """Train a network on the training identities of SHARDS by a recipe.

    Several SHARDS, one of each dataset, are trained on together: equal ids of two of them are different people.

    An interrupted run goes on from its last checkpoint when the same command is given again. `reidtrain recipes`
    lists the shipped recipes and prints all their values, each of which --set can change.

    \b
    Example:
      reidtrain fit shards --out run --recipe attention-driven-market1501
      reidtrain fit shards --out quick --recipe self-attention-market1501 \\
        --set stages.0.epochs=10 --set validation.identities=50 --init resnet50.pth
      reidtrain fit market-shards cuhk03-shards --out both --recipe attention-driven-market1501
    """
    train_and_print("fit", shards, **options)


def train_and_print(
    command: Literal["fit", "pretrain"],
    data: Any,
    *,
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    init: Path | None,
    which: Which,
    overwrite: bool,
    as_json: bool,
    **machine: Any,
) -> None:
    """Call the library function of a command that trains, with what `training_options` gave."""
    from reidtrain.recipes.loading import load_recipe

    chosen = load_recipe(recipe, overrides)  # before Lightning is loaded, which takes seconds
    from reidtrain.checkpoints import checkpoint_path
    from reidtrain.training.classification import pretrain
    from reidtrain.training.fit import Machine, fit

    train, computer = {"fit": fit, "pretrain": pretrain}[command], Machine(**machine)
    with progress_of(command, "validate") as (report, validating):
        result = train(
            data,
            out,
            chosen,
            init=checkpoint_path(init, which) if init else None,
            machine=computer,
            overwrite=overwrite,
            progress=report,
            validating=validating,
            log=say,
        )
    if computer.is_first:
        print_result(result, as_json)


def print_result(result: RunResult, as_json: bool) -> None:
    """The figures of the last and the best epoch."""
    if as_json:
        figures = {"last": result.last, "best": result.best}
        print_json({"out": str(result.out), "seconds": round(result.seconds, 1), **figures})
        return
    for name, row in (("last", result.last), ("best", result.best)):
        if row is None:
            continue
        shown = {"loss": f"{row['loss']:.4f}"}
        shown |= {key.removeprefix("val/"): f"{value:.2%}" for key, value in row.items() if key.startswith("val/")}
        click.echo(f"{name} (epoch {row['epoch']}): " + ", ".join(f"{key} {value}" for key, value in shown.items()))
    click.echo(f"{result.out}: checkpoints, metrics.csv, curves.png and run.json, {result.seconds:.0f} s")
