"""What an ONNX file of a top-down pose network says about itself: input, outputs, preprocessing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.estimators.top_down import PADDING
from reidprep.skeleton import SKELETONS, known_skeletons
from reidprep.text import counted

SIMCC = "simcc"
HEAT_MAPS = "heat maps"
MAX_SIDE = 4096

# ImageNet's, as mmpose's models have them.
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)
METADATA = ("input_size", "mean", "std", "color", "padding")
"""Keys of the file's metadata that are used, all optional."""


@dataclass(frozen=True)
class Graph:
    """Input and outputs of a network.

    Attributes:
        input: name of the input, (n, 3, height, width) float32.
        shape: its sizes; a name or None where the graph leaves one open.
        kind: `SIMCC` or `HEAT_MAPS`.
        outputs: names: x and y for SimCC, one for heat maps.
        metadata: what the file says besides.
    """

    input: str
    shape: tuple[int | str | None, ...]
    kind: str
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]

    @property
    def batch_size(self) -> int | None:
        """Images per call where the graph fixes it."""
        return self.shape[0] if isinstance(self.shape[0], int) else None


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input.

    Attributes:
        input_size: (height, width).
        mean: subtracted from the channels, 0 to 255.
        std: what the channels are divided by.
        color: their order, `rgb` or `bgr`.
        padding: size of what the network sees, relative to the image.
    """

    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    color: str
    padding: float

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def inspect_graph(file: Path, session: onnxruntime.InferenceSession) -> Graph:
    """Find input and outputs.

    Raises:
        ReidError: this is no top-down pose network.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    listed = ", ".join(f"{node.name} {node.type} {node.shape}" for node in inputs)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        raise ReidError(f"{file}: takes {listed}; expected one input of 32-bit floats, (n, 3, height, width)")
    shape = tuple(size if isinstance(size, str) or (size or 0) > 0 else None for size in inputs[0].shape)
    if isinstance(shape[1], int) and shape[1] != 3:
        raise ReidError(f"{file}: takes images of {shape[1]} channels ({listed}); expected 3, before height and width")

    ranks = {node.name: len(node.shape) for node in outputs}
    if ranks.get("simcc_x") == ranks.get("simcc_y") == 3:
        kind, names = SIMCC, ("simcc_x", "simcc_y")
    elif list(ranks.values()) == [3, 3]:
        kind, names = SIMCC, tuple(ranks)
    elif list(ranks.values()) == [4]:
        kind, names = HEAT_MAPS, tuple(ranks)
    else:
        raise ReidError(
            f"{file}: gives {', '.join(f'{node.name} {node.shape}' for node in outputs)}; expected simcc_x and "
            "simcc_y, (n, joints, bins) each, or heat maps, (n, joints, rows, columns), of a top-down model exported "
            "without a decoder of its own"
        )
    metadata = session.get_modelmeta().custom_metadata_map
    return Graph(inputs[0].name, shape, kind, names, {key: metadata[key] for key in METADATA if key in metadata})


def preprocessing(file: Path, graph: Graph, given: Mapping[str, Any]) -> Preprocessing:
    """What is given, else what the file's metadata says, else mmpose's usual values.

    Raises:
        ReidError: metadata that cannot be read, impossible values, or an input size missing or against the graph.
    """

    def value(name: str, default: Any) -> tuple[Any, str]:
        if given.get(name) is not None:
            return given[name], f"--onnx-{name.replace('_', '-')}"
        if name in graph.metadata:
            return _parsed(graph.metadata[name]), f"{file}: {name} in its metadata"
        return default, name

    def numbers(name: str, default: Sequence[float], count: int, above: float) -> tuple[float, ...]:
        values, source = value(name, default)
        values = list(values) if isinstance(values, list | tuple) else [values]
        if len(values) != count or not all(_is_number(number) and number > above for number in values):
            limit = f" above {above:g}" if math.isfinite(above) else ""
            raise ReidError(f"{source} is {values!r}; expected {count} finite number{'s' * (count > 1)}{limit}")
        return tuple(float(number) for number in values)

    color, source = value("color", "rgb")
    if color not in ("rgb", "bgr"):
        raise ReidError(f"{source} is {color!r}; expected rgb or bgr")
    sides = [side if isinstance(side, int) else 0 for side in graph.shape[2:]]
    height, width = numbers("input_size", sides, 2, above=-1)
    size = (int(height), int(width))
    if not all(size):
        raise ReidError(f"{file}: leaves the size of its input open; give --onnx-input-size, such as 256x192")
    if max(size) > MAX_SIDE or any(side not in (0, asked) for side, asked in zip(sides, size, strict=True)):
        raise ReidError(
            f"{file}: the input is {sides[0] or 'any'} high and {sides[1] or 'any'} wide, {size[0]}x{size[1]} is not "
            f"possible; the sides are at most {MAX_SIDE}"
        )
    return Preprocessing(
        size,
        numbers("mean", _MEAN, 3, above=-math.inf),
        numbers("std", _STD, 3, above=0),
        color,
        numbers("padding", [PADDING], 1, above=0)[0],
    )


def _parsed(text: str) -> Any:
    """JSON, or numbers separated by commas (or an x, for sizes), or else the text itself."""
    for candidate in (text, f"[{text}]", f"[{text.replace('x', ',')}]"):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def free_dimensions(graph: Graph, batch_size: int, input_size: tuple[int, int]) -> dict[str, int]:
    """Sizes of the dimensions that the graph only names."""
    sizes = (batch_size, 3, *input_size)
    return {name: size for name, size in zip(graph.shape, sizes, strict=True) if isinstance(name, str)}


def check_outputs(
    file: Path, graph: Graph, outputs: Sequence[NDArray[np.floating]], input_shape: tuple[int, ...]
) -> None:
    """Check the answer to one batch.

    Args:
        file: for messages.
        graph: the network.
        outputs: its answer.
        input_shape: of the batch, (n, 3, height, width).

    Raises:
        ReidError: another number of images or joints, or bins or cells that do not fit the input.
    """
    shapes = [tuple(output.shape) for output in outputs]
    n, _, height, width = input_shape
    joints = shapes[0][1] if len(shapes[0]) > 1 else 0
    answer = ", ".join(f"{name} {shape}" for name, shape in zip(graph.outputs, shapes, strict=True))
    asked = f"{file}: answers a batch of shape {input_shape} with {answer}"
    if any(shape[:2] != (n, joints) for shape in shapes):
        raise ReidError(f"{asked}; expected {counted(n, 'image')} of the same number of joints")
    if joints not in SKELETONS:
        raise ReidError(f"{asked}: a skeleton of {counted(joints, 'joint')}; known: {known_skeletons()}")
    across, down = (shapes[0][2], shapes[1][2]) if graph.kind == SIMCC else shapes[0][:1:-1]
    if across * height != down * width or across == 0:
        what = "bins along x and y" if graph.kind == SIMCC else "rows and columns"
        raise ReidError(f"{asked}; {what} are not in the proportion of the input, is the input size right?")
