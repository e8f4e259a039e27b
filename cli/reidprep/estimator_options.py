"""The options that choose and set up a pose estimator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..common import Command, FiniteRange, device_option
from .build_shards import size

ESTIMATORS = ("movenet", "mmpose", "onnx", "files")
KEYPOINT_FORMATS = ("openpose", "coco", "mmpose", "table")


class _GroupedOption(click.Option):
    """An option that the help lists under a heading of its own."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help lists the options that have a heading under it, after the others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Command.format_options`."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                sections.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def _three_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """A,B,C."""
    if value is None:
        return None
    parts = value.split(",")
    if len(parts) != 3:
        raise click.BadParameter(f"{value!r} is not three numbers A,B,C")
    return tuple(float(FiniteRange().convert(part.strip(), param, ctx)) for part in parts)


_mmpose_option = partial(click.option, cls=_GroupedOption, heading="MMPose models (--estimator mmpose)")
_onnx_option = partial(click.option, cls=_GroupedOption, heading="ONNX models (--estimator onnx)")
_files_option = partial(click.option, cls=_GroupedOption, heading="Keypoint files (--estimator files)")

_OPTIONS = (
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
    _mmpose_option(
        "--flip-test",
        is_flag=True,
        default=None,
        help="Average over the image and its mirror image: twice the time.",
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
        callback=_three_numbers,
        metavar="A,B,C",
        help="Subtracted from the channels, 0 to 255.  [default: from the file, else ImageNet's]",
    ),
    _onnx_option(
        "--onnx-std",
        callback=_three_numbers,
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
SETTINGS = (
    "mmpose_config", "mmpose_checkpoint", "flip_test",
    "onnx", "onnx_input_size", "onnx_mean", "onnx_std", "onnx_color", "onnx_padding",
    "keypoints", "keypoint_format", "keypoint_images",
)  # fmt: skip


def estimator_options(command: Command) -> Command:
    """Give a command the options of all estimators."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def estimator_settings(estimator: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of a command's parameters those that `create_estimator` takes as options for this estimator.

    Raises:
        click.UsageError: an option that this estimator does not take, or one missing that it needs.
    """
    from reidprep.errors import ReidError
    from reidprep.estimators.registry import check_options

    given = {name: params[name] for name in SETTINGS if params[name] is not None}
    try:
        check_options(estimator, given)
    except ReidError as error:
        raise click.UsageError(str(error)) from None
    return {name: _absolute(name, value) for name, value in given.items()}


def _absolute(name: str, value: Any) -> Any:
    """A file's whole path: workers may run in another folder."""
    if isinstance(value, Path):
        return value.absolute()
    if name in ("mmpose_config", "mmpose_checkpoint") and Path(value).is_file():
        return str(Path(value).absolute())
    return value
