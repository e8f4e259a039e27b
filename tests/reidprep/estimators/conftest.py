"""Small ONNX graphs that find the strongest colour."""

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

Shape = tuple[object, ...]


class MakeGraph(Protocol):
    """Writes a graph whose joint j is where colour j % 3 is strongest."""

    def __call__(
        self,
        kind: str = "simcc",
        *,
        joints: int = 17,
        shape: Shape = ("n", 3, 80, 60),
        metadata: dict[str, str] | None = None,
        weights: np.ndarray | None = None,
        outputs: tuple[str, ...] = (),
        external: str | None = None,
    ) -> Path: ...


@pytest.fixture
def make_graph(tmp_path: Path) -> MakeGraph:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def make(
        kind="simcc",
        *,
        joints=17,
        shape=("n", 3, 80, 60),
        metadata=None,
        weights=None,
        outputs=(),
        external=None,
    ):
        if weights is None:
            weights = np.zeros((joints, shape[1], 1, 1), np.float32)
            weights[np.arange(joints), np.arange(joints) % 3] = 1
        initializers = [numpy_helper.from_array(weights.astype(np.float32), "colours")]
        nodes = [helper.make_node("Conv", ["image", "colours"], ["maps"])]
        pads = [side // 2 for side in weights.shape[2:]]
        nodes[0].attribute.append(helper.make_attribute("pads", [*pads, *pads]))
        float_ = TensorProto.FLOAT
        if kind == "simcc":
            names = outputs or ("simcc_x", "simcc_y")
            # Two bins to a pixel: each value twice.
            initializers += [
                numpy_helper.from_array(np.array([1, 1, 1, 2], np.int64), "twice"),
                numpy_helper.from_array(np.array([0, 0, -1], np.int64), "flat"),
                numpy_helper.from_array(np.array([3], np.int64), "last"),
            ]
            for name, axis in zip(names, (2, 3), strict=True):
                nodes += [
                    helper.make_node("ReduceMax", ["maps"], [f"{name}_1"], axes=[axis], keepdims=0),
                    helper.make_node("Unsqueeze", [f"{name}_1", "last"], [f"{name}_2"]),
                    helper.make_node("Tile", [f"{name}_2", "twice"], [f"{name}_3"]),
                    helper.make_node("Reshape", [f"{name}_3", "flat"], [name]),
                ]
            given = [helper.make_tensor_value_info(name, float_, [shape[0], joints, None]) for name in names]
        else:
            names = outputs or ("heatmaps",)
            nodes.append(helper.make_node("MaxPool", ["maps"], [names[0]], kernel_shape=[4, 4], strides=[4, 4]))
            given = [helper.make_tensor_value_info(names[0], float_, [shape[0], joints, None, None])]
        if external is not None:
            onnx.external_data_helper.set_external_data(initializers[0], external, 0, weights.nbytes)
            initializers[0].ClearField("raw_data")
        taken = [helper.make_tensor_value_info("image", float_, list(shape))]
        graph = helper.make_graph(nodes, "g", taken, given, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        file = tmp_path / f"{kind}.onnx"
        file.write_bytes(model.SerializeToString())
        return file

    return make
