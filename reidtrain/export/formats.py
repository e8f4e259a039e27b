"""The two kinds of files: writing them to bytes and running these."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from reidprep.errors import ReidError
from reidtrain.export.network import EndToEnd

Format = Literal["onnx", "pt2"]
Crops = Mapping[str, Tensor]
"""uint8 RGB crops by view: (n, height, width, 3), or (n, 4, height, width, 3) for `parts`."""

Runner = Callable[[Crops], dict[str, Tensor]]
"""Computes outputs, by name."""

ABOUT_FILE = "reidtrain.json"
"""The extra file of a .pt2 file that says what an .onnx file says in its metadata."""

OPSET = 18
"""The first with an antialiased Resize."""


def format_of(path: Path) -> Format:
    """The format by the ending of a file.

    Raises:
        ReidError: it has another.
    """
    for format in get_args(Format):
        if path.suffix == f".{format}":
            return format  # type: ignore[no-any-return]
    raise ReidError(f"{path}: ends neither in .onnx nor in .pt2; name it so, or give --format")


def check_libraries(format: Format) -> None:
    """Make sure, before any work, that what writes the format is installed.

    Raises:
        ReidError: it is not.
    """
    for name in ("onnx", "onnxscript") if format == "onnx" else ():
        if importlib.util.find_spec(name) is None:
            raise ReidError(
                f"ONNX files need {name}, which is not installed: pip install 'reidprep[export]'; or export to .pt2"
            )


def traced(network: EndToEnd, example: Crops) -> ExportedProgram:
    """The network as a graph for any number of images and sizes of crops.

    Args:
        network: in evaluation mode.
        example: crops of at least 2 images.
    """
    number = Dim("n", min=1)
    dynamic = {
        view: {0: number, crops.ndim - 3: Dim(f"{view}_height", min=1), crops.ndim - 2: Dim(f"{view}_width", min=1)}
        for view, crops in example.items()
    }
    with torch.no_grad(), _quiet():
        program = torch.export.export(network, (), dict(example), dynamic_shapes=dynamic, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # folders of this machine
    return program


def onnx_bytes(program: ExportedProgram, example: Crops, outputs: Sequence[str], about: Mapping[str, str]) -> bytes:
    """An ONNX file with all weights inside; `about` is its metadata."""
    from onnx.helper import find_min_ir_version_for  # of the extra `export`

    with torch.no_grad(), _quiet():
        converted = torch.onnx.export(
            program,
            (),
            kwargs=dict(example),
            input_names=[*example],
            output_names=outputs,
            dynamic_shapes={view: _axes(crops, view) for view, crops in example.items()},
            opset_version=OPSET,
            verbose=False,
        )
    assert converted is not None
    model = converted.model_proto
    # The lowest that the operators need: an older onnxruntime refuses higher ones unseen.
    model.ir_version = find_min_ir_version_for(model.opset_import)
    # What the exporter tells about itself, node by node: names of source files among it, and 1 MB.
    for entry in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del entry.metadata_props[:]
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def pt2_bytes(program: ExportedProgram, about: Mapping[str, str]) -> bytes:
    """A `torch.export` file; `about` is in its extra file `ABOUT_FILE`."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={ABOUT_FILE: json.dumps(about)})
    return buffer.getvalue()


def onnx_runner(data: bytes) -> Runner:
    """Runs an ONNX file by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def call(crops: Crops) -> dict[str, Tensor]:
        found = session.run(names, {view: images.numpy() for view, images in crops.items()})
        return {name: torch.from_numpy(values) for name, values in zip(names, found, strict=True)}

    return call


def pt2_runner(data: bytes) -> Runner:
    """Runs a `torch.export` file on the CPU."""
    module = torch.export.load(io.BytesIO(data)).module()

    @torch.no_grad()
    def call(crops: Crops) -> dict[str, Tensor]:
        found: dict[str, Tensor] = module(**crops)
        return found

    return call


def _axes(crops: Tensor, view: str) -> dict[int, str]:
    """Names of the axes that may vary."""
    return {0: "n", crops.ndim - 3: f"{view}_height", crops.ndim - 2: f"{view}_width"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter says about libraries that are not needed and its own future."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
