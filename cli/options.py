"""The options that commands share, and what their values mean."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from reidprep.device import DEVICES
from reidprep.records import SPLITS

if TYPE_CHECKING:
    from reidprep.executors.base import Executor

Command = TypeVar("Command", bound=Callable[..., Any])

ESTIMATORS = ("movenet", "mmpose", "onnx", "files")
KEYPOINT_FORMATS = ("openpose", "coco", "mmpose", "alphapose", "table")


class FiniteRange(click.FloatRange):
    """A `click.FloatRange` that refuses nan and inf, which compare as being in any range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a value; nan and inf are errors."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Read HEIGHTxWIDTH, with 8 to 4096 pixels a side."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value)
    if not match or not all(8 <= int(side) <= 4096 for side in match.groups()):
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH with sides of 8 to 4096 pixels, such as 384x192")
    return int(match[1]), int(match[2])


def colour(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...] | None:
    """Read R,G,B; None for `mean`."""
    if value == "mean":
        return None
    try:
        parts = tuple(float(part) for part in value.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3 or not all(0 <= part <= 255 for part in parts):
        raise click.BadParameter(f"{value!r} is neither 'mean' nor three numbers of 0 to 255, such as 128,128,128")
    return parts


def key_values(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read options given as KEY=VALUE."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE")
    pairs = [value.split("=", 1) for value in values]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise click.BadParameter(f"{' '.join(values)}: a key is given twice")
    return given


def three_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Read A,B,C."""
    if value is None:
        return None
    parts = value.split(",")
    if len(parts) != 3:
        raise click.BadParameter(f"{value!r} is not three numbers A,B,C")
    return tuple(float(FiniteRange().convert(part.strip(), param, ctx)) for part in parts)


splits_option = click.option(
    "--split",
    "splits",
    type=click.Choice(SPLITS),
    multiple=True,
    default=SPLITS,
    help="Only this split; may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    default=None,
    help="Parallel workers.  [default: number of CPU cores]",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Discard the files that OUT holds and start anew.")
grow_option = click.option(
    "--grow",
    is_flag=True,
    help="Images were added since OUT was made: compute only what is new. OUT is replaced once all is done.",
)
decoders_option = click.option(
    "--workers",
    type=click.IntRange(0),
    default=lambda: min(8, os.cpu_count() or 1),
    show_default=False,
    help="Workers that read and decode.  [default: number of CPU cores, at most 8]",
)
batch_size_option = click.option("--batch-size", type=click.IntRange(1), default=64, help="Images computed at once.")
WHICH = click.Choice(["last", "best"])
which_option = click.option("--which", type=WHICH, default="last", help="Which checkpoint of a run folder.")
first_which_option = click.option(
    "--which", type=WHICH, default="last", help="Which checkpoint of a run folder that is given as --init."
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the recipe, such as stages.0.epochs=20; may be repeated.",
)
PROTOCOLS = click.Choice(["market1501", "no-cameras", "cuhk03-np", "cuhk03-classic", "cuhk03-classic-any-camera"])
PROTOCOL_HELP = (
    "Which gallery images count; market1501 also serves DukeMTMC-reID and MSMT17, no-cameras whoever has one camera."
)

ap_option = click.option(
    "--ap",
    type=click.Choice(["step", "trapezoid"]),
    default="step",
    help="Average precision: mean of the precision at each hit, or the Market-1501 authors' area.",
)
metric_option = click.option(
    "--metric", type=click.Choice(["euclidean", "cosine"]), default="euclidean", help="Distance."
)


def renamed_option(
    new: str,
    old: str,
    *,
    old_type: click.ParamType[Any] | None = None,
    old_values: Mapping[Any, Any] = MappingProxyType({}),
    **settings: Any,
) -> Callable[[Command], Command]:
    """Give a command an option, whose former name still works, with a notice.

    Args:
        new: its name.
        old: its former name.
        old_type: of its values then, if not as now.
        old_values: what was called otherwise, with its name now.
        settings: for `click.option`.
    """
    key = f"{__name__}{new}"

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            others = "".join(f", and {before} is called {now}" for before, now in old_values.items())
            click.echo(f"{old} is called {new} now{others}", err=True)
            ctx.meta[key] = old_values.get(value, value)

    def given_or_kept(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        given = ctx.get_parameter_source(param.name or "") == ParameterSource.COMMANDLINE
        return value if given else ctx.meta.get(key, value)

    def decorate(command: Command) -> Command:
        former = click.option(
            old,
            type=old_type or settings["type"],
            is_eager=True,  # before the other
            expose_value=False,
            callback=keep,
            hidden=True,
        )
        return click.option(new, callback=given_or_kept, **settings)(former(command))

    return decorate


device_option = renamed_option(
    "--device",
    "--accelerator",
    old_type=click.Choice(["auto", "cpu", "gpu"]),
    old_values={"gpu": "cuda"},
    type=click.Choice(DEVICES),
    default=DEVICES[0],
    help="What to compute on; auto takes a GPU if there is one.",
)


def computing_options(function: Command) -> Command:
    """Give a command the fields of `reidtrain.features.extractor.Computing`: how a network computes features."""
    flip = click.option("--flip", is_flag=True, help="Average features with those of the mirrored image.")
    precision = click.option(
        "--precision",
        type=click.Choice(["float32", "bf16"]),
        help="Of what the network computes.  [default: what it was trained in]",
    )
    return flip(precision(device_option(decoders_option(batch_size_option(function)))))


def choice_options(what: str, default: int, old_limit: str) -> Callable[[Command], Command]:
    """Give a command --limit and --random: which of many it draws. They had names of their own in each command."""
    limit = renamed_option(
        "--limit", old_limit, type=click.IntRange(1), default=default, help=f"At most so many {what}."
    )
    random = renamed_option(
        "--random",
        "--seed",
        type=click.IntRange(0),
        metavar="SEED",
        help=f"Choose {what} at random, the same for the same seed.  [default: spread evenly]",
    )
    return lambda command: limit(random(command))


def per_sheet_option(default: int, what: str) -> Callable[[Command], Command]:
    """Give a command --per-sheet."""
    return click.option("--per-sheet", type=click.IntRange(1, 50), default=default, help=f"{what} on one PNG sheet.")


def known_recipe(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Refuse a recipe that there is not, before PyTorch is loaded, which takes seconds."""
    from reidtrain.recipes.names import check_recipe_name

    if name is not None:
        check_recipe_name(name)
    return name


def recipe_options(function: Command) -> Command:
    """Give a command --recipe and --set."""
    name = click.option(
        "--recipe", required=True, callback=known_recipe, metavar="NAME|FILE", help="A shipped recipe, or a YAML file."
    )
    return name(set_option(function))


def machine_options(function: Command) -> Command:
    """Give a command the fields of `reidtrain.training.fit.Machine`: what to compute on."""
    for option in (
        decoders_option,
        click.option("--nodes", type=click.IntRange(1), default=1, help="Machines; start each by torchrun."),
        click.option("--devices", type=click.IntRange(1), default=1, help="GPUs, or processes on the CPU."),
        device_option,
    ):
        function = option(function)
    return function


def training_options(function: Command) -> Command:
    """Give a command all that `fit` and `pretrain` take besides their data."""
    for option in (
        json_option,
        click.option("--overwrite", is_flag=True, help="Discard the run that OUT holds and start anew."),
        machine_options,
        first_which_option,
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


class GroupedOption(click.Option):
    """An option that the help lists under a heading of its own."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


COMPUTING = {"Computing": ("device", "devices", "nodes", "workers", "batch_size", "precision", "flip")}
WORKERS = {"Workers": ("workers", "engine", "ray_address", "num_workers", "gpus_per_worker")}
"""Headings that several commands have."""


class GroupedCommand(click.Command):
    """A command whose help lists options under headings, after the others.

    An option stands under the heading that it has itself, or that `headings` gives its name.
    """

    def __init__(self, *args: Any, headings: Mapping[str, Sequence[str]] = MappingProxyType({}), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading_of = {name: heading for heading, names in headings.items() for name in names}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, heading by heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], **{name: [] for name in self.heading_of.values()}}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                heading = getattr(param, "heading", None) or self.heading_of.get(param.name or "", "Options")
                sections.setdefault(heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


_mmpose_option = partial(click.option, cls=GroupedOption, heading="MMPose models (--estimator mmpose)")
_onnx_option = partial(click.option, cls=GroupedOption, heading="ONNX models (--estimator onnx)")
_files_option = partial(click.option, cls=GroupedOption, heading="Keypoint files (--estimator files)")

_ESTIMATOR_OPTIONS = (
    click.option("--estimator", type=click.Choice(ESTIMATORS), default="movenet", help="Pose estimator."),
    device_option,
    click.option(
        "--batch-size",
        type=click.IntRange(1, 4096),
        help="Images per forward pass.  [default: what suits estimator and device]",
    ),
    click.option(
        "--confidence",
        type=FiniteRange(0),
        help="Score from which a joint counts as found.  [default: the estimator's, 0.3 for movenet]",
    ),
    click.option(
        "--flip-test",
        is_flag=True,
        default=None,
        help="For movenet and mmpose: look at the mirror image too, which finds hard joints better and takes twice the "
        "time.",
    ),
    _mmpose_option(
        "--mmpose-config",
        metavar="FILE|NAME",
        help="Configuration of a top-down 2D body model of mmpose 1.x, or an alias such as rtmpose-m.",
    ),
    _mmpose_option(
        "--mmpose-checkpoint",
        metavar="FILE|URL",
        help="Its weights.  [default: for an alias the published ones]",
    ),
    _onnx_option(
        "--onnx",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A top-down model with SimCC or heat map outputs, as mmdeploy and rtmlib have them.",
    ),
    _onnx_option(
        "--onnx-input-size",
        callback=size,
        metavar="HxW",
        help="Size of the network's input.  [default: from the file]",
    ),
    _onnx_option(
        "--onnx-mean",
        callback=three_numbers,
        metavar="A,B,C",
        help="Subtracted from the channels, 0 to 255.  [default: from the file, else ImageNet's]",
    ),
    _onnx_option(
        "--onnx-std",
        callback=three_numbers,
        metavar="A,B,C",
        help="What the channels are divided by.  [default: from the file, else ImageNet's]",
    ),
    _onnx_option(
        "--onnx-color",
        type=click.Choice(["rgb", "bgr"]),
        help="Order of the network's channels.  [default: from the file, else rgb]",
    ),
    _onnx_option(
        "--onnx-padding",
        type=FiniteRange(0.1, 10),
        help="Size of what the network sees, relative to the image.  [default: from the file, else 1.25]",
    ),
    _files_option(
        "--keypoints",
        type=click.Path(exists=True, path_type=Path),
        help="Folder or file with keypoints, see docs/keypoint-files.md.",
    ),
    _files_option(
        "--keypoint-format",
        type=click.Choice(KEYPOINT_FORMATS),
        help="Its format.  [default: detected]",
    ),
    _files_option(
        "--keypoint-images",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="COCO annotation file that names the images of a list of results.",
    ),
)
ESTIMATOR_SETTINGS = (
    "mmpose_config", "mmpose_checkpoint", "flip_test",
    "onnx", "onnx_input_size", "onnx_mean", "onnx_std", "onnx_color", "onnx_padding",
    "keypoints", "keypoint_format", "keypoint_images",
)  # fmt: skip


def estimator_options(command: Command) -> Command:
    """Give a command the options of all estimators."""
    for option in reversed(_ESTIMATOR_OPTIONS):
        command = option(command)
    return command


def estimator_settings(estimator: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Pick from a command's parameters those that `create_estimator` takes as options for this estimator.

    Raises:
        click.UsageError: an option that this estimator does not take, or one missing that it needs.
    """
    from reidprep.errors import ReidError
    from reidprep.estimators.registry import check_options

    given = {name: params[name] for name in ESTIMATOR_SETTINGS if params[name] is not None}
    try:
        check_options(estimator, given)
    except ReidError as error:
        raise click.UsageError(str(error)) from None
    return {name: _absolute(name, value) for name, value in given.items()}


_EMBEDDING_OPTIONS = (
    click.option(
        "--shards",
        type=click.Path(path_type=Path),
        help="Cut crops as in these.  [default: those of training]",
    ),
    click.option(
        "--canonical",
        type=click.Path(path_type=Path),
        metavar="FILE|shipped",
        help="Canonical poses.  [default: those of the shards, if they are the shipped ones]",
    ),
    click.option(
        "--encoded/--not-encoded",
        default=True,
        help="Take crops through the JPEG of the shards, as in training, or leave that out.",
    ),
    click.option("--estimator", type=click.Choice(ESTIMATORS), help="Pose estimator.  [default: that of the shards]"),
    *_ESTIMATOR_OPTIONS[4:],
    which_option,
    computing_options,
)
_EMBEDDING_NAMES = ("shards", "canonical", "encoded", "estimator")
_COMPUTING_NAMES = ("device", "workers", "batch_size", "precision", "flip")


def embedding_options(command: Command) -> Command:
    """Give a command what an `Embedder` takes: a network, how it computes, and how crops are cut."""
    for option in reversed(_EMBEDDING_OPTIONS):
        command = option(command)
    return command


def embedding_settings(params: dict[str, Any]) -> dict[str, Any]:
    """Take the values of these options, but for --which, out of a command's parameters, by what they are for."""
    settings = {name: params.pop(name) for name in _EMBEDDING_NAMES}
    settings["computing"] = {name: params.pop(name) for name in _COMPUTING_NAMES}
    given = {name: params.pop(name) for name in ESTIMATOR_SETTINGS}
    settings["settings"] = {name: _absolute(name, value) for name, value in given.items() if value is not None}
    return settings


def _absolute(name: str, value: Any) -> Any:
    """A file's whole path: workers may run in another folder."""
    if isinstance(value, Path):
        return value.absolute()
    if name in ("mmpose_config", "mmpose_checkpoint") and Path(value).is_file():
        return str(Path(value).absolute())
    return value


def _gpus(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """What Ray can give: a share of one GPU, or whole ones."""
    if value and (value % 1 if value > 1 else value < 0.0001):
        raise click.BadParameter(f"{value:g} is neither a share of a GPU, 0.0001 to 1, nor a whole number of them")
    return value


_EXECUTOR_OPTIONS = (
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


_EXECUTOR_NAMES = ("workers", "engine", "ray_address", "num_workers", "gpus_per_worker")


def executor_options(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_EXECUTOR_OPTIONS):
        command = option(command)
    return command


def executor_settings(params: dict[str, Any]) -> dict[str, Any]:
    """Take the values of these options out of a command's parameters: what `chosen_executor` takes.

    Raises:
        click.UsageError: an option that the executor chosen does not take.
    """
    settings = {name: params.pop(name) for name in _EXECUTOR_NAMES}
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
