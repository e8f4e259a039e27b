"""The options that choose where files are made."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from ..common import Command, FiniteRange, workers_option

if TYPE_CHECKING:
    from reidprep.executors.base import Executor


def _gpus(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """What Ray can give: a share of one GPU, or whole ones."""
    if value and (value % 1 if value > 1 else value < 0.0001):
        raise click.BadParameter(f"{value:g} is neither a share of a GPU, 0.0001 to 1, nor a whole number of them")
    return value


_OPTIONS = (
    workers_option,
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        help="Who does the work: this machine, or the workers of a Ray cluster.",
    ),
    click.option(
        "--ray-address",
        metavar="HOST:PORT|auto",
        help="Ray cluster to use.  [default: one started on this machine for this run]",
    ),
    click.option(
        "--num-workers",
        type=click.IntRange(1),
        help="Ray workers, each with one core.  [default: as many as the cluster has room for]",
    ),
    click.option(
        "--gpus-per-worker",
        type=FiniteRange(0),
        callback=_gpus,
        help="GPUs of each Ray worker; 0.25: four share one.  [default: 0]",
    ),
)


_NAMES = ("workers", "engine", "ray_address", "num_workers", "gpus_per_worker")


def executor_options(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def executor_settings(params: dict[str, Any]) -> dict[str, Any]:
    """Take the values of these options out of a command's parameters: what `chosen_executor` takes.

    Raises:
        click.UsageError: an option that the executor chosen does not take.
    """
    settings = {name: params.pop(name) for name in _NAMES}
    other, remedy = (
        (("ray_address", "num_workers", "gpus_per_worker"), "goes with --engine ray")
        if settings["engine"] == "local"
        else (("workers",), "goes with --engine local; how many Ray workers there are is said by --num-workers")
    )
    for name in other:
        if settings[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} {remedy}")
    return settings


@contextmanager
def chosen_executor(
    engine: str,
    *,
    workers: int | None,
    ray_address: str | None,
    num_workers: int | None,
    gpus_per_worker: float | None,
) -> Iterator[Executor]:
    """The executor that these options choose, for the time of the block.

    Raises:
        ReidError: as `reidprep.executors.ray.ray_executor`.
    """
    if engine == "local":
        from reidprep.executors.local import LocalExecutor

        yield LocalExecutor(workers or os.cpu_count() or 1)
        return
    from reidprep.executors.ray import ray_executor

    # Ray prints what becomes of lost workers; standard output is for the command's result.
    with redirect_stdout(sys.stderr), ray_executor(ray_address, num_workers, gpus_per_worker or 0.0) as ray:
        yield ray
