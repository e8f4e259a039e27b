"""Cut MoveNet Thunder before its single-person decode, so that it runs on batches.

The published graph takes one int32 image and ends in a decode that only works for a batch of one.
This script keeps the network up to its four heads, lets the batch size vary, and takes uint8 images.
No weight is touched. Needs the `onnx` package:

    python scripts/cut_movenet.py movenet-thunder.onnx reidprep/estimators/movenet_thunder.onnx
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PREFIX = "StatefulPartitionedCall/"
# Tensor of the published graph -> (name here, shape of one image).
HEADS = {
    f"{PREFIX}truediv_2:0": ("center", (64, 64, 1)),
    f"{PREFIX}kpt_regress_0/conv2d_6/BiasAdd_BiasAdd__111:0": ("regression", (34, 64, 64)),
    f"{PREFIX}Sigmoid:0": ("heatmap", (17, 64, 64)),
    f"{PREFIX}kpt_offset_0/conv2d_7/BiasAdd_BiasAdd__113:0": ("offset", (34, 64, 64)),
}
# The centre map is reshaped to a fixed batch of one before its weighting by distance.
CENTER_SHAPE = "new_shape__563"
# The published graph unstacks its batch of one and stacks it again around the normalisation.
UNSTACKED, CAST = f"{PREFIX}unstack:0", f"{PREFIX}Cast:0"
# The normalisation begins by subtracting an array of zeros, which takes time and changes nothing.
MINUS_ZERO = f"{PREFIX}sub:0"


def cut(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` from a uint8 image batch (n, 256, 256, 3) to its four heads (`HEADS`)."""
    producers = {name: node for node in model.graph.node for name in node.output}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    needed: set[str] = set()
    pending = [*HEADS]
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in producers:
            pending.extend(producers[name].input)

    nodes = []
    for node in model.graph.node:
        if not needed.intersection(node.output) or {UNSTACKED, MINUS_ZERO}.intersection(node.output):
            continue
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[:] = [CAST if name in (UNSTACKED, MINUS_ZERO) else name for name in kept.input]
        kept.output[:] = [HEADS[name][0] if name in HEADS else name for name in kept.output]
        kept.input[:] = ["images" if name == "input:0" else name for name in kept.input]
        nodes.append(kept)

    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 256, 256, 3])
    heads = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in HEADS.values()]
    initializers[CENTER_SHAPE] = numpy_helper.from_array(np.array([-1, 64, 64, 1]), CENTER_SHAPE)
    used = {name for node in nodes for name in node.input}
    weights = [initializers[name] for name in sorted(used & initializers.keys())]
    graph = helper.make_graph(nodes, "movenet_thunder_heads", [images], heads, weights)
    opsets = [opset for opset in model.opset_import if opset.domain == ""]
    result = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    onnx.checker.check_model(result)
    return result


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    onnx.save(cut(onnx.load(sys.argv[1])), sys.argv[2])
