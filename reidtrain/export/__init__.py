"""Trained networks for use without this toolkit: ONNX and `torch.export` files (docs/export.md)."""

from .agreement import Agreement
from .checkpoint import Exported, export_checkpoint
from .files import Format
from .network import EndToEnd, Outputs

__all__ = ["Agreement", "EndToEnd", "Exported", "Format", "Outputs", "export_checkpoint"]
