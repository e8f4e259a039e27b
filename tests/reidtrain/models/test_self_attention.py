from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from torch.nn import functional as F

from reidprep.errors import ReidError
from reidtrain.models.layers import Bottleneck, without_weights
from reidtrain.models.self_attention import ResNet50, SelfAttentionConfig, SelfAttentionNet, attention_map, stage
from reidtrain.models.weights import load_matching
from reidtrain.papers.networks import SELF_ATTENTION

CLASSES = 5
UNITS = {"layer1": (3, 64), "layer2": (4, 128), "layer3": (6, 256), "layer4": (3, 512)}


def torchvision_resnet50() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's `resnet50().state_dict()`, in its order."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{key}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, 3, 7, 7)
    norm("bn1", 64)
    channels = 64
    for layer, (units, width) in UNITS.items():
        for unit in range(units):
            name = f"{layer}.{unit}"
            shapes[f"{name}.conv1.weight"] = (width, channels, 1, 1)
            norm(f"{name}.bn1", width)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn2", width)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            norm(f"{name}.bn3", 4 * width)
            if unit == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, channels, 1, 1)
                norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    shapes["fc.weight"], shapes["fc.bias"] = (1000, 2048), (1000,)
    return shapes


def network(config: SelfAttentionConfig, seed: int = 0) -> SelfAttentionNet:
    torch.manual_seed(seed)
    return SelfAttentionNet(config, CLASSES)


def started(model: SelfAttentionNet) -> SelfAttentionNet:
    """As after some steps: residual units are no longer their shortcuts alone."""
    for module in model.modules():
        if isinstance(module, Bottleneck):
            torch.nn.init.ones_(module.bn3.weight)
    return model


@pytest.fixture(scope="module", params=SELF_ATTENTION)
def variant(request) -> SelfAttentionNet:
    """Each variant, as it starts. Read only."""
    return network(SELF_ATTENTION[request.param])


@pytest.fixture(scope="module")
def full() -> SelfAttentionNet:
    """The network with everything on, in evaluation mode. Read only."""
    return network(SelfAttentionConfig()).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def test_resnet50_has_torchvisions_names_shapes_and_order():
    with without_weights():
        model = ResNet50()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}

    assert len(shapes) == 320
    assert len(list(model.parameters())) == 161
    assert list(shapes.items()) == list(torchvision_resnet50().items())


def test_resnet50_has_its_published_size():
    with without_weights():
        assert sum(value.numel() for value in ResNet50().parameters()) == 25_557_032


def test_resnet101_has_its_published_size():
    config = SelfAttentionConfig(dilation=False, stage6=False, multi_level=False, depth=101)
    with without_weights():
        model = SelfAttentionNet(config, 1)
    own = sum(value.numel() for name in ("reduce", "classifier") for value in getattr(model, name).parameters())

    assert sum(value.numel() for value in model.parameters()) - own == 44_549_160 - 2049 * 1000


def test_imagenet_weights_fill_stages_1_to_5():
    """The same weights in both give the same features where no stride is replaced."""
    torch.manual_seed(0)
    weights = ResNet50(classes=10).eval()
    model = network(SELF_ATTENTION["resnet"], seed=1).eval()
    report = load_matching(model, weights.state_dict())
    images = torch.randn(1, 3, 64, 32)

    assert report.unused == ("fc.weight", "fc.bias")
    assert report.missing == ("reduce.weight", "reduce.bias", "classifier.weight", "classifier.bias")
    assert len(report.loaded) == 318
    assert torch.equal(model.stages_4_and_5(images)[1], weights.stages_4_and_5(images)[1])


