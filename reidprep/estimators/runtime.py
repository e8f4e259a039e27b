"""Sessions of onnxruntime, on the CPU or on CUDA."""

from __future__ import annotations

import os
from collections.abc import Mapping

import onnxruntime

from reidprep.device import Device, choose_device
from reidprep.errors import ReidError

_CUDA = "CUDAExecutionProvider"


def onnxruntime_device(asked: str) -> Device:
    """The device that a network of onnxruntime is to compute on.

    Raises:
        ReidError: see `reidprep.device.choose_device`.
    """
    return choose_device(
        asked,
        _CUDA in onnxruntime.get_available_providers(),
        "this onnxruntime has no CUDA provider; replace it ('pip uninstall onnxruntime', then 'pip install "
        "onnxruntime-gpu')",
    )


def start_session(model: bytes, device: str, dimensions: Mapping[str, int]) -> onnxruntime.InferenceSession:
    """Start a session for calls from several threads.

    Args:
        model: the content of an ONNX file, weights included.
        device: `cpu` or `cuda`. onnxruntime goes back to the CPU by itself where the CUDA libraries do not load, see
            `session_device`.
        dimensions: sizes of the graph's free dimensions. With a known batch size onnxruntime plans a network as it does
            for a graph of a fixed size.
    """
    options = onnxruntime.SessionOptions()
    # One thread per call and several calls at once: faster than many threads in one call.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    for name, size in dimensions.items():
        options.add_free_dimension_override_by_name(name, size)
    # Weights in other files would not be part of the model's hash, and could be any file: there is no such folder.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", f"{os.devnull}/none")
    options.log_severity_level = 3
    providers = ([_CUDA] if device == "cuda" else []) + ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model, options, providers=providers)


def session_device(session: onnxruntime.InferenceSession, asked: str) -> str:
    """What a session runs on.

    Raises:
        ReidError: `asked` is `cuda`, and it runs on the CPU.
    """
    on_cuda = _CUDA in session.get_providers()
    if asked == "cuda" and not on_cuda:
        raise ReidError("--device cuda: the CUDA provider did not start; check the CUDA and cuDNN libraries")
    return "cuda" if on_cuda else "cpu"
