"""What the commands that train share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..common import Command, device_option, json_option, print_json, progress

if TYPE_CHECKING:
    from reidtrain.training.fit import RunResult


def recipe_options(function: Command) -> Command:
    """--recipe and --set."""
    overrides = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a value of the recipe, such as stages.0.epochs=20; may be repeated.",
    )
    name = click.option("--recipe", required=True, metavar="NAME|FILE", help="A shipped recipe, or a YAML file.")
    return name(overrides(function))


def machine_options(function: Command) -> Command:
    """What to compute on, by the fields of `reidtrain.training.fit.Machine`."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(0),
            default=lambda: min(8, os.cpu_count() or 1),
            show_default="CPU cores, at most 8",
            help="Processes that decode, for each device.",
        ),
        click.option("--nodes", type=click.IntRange(1), default=1, help="Machines; start each by torchrun."),
        click.option("--devices", type=click.IntRange(1), default=1, help="GPUs, or processes on the CPU."),
        device_option,
    ):
        function = option(function)
    return function


def training_options(function: Command) -> Command:
    """All that `fit` and `pretrain` take besides their data."""
    for option in (
        json_option,
        click.option("--overwrite", is_flag=True, help="Discard the run that OUT holds and start anew."),
        machine_options,
        click.option(
            "--init",
            type=click.Path(path_type=Path),
            help="Weights to start from: a run of pretrain or fit, a checkpoint, or a state dict.  [default: random]",
        ),
        recipe_options,
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            required=True,
            help="Run folder: checkpoints, curves, figures.",
        ),
    ):
        function = option(function)
    return function


def train_and_print(
    label: str,
    train: Callable[..., RunResult],
    data: Path,
    *,
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    init: Path | None,
    overwrite: bool,
    as_json: bool,
    **machine: Any,
) -> None:
    """Call a library function that trains, with what `training_options` gave."""
    from reidtrain.recipes.loading import load_recipe
    from reidtrain.training.fit import Machine

    chosen = load_recipe(recipe, overrides)
    with progress(label) as report:
        result = train(
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


def print_result(result: RunResult, as_json: bool) -> None:
    """The figures of the last and the best epoch, by the first of several processes."""
    from reidtrain.training.fit import is_first_process

    if not is_first_process():
        return
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