def test_dilation_computes_the_strided_network_at_every_position():
    """Sampled at the strided network's positions, the dilated one's features are the same, but for borders."""
    strided = network(SELF_ATTENTION["resnet"]).eval()
    dilated = network(SELF_ATTENTION["dil-no-stage6"], seed=1).eval()
    load_matching(dilated, strided.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        coarse = strided.stages_4_and_5(images)
        fine = dilated.stages_4_and_5(images)

    for strided_map, dilated_map, step in zip(coarse, fine, (2, 4), strict=True):
        torch.testing.assert_close(dilated_map[:, :, ::step, ::step], strided_map, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SELF_ATTENTION)
def test_every_variant_has_its_stages(name):
    config = SELF_ATTENTION[name]
    with without_weights():
        output = SelfAttentionNet(config, 751).eval()(torch.empty(2, 3, 256, 128), attention_maps=True)
    sizes = [(2, 32, 16)] * 3 if config.dilation else [(2, 16, 8), (2, 8, 4), (2, 8, 4)]

    assert output.logits.shape == (2, 751)
    assert output.embedding.shape == output.feature.shape == (2, 1024)
    assert [tuple(each.shape) for each in output.attention] == sizes[: 2 + config.stage6]


def test_stage_6_is_a_stage_5_with_half_the_channels():
    with without_weights():
        model = SelfAttentionNet(SelfAttentionConfig(), 751)
    stage5, stage6 = (
        [(m.out_channels, m.kernel_size) for m in stage.modules() if isinstance(m, torch.nn.Conv2d)]
        for stage in (model.layer4[1:], model.layer5[1:])
    )

    assert [(2 * channels, kernel) for channels, kernel in stage6] == stage5
    assert model.reduce.in_features == 1024 + 2048 + 1024


def test_attention_map_is_equation_1():
    features = torch.randn(2, 3, 4, 5)
    for sample, result in zip(features, attention_map(features), strict=True):
        expected = torch.tensor([[sum(sample[c, y, x] ** 2 for c in range(3)) / 3 for x in range(5)] for y in range(4)])
        torch.testing.assert_close(result, expected / (expected**2).sum().sqrt())


def test_attention_maps_are_of_length_one_and_not_negative(full, images):
    output = full(images, attention_maps=True)

    assert len(output.attention) == 3
    for each in output.attention:
        torch.testing.assert_close(each.flatten(1).norm(dim=1), torch.ones(2))
        assert each.min() >= 0


def test_attention_map_of_zeros_has_a_finite_gradient():
    features = torch.zeros(1, 2, 3, 3, requires_grad=True)
    attention_map(features).sum().backward()

    assert features.grad.isfinite().all()


def test_the_gradient_reaches_every_parameter(variant, images):
    model = started(deepcopy(variant)).train()
    F.cross_entropy(model(images).logits, torch.tensor([0, 1])).backward()

    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_residual_units_start_as_their_shortcuts(variant):
    """The first unit of a stage as its projection, the others, their input being rectified, as the identity."""
    model = variant.eval()
    for units in (model.layer1, model.layer2, model.layer3, model.layer4, model.layer5):
        if units is not None:
            x = torch.randn(1, units[0].conv1.in_channels, 6, 4)
            torch.testing.assert_close(units(x), F.relu(units[0].downsample(x)))


@pytest.mark.parametrize(("dilation", "phases"), [(1, 16), (2, 4), (4, 1)])
def test_stage_6_mixes_the_lattices_of_stage_5_unless_dilated_like_it(dilation, phases):
    """What reaches one output position lies on `phases` of the 4x4 lattices that a dilation of 4 leaves apart."""
    stage6 = stage(2048, 256, 3, stride=1, dilations=(dilation, dilation)).eval()
    with without_weights():
        assert repr(SelfAttentionNet(SelfAttentionConfig(stage6_dilation=dilation), CLASSES).layer5) == repr(stage6)
    x = torch.rand(1, 2048, 17, 17, requires_grad=True)
    stage6(x)[0, :, 8, 8].sum().backward()
    rows, columns = x.grad[0].abs().sum(0).nonzero(as_tuple=True)

    assert len({(row % 4, column % 4) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}) == phases


def test_evaluation_is_deterministic(full, images):
    torch.testing.assert_close(full(images), full(images), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "sizes"), [("resnet", (8, 4)), ("dil", (16, 16, 16))])
def test_small_images_are_not_reduced_before_the_second_stage(name, sizes):
    config = replace(SELF_ATTENTION[name], small_images=True)
    with without_weights():
        model, other = (SelfAttentionNet(each, 100).eval() for each in (config, SELF_ATTENTION[name]))
        attention = model(torch.empty(2, 3, 32, 32), attention_maps=True).attention

    assert [tuple(each.shape) for each in attention] == [(2, size, size) for size in sizes]
    shapes, usual = ({key: tuple(value.shape) for key, value in each.state_dict().items()} for each in (model, other))
    assert {**usual, "conv1.weight": (64, 3, 3, 3)} == shapes


def test_small_images_pass_the_later_stages_as_usual(full):
    """Behind the first stage nothing differs: a usual network given its output computes the same."""
    small = network(SelfAttentionConfig(small_images=True), seed=1).eval()
    load_matching(small, full.state_dict())
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        stage1 = F.relu(small.bn1(F.conv2d(image, small.conv1.weight, padding=1)))
        expected = full.layer4(full.layer3(full.layer2(full.layer1(stage1))))

        torch.testing.assert_close(small.stages_4_and_5(image)[1], expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dilation": False}, "set dilation=true or multi_level=false"),
        ({"depth": 152}, "depth is 152; choose from 50, 101"),
        ({"stage6_dilation": 0}, "stage6_dilation is 0; it must be a whole number of at least 1"),
    ],
)
def test_wrong_switches_are_refused(wrong, message):
    with pytest.raises(ReidError, match=message):
        SelfAttentionConfig(**wrong)


def test_at_the_start_no_class_is_preferred_and_units_are_their_shortcuts(full) -> None:
    model = deepcopy(full).train()
    with torch.no_grad():
        output = model(torch.randn(4, 3, 32, 16))
    assert output.logits.abs().max() < 0.01 * output.feature.norm(dim=1).max()
    assert not any(unit.bn3.weight.any() for unit in model.modules() if isinstance(unit, Bottleneck))
