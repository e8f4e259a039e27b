"""Trained networks for use without this toolkit: ONNX and `torch.export` files (docs/export-network.md)."""

from reidtrain.export.agreement import Agreement
from reidtrain.export.checkpoint import Exported, export_checkpoint
from reidtrain.export.formats import Format
from reidtrain.export.network import EndToEnd, Outputs

__all__ = ["Agreement", "EndToEnd", "Exported", "Format", "Outputs", "export_checkpoint"]
