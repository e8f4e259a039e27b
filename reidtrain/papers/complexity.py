"""Parameters and multiply-adds of every variant, beside Table 12 of the attention-driven paper.

Multiply-adds are those of convolutions and fully connected layers for one image, counted by PyTorch on tensors without
data. Table 12 calls them FLOPs: its figures for AlexNet, VGG, ResNet-50 and GoogLeNet are the published multiply-adds
at 224x224 scaled to 384x192, and its parameters leave the classifier out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from reidprep.skeleton import PARTS
from reidtrain.models.attention_driven import AttentionDrivenNet
from reidtrain.models.layers import without_weights
from reidtrain.models.self_attention import ResNet50, SelfAttentionNet
from reidtrain.papers.classifiers import alexnet, googlenet, vgg16
from reidtrain.papers.networks import ATTENTION_DRIVEN, SELF_ATTENTION

MARKET_CLASSES = 751
WHOLE_SHAPE = (3, 384, 192)
PARTS_SHAPE = (len(PARTS), 3, 96, 192)
UNALIGNED_SHAPE = (3, 256, 128)


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-adds for one image."""

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Complexity:
    """Cost of a model.

    Attributes:
        model: name of the model and its variant.
        input: height and width of its largest image.
        total: everything, identity classifiers included.
        classifiers: the identity classifiers, which Table 12 leaves out.
        shares: cost of the parts of the model. `attention` is contained in the branches; all others add up to the
            total.
        paper: figures of Table 12, classifiers left out; None where it has none.
    """

    model: str
    input: tuple[int, int]
    total: Cost
    classifiers: Cost
    shares: dict[str, Cost] = field(default_factory=dict)
    paper: Cost | None = None


TABLE_12 = {
    "attention-driven aligned": Cost(6_800_000, 2_260_000_000),
    "attention-driven intra+inter": Cost(10_400_000, 2_690_000_000),
    "resnet50 at 384x192": Cost(23_500_000, 5_580_000_000),
    "alexnet, scaled to 384x192": Cost(58_300_000, 1_070_000_000),
    "vgg16, scaled to 384x192": Cost(134_200_000, 22_800_000_000),
    "googlenet, scaled to 384x192": Cost(6_000_000, 2_310_000_000),
}
"""Table 12, all rows."""

CLASSIFIERS: dict[str, Callable[[], nn.Module]] = {"alexnet": alexnet, "vgg16": vgg16, "googlenet": googlenet}
"""Networks of Table 12 that take images of one size only."""
IMAGENET_SIZE = 224


class _WithoutNorms(TorchFunctionMode):
    """Leaves batch norms out: they cost no multiply-adds, and on the meta device more time than all the rest."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function of PyTorch, or hand back what was to be normed."""
        return args[0] if func is F.batch_norm else func(*args, **kwargs or {})


def module_costs(model: nn.Module, *inputs: Tensor) -> dict[str, Cost]:
    """Cost of each module by its path, that of the whole model under the empty path.

    A module that is not run costs no multiply-adds. Counts what the model does, so a batch counts in full.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _WithoutNorms():
        model(*inputs)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    return {
        path: Cost(
            sum(parameter.numel() for parameter in module.parameters()),
            sum(counts.get(f"{root}.{path}" if path else root, {}).values()) // 2,
        )
        for path, module in model.named_modules()
    }


def attention_driven(variant: str, classes: int) -> Complexity:
    """Cost of a variant of the five-branch network at 384x192 and 96x192."""
    with without_weights():
        # Running the parts together is what the counter can follow; separately they cost the same.
        model = AttentionDrivenNet(ATTENTION_DRIVEN[variant], classes, part_computation="grouped").eval()
    costs = module_costs(model, _image(*WHOLE_SHAPE), _image(*PARTS_SHAPE))
    parts = model.config.parts
    shares = {"conv1 (shared)": costs["conv1"]}
    if "whole" in costs:
        shares["whole"] = costs["whole"]
    shares |= {name: _divided(costs["parts"], len(parts)) for name in parts}
    if "fusion" in costs:
        shares["fusion"] = costs["fusion"]
    classifiers = _sum(cost for path, cost in costs.items() if path.endswith(("classifier", "classifiers")))
    shares["classifiers"] = classifiers
    attention = _sum(cost for path, cost in costs.items() if path.endswith(".attention"))
    if attention.parameters:
        shares["attention"] = attention
    name = f"attention-driven {variant}"
    return Complexity(name, WHOLE_SHAPE[1:], costs[""], classifiers, shares, TABLE_12.get(name))


def self_attention(variant: str, classes: int) -> Complexity:
    """Cost of a variant of the dilated ResNet-50 at 256x128."""
    with without_weights():
        model = SelfAttentionNet(SELF_ATTENTION[variant], classes).eval()
    costs = module_costs(model, _image(*UNALIGNED_SHAPE))
    shares = {"stage 1": _sum([costs["conv1"], costs["bn1"]])}
    shares |= {f"stage {index + 1}": costs[f"layer{index}"] for index in range(1, 6) if f"layer{index}" in costs}
    shares |= {"reduce": costs["reduce"], "classifiers": costs["classifier"]}
    return Complexity(f"self-attention {variant}", UNALIGNED_SHAPE[1:], costs[""], costs["classifier"], shares)


def resnet50(height: int, width: int) -> Complexity:
    """Cost of ResNet-50 with ImageNet's 1000 classes."""
    with without_weights():
        model = ResNet50().eval()
    costs = module_costs(model, _image(3, height, width))
    name = f"resnet50 at {height}x{width}"
    return Complexity(name, (height, width), costs[""], costs["fc"], paper=TABLE_12.get(name))


def scaled_classifier(name: str) -> Complexity:
    """Cost of a classifier as Table 12 has it: multiply-adds at 224x224 times 1.469, the ratio of the images' areas."""
    with without_weights():
        model = CLASSIFIERS[name]().eval()
    costs = module_costs(model, _image(3, IMAGENET_SIZE, IMAGENET_SIZE))
    _, height, width = WHOLE_SHAPE

    def scaled(cost: Cost) -> Cost:
        return Cost(cost.parameters, round(cost.multiply_adds * height * width / IMAGENET_SIZE**2))

    name = f"{name}, scaled to {height}x{width}"
    return Complexity(name, (height, width), scaled(costs[""]), scaled(costs["classifier"]), paper=TABLE_12.get(name))


def complexities(classes: int = MARKET_CLASSES) -> Iterator[Complexity]:
    """Every variant of both models with `classes` identities, and the classifiers of Table 12."""
    for variant in ATTENTION_DRIVEN:
        yield attention_driven(variant, classes)
    for variant in SELF_ATTENTION:
        yield self_attention(variant, classes)
    yield resnet50(384, 192)
    yield resnet50(224, 224)
    yield from map(scaled_classifier, CLASSIFIERS)


def _image(*shape: int) -> Tensor:
    return torch.empty(1, *shape, device="meta")


def _divided(cost: Cost, count: int) -> Cost:
    return Cost(cost.parameters // count, cost.multiply_adds // count)


def _sum(costs: Iterable[Cost]) -> Cost:
    total = Cost(0, 0)
    for cost in costs:
        total = Cost(total.parameters + cost.parameters, total.multiply_adds + cost.multiply_adds)
    return total
