"""Export a top-down model of MMPose to an ONNX file for `reidprep extract-poses --estimator onnx`.

The batch size stays free, and the file's metadata say how an image becomes the network's input. SimCC models (RTMPose)
and heat map models, but for those whose pipeline or decoder is unbiased (UDP, DARK): the ONNX estimator would not
decode them as MMPose does. Needs MMPose (`make setup-mmpose`) and the extra `export`:

    python scripts/mmpose_to_onnx.py CONFIG CHECKPOINT OUT.onnx
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from reidprep.estimators.openmmlab import import_openmmlab, load_checkpoint


def metadata(model: Any) -> dict[str, str]:
    """What `reidprep.estimators.onnx_graph.METADATA` asks for, from the model's config."""
    pipeline = {step["type"]: step for step in model.cfg.test_dataloader.dataset.pipeline}
    width, height = pipeline["TopdownAffine"]["input_size"]
    decoder = model.head.decoder
    unbiased = [name for name in ("use_dark", "unbiased") if getattr(decoder, name, False)]
    if pipeline["TopdownAffine"].get("use_udp") or type(decoder).__name__ not in ("SimCCLabel", "MSRAHeatmap"):
        unbiased.append("use_udp")
    if unbiased:
        sys.exit(
            f"{type(decoder).__name__} with {', '.join(unbiased)}: the ONNX estimator decodes SimCC and plain heat maps"
        )
    normalise = model.data_preprocessor
    return {
        "input_size": f"{height}x{width}",
        "mean": json.dumps(normalise.mean.flatten().tolist()),
        "std": json.dumps(normalise.std.flatten().tolist()),
        "color": "rgb" if normalise._channel_conversion else "bgr",
        "padding": json.dumps(pipeline["GetBBoxCenterScale"].get("padding", 1.25)),
    }


def main(config: str, checkpoint: str, out: str) -> None:
    import_openmmlab("mmpose", "apis", "datasets", "models")
    import onnx
    import torch
    from mmpose.apis import init_model

    model = init_model(config, None, device="cpu")
    model.load_state_dict(load_checkpoint(checkpoint)[0], strict=False)
    about = metadata(model)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> Any:
            return self.model(image, None, mode="tensor")

    height, width = map(int, about["input_size"].split("x"))
    network, example = Network().eval(), torch.zeros(2, 3, height, width)
    with torch.no_grad():
        answer = network(example)
    torch.onnx.export(
        network,
        (example,),
        out,
        input_names=["input"],
        output_names=["heatmaps"] if isinstance(answer, torch.Tensor) else ["simcc_x", "simcc_y"],
        dynamic_shapes=({0: torch.export.Dim("batch", max=4096)},),
        dynamo=True,
        external_data=False,
    )
    exported = onnx.load(out)
    onnx.helper.set_model_props(exported, about)
    onnx.save(exported, out)
    print(f"{out}: {Path(out).stat().st_size / 1e6:.1f} MB, {about}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
