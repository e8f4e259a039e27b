from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache

import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from torch.nn import functional as F

from reidprep.errors import ReidError
from reidprep.skeleton import PARTS
from reidtrain.models.attention_driven import (
    BRANCHES,
    AttentionDrivenConfig,
    AttentionDrivenNet,
    AttentionDrivenOutput,
    Block,
)
from reidtrain.models.intra_attention import DecomposedMask, EncoderDecoder, IntraAttention, PlainMask
from reidtrain.models.layers import Bottleneck, GroupedLinear
from reidtrain.papers.networks import ATTENTION_DRIVEN

CLASSES = 5
FULL = AttentionDrivenConfig()


@pytest.fixture(scope="module")
def crops() -> tuple[torch.Tensor, torch.Tensor]:
    """Two samples at an eighth of the resolution."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 48, 24, generator=generator), torch.randn(2, 4, 3, 12, 24, generator=generator)


def network(config: AttentionDrivenConfig = FULL, seed: int = 0, **options: str) -> AttentionDrivenNet:
    torch.manual_seed(seed)
    return AttentionDrivenNet(config, CLASSES, **options)


@lru_cache(4)
def shared(config: AttentionDrivenConfig = FULL) -> AttentionDrivenNet:
    """In evaluation mode, made once. Read only."""
    return network(config).eval()


def loss(output: AttentionDrivenOutput) -> torch.Tensor:
    logits = [*output.branch_logits.values(), output.fused_logits]
    target = torch.tensor([0, 1])
    return sum(F.cross_entropy(value, target) for value in logits if value is not None)


@pytest.mark.parametrize("name", ATTENTION_DRIVEN)
def test_every_variant_has_the_outputs_of_its_branches(name, crops):
    config = ATTENTION_DRIVEN[name]
    output = shared(config)(*crops, attention_maps=True)

    assert tuple(output.features) == tuple(output.branch_logits) == tuple(output.attention) == config.branches
    for branch in config.branches:
        assert output.features[branch].shape == (2, 256 if branch == "whole" else 128)
        assert output.branch_logits[branch].shape == (2, CLASSES)
        assert len(output.attention[branch]) == (0 if config.attention == "none" else 3)
    learnt = config.fusion != "concatenation" and len(config.parts) > 1
    assert (output.fused_logits is not None) == learnt
    if learnt:
        assert output.fused_logits.shape == (2, CLASSES)
    size = 256 * ("whole" in config.branches) + 128 * len(config.parts)
    assert output.embedding.shape == (2, size)


def test_attention_maps_have_the_resolution_of_their_blocks():
    output = shared()(torch.randn(1, 3, 384, 192), torch.randn(1, 4, 3, 96, 192), attention_maps=True)

    assert [tuple(each.shape) for each in output.attention["whole"]] == [(1, 48, 24), (1, 24, 12), (1, 24, 12)]
    for part in PARTS:
        assert [tuple(each.shape) for each in output.attention[part]] == [(1, 24, 24), (1, 12, 12), (1, 12, 12)]
    for each in (each for maps in output.attention.values() for each in maps):
        assert 0 <= each.min() <= each.max() <= 1


@pytest.mark.parametrize("attention", ["decomposed", "plain"])
def test_under_autocast_every_block_computes_in_half_precision(attention):
    model = network(AttentionDrivenConfig(branches=("whole",), attention=attention))
    kinds = []
    for module in model.modules():
        if isinstance(module, Block | IntraAttention | EncoderDecoder | Bottleneck):
            module.register_forward_hook(lambda _, __, out: kinds.extend(out if isinstance(out, tuple) else [out]))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 48, 24))

    assert {each.dtype for each in kinds if each is not None} == {torch.bfloat16}


def test_attention_maps_are_returned_only_when_asked_for(crops):
    model = shared()
    with_maps, without = model(*crops, attention_maps=True), model(*crops)

    assert without.attention == {}
    assert torch.equal(with_maps.embedding, without.embedding)


def test_crops_that_no_branch_needs_may_be_left_out(crops):
    whole, parts = crops

    assert set(shared(ATTENTION_DRIVEN["whole"])(whole=whole).features) == {"whole"}
    assert set(shared(ATTENTION_DRIVEN["parts"])(parts=parts).features) == set(PARTS)


@pytest.mark.parametrize("given", ["whole", "parts", "three parts"])
def test_missing_crops_are_refused(given, crops):
    whole, parts = crops
    inputs = {
        "whole": {"whole": whole},
        "parts": {"parts": parts},
        "three parts": {"whole": whole, "parts": parts[:, 1:]},
    }

    with pytest.raises(ReidError, match="branch(es)? needs? "):
        shared()(**inputs[given])


def test_a_part_branch_sees_its_own_crop_only(crops):
    whole, parts = crops
    model = shared()
    changed = parts.clone()
    changed[:, PARTS.index("upper_leg")] += 1
    before, after = model(whole, parts), model(whole, changed)

    assert [name for name in BRANCHES if not torch.equal(before.features[name], after.features[name])] == ["upper_leg"]


def test_a_subset_of_parts_reads_the_crops_of_its_names(crops):
    _, parts = crops
    pair = network(AttentionDrivenConfig(branches=("head", "lower_leg"))).eval()
    changed = parts.clone()
    changed[:, [PARTS.index("upper_body"), PARTS.index("upper_leg")]] += 1

    assert torch.equal(pair(parts=parts).embedding, pair(parts=changed).embedding)
    changed[:, PARTS.index("lower_leg")] += 1
    assert not torch.equal(pair(parts=parts).features["lower_leg"], pair(parts=changed).features["lower_leg"])


@pytest.mark.parametrize(
    "config",
    [
        AttentionDrivenConfig(PARTS),
        AttentionDrivenConfig(PARTS[:2], attention="plain"),
        AttentionDrivenConfig(PARTS[1:3]),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_grouped_and_separate_part_branches_agree(config, training, crops):
    grouped = network(config, part_computation="grouped").double().train(training)
    separate = deepcopy(grouped)
    separate.part_computation = "separate"
    outputs = []
    for model in (grouped, separate):
        torch.manual_seed(2)  # dropout
        outputs.append(model(*(crop.double() for crop in crops), attention_maps=True))
        loss(outputs[-1]).backward()

    torch.testing.assert_close(outputs[0], outputs[1])
    for (name, one), other in zip(grouped.named_parameters(), separate.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=lambda text, name=name: f"{name}: {text}")
    for (name, one), other in zip(grouped.named_buffers(), separate.buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("pixels", "chosen"), [(0, "separate"), (10**9, "grouped")])
def test_auto_separates_the_part_branches_of_large_inputs_on_a_cpu(pixels, chosen, crops, monkeypatch):
    monkeypatch.setattr("reidtrain.models.attention_driven.FEW_PIXELS", pixels)
    model, outputs = shared(AttentionDrivenConfig(PARTS)), []
    for choice in ("auto", chosen):
        monkeypatch.setattr(model, "part_computation", choice)
        outputs.append(model(parts=crops[1]).embedding)

    assert torch.equal(*outputs)


def test_stacked_part_branches_equal_one_branch_each(crops):
    """Against networks with one part branch, whose weights are slices of the stacked ones."""
    _, parts = crops
    everything = shared(ATTENTION_DRIVEN["parts"])
    expected = everything(parts=parts).features
    for index, name in enumerate(PARTS):
        alone = network(AttentionDrivenConfig(branches=(name,)), seed=1).eval()
        alone.load_state_dict(
            {
                key: value.chunk(4)[index] if key.startswith(("parts.", "part_classifiers")) and value.ndim else value
                for key, value in everything.state_dict().items()
                if not key.startswith(("fusion", "fused"))
            }
        )
        torch.testing.assert_close(alone(parts=parts).features[name], expected[name])


@pytest.mark.parametrize("name", ATTENTION_DRIVEN)
def test_the_gradient_reaches_every_parameter(name, crops):
    model = network(replace(ATTENTION_DRIVEN[name], dropout=0.0))
    for module in model.modules():
        if isinstance(module, Bottleneck):
            # As after a step: at the start a unit is its shortcut alone.
            torch.nn.init.ones_(module.bn3.weight)
    loss(model(*crops)).backward()

    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_without_branch_losses_the_whole_branch_learns_nothing(crops):
    """Lambda 0 (Table 10): the fused feature is that of the parts."""
    model = network()
    model(*crops).fused_logits.sum().backward()

    assert all(value.grad is None for value in model.whole.parameters())


def test_evaluation_is_deterministic_and_training_drops_out(crops):
    model = network()
    assert not torch.equal(model(*crops).fused_logits, model(*crops).fused_logits)
    model.eval()
    first, second = model(*crops), model(*crops)

    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_whole_and_fused_part_weigh_the_same_in_the_embedding(crops):
    output = shared()(*crops)

    torch.testing.assert_close(output.embedding[:, :256].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(output.embedding[:, 256:], F.normalize(output.fused, dim=1))


def test_concatenated_parts_weigh_the_same(crops):
    output = shared(ATTENTION_DRIVEN["aligned"])(*crops)
    parts = [F.normalize(output.features[name], dim=1) for name in PARTS]

    torch.testing.assert_close(output.fused, torch.cat(parts, 1))
    torch.testing.assert_close(output.embedding[:, 256:], torch.cat(parts, 1) / 2)


def test_global_fc_fuses_the_whole_body_with_the_parts(crops):
    """ "Fusion of global and local features", in training and testing (section 4.4)."""
    model = shared(ATTENTION_DRIVEN["global-fc"])
    output = model(*crops)
    joined = torch.cat([output.features[name] for name in BRANCHES], 1)
    fused = joined @ model.fusion.fc.weight.T + model.fusion.fc.bias

    torch.testing.assert_close(output.embedding, F.normalize(fused, dim=1))
    torch.testing.assert_close(output.fused_logits, model.fused_classifier(fused))


def test_inter_attention_weighs_each_part_by_its_importance(crops):
    """Equations 8 and 9, part by part."""
    model = shared()
    output = model(*crops)
    layer = model.fusion.importance
    expected = [
        (1 + torch.sigmoid(output.features[name] @ layer.weight[i, 0] + layer.bias[i]))[:, None] * output.features[name]
        for i, name in enumerate(PARTS)
    ]

    torch.testing.assert_close(output.fused, torch.cat(expected, 1))


def test_decomposed_mask_is_the_formula():
    """Equation 6 and m = sigmoid(conv(S x C)), group by group and with the product written out."""
    groups, channels, out = 2, 3, 4
    mask = DecomposedMask(channels, out, stride=2, groups=groups).eval()
    for _, norm in (mask.spatial, mask.channel):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    scores = torch.randn(2, groups * channels, 6, 8)
    result = mask(scores)
    for group, a in enumerate(scores.chunk(groups, 1)):

        def normed(values, norm, group=group):
            mean, var, weight, bias = (
                getattr(norm, name).chunk(groups)[group][:, None, None]
                for name in ("running_mean", "running_var", "weight", "bias")
            )
            return (values - mean) / torch.sqrt(var + norm.eps) * weight + bias

        weights = [layer.weight.chunk(groups)[group] for layer in (mask.spatial[0], mask.channel[0], mask.mix)]
        spatial = normed(F.conv2d(a, weights[0], stride=2, padding=1), mask.spatial[1])
        channel = normed(F.conv2d(a.mean((2, 3), keepdim=True), weights[1]), mask.channel[1])
        expected = torch.sigmoid(F.conv2d(spatial * channel, weights[2], mask.mix.bias.chunk(groups)[group]))
        torch.testing.assert_close(result.chunk(groups, 1)[group], expected)


@pytest.mark.parametrize("kind", [DecomposedMask, PlainMask])
def test_masks_of_large_scores_are_not_saturated(kind):
    """Scores are sums of what was rectified, and grow with depth and training."""
    scores = 1000 * torch.rand(4, 8, 6, 6)
    logits = torch.logit(kind(8, 8, stride=1)(scores))
    assert logits.abs().max() < 20
    assert logits.std((2, 3)).min() > 1e-3


def test_decomposed_attention_varies_less_than_plain_attention():
    """The logit of the decomposed mask is of rank one over positions and channels; that of the plain one is not."""
    scores = torch.randn(1, 8, 6, 6)
    ranks = {}
    for kind in (DecomposedMask, PlainMask):
        mask = kind(8, 8, stride=1).eval()
        logit = torch.logit(mask(scores).double())[0].flatten(1) - mask.mix.bias[:, None]
        ranks[kind] = torch.linalg.matrix_rank(logit, rtol=1e-3).item()

    assert ranks[DecomposedMask] == 1 < ranks[PlainMask]


@pytest.mark.parametrize("size", [(24, 12), (25, 13), (6, 3)])
def test_encoder_decoder_keeps_the_shape(size):
    v = torch.randn(2, 8, *size)

    assert EncoderDecoder(8, 4, poolings=2)(v).shape == v.shape


@pytest.mark.parametrize("name", ["intra+inter", "intra+inter-plain"])
def test_masks_do_not_start_saturated(name, crops):
    output = network(ATTENTION_DRIVEN[name])(*crops, attention_maps=True)

    for each in (each for maps in output.attention.values() for each in maps):
        assert 0.2 < each.min() <= each.max() < 0.8


def test_stacked_weights_start_like_those_of_single_branches():
    model = shared()
    for part, whole in ((model.parts.conv2x, model.whole.conv2x), (model.parts.conv5x, model.whole.conv5x)):
        ours, theirs = part.units[1].conv2.weight, whole.units[1].conv2.weight
        # He's deviation goes with one over the root of the width, which is half in parts.
        assert ours.std().item() == pytest.approx(math.sqrt(2) * theirs.std().item(), rel=0.05)


def test_grouped_linear_is_one_linear_layer_per_group():
    layer, x = GroupedLinear(3, 2, groups=4), torch.randn(5, 4, 3)
    expected = [F.linear(x[:, group], layer.weight[group], layer.bias[group]) for group in range(4)]

    torch.testing.assert_close(layer(x), torch.stack(expected, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attention": "spatial"}, "attention: 'spatial' is unknown; choose from decomposed, plain, none"),
        ({"fusion": "mean"}, "fusion: 'mean' is unknown; choose from inter-attention, fc, global-fc, concatenation"),
        ({"fusion": "global-fc", "branches": ("whole",)}, "name 'whole' and a part in branches"),
        (
            {"branches": ("whole", "feet")},
            "'feet' is unknown; choose from whole, head, upper_body, upper_leg, lower_leg",
        ),
        ({"branches": ()}, "branches: none"),
        ({"branches": ("head", "whole")}, "in the order whole, head"),
        ({"branches": ("head", "head")}, "at most once"),
        ({"dropout": 1.0}, "dropout: 1.0"),
    ],
)
def test_wrong_switches_are_refused(wrong, message):
    with pytest.raises(ReidError, match=message):
        AttentionDrivenConfig(**wrong)


def test_an_unknown_part_computation_is_refused():
    with pytest.raises(ReidError, match="part_computation: 'vmap' is unknown; choose from auto, grouped, separate"):
        network(part_computation="vmap")
