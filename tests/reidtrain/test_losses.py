import math

import pytest

torch = pytest.importorskip("torch")

from reidtrain.losses import attention_driven_loss, cross_entropy, quadruplet_hard_loss, sac_loss, triplet_hard_loss
from reidtrain.models.self_attention import attention_map

RANKING_LOSSES = [triplet_hard_loss, quadruplet_hard_loss]


def distance(first, second):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(first.tolist(), second.tolist(), strict=True)))


def explicit_mining(features, labels):
    """(anchor, hardest positive, hardest negative, its hardest negative or None) of each anchor that has a triplet."""
    labels = labels.tolist()
    everyone = range(len(labels))
    for i in everyone:
        positives = [j for j in everyone if j != i and labels[j] == labels[i]]
        negatives = [k for k in everyone if labels[k] != labels[i]]
        if positives and negatives:
            j = max(positives, key=lambda other: distance(features[i], features[other]))
            k = min(negatives, key=lambda other: distance(features[i], features[other]))
            others = [h for h in everyone if labels[h] not in (labels[i], labels[k])]
            h = min(others, key=lambda other: distance(features[k], features[other])) if others else None
            yield i, j, k, h


def mean(values):
    return sum(values) / len(values) if values else 0.0


def explicit_triplet(features, labels, margin=0.5):
    return mean(
        [
            max(0.0, distance(features[i], features[j]) - distance(features[i], features[k]) + margin)
            for i, j, k, _ in explicit_mining(features, labels)
        ]
    )


def explicit_quadruplet(features, labels, margin=0.5, wide_margin=0.2):
    second = [
        max(0.0, distance(features[i], features[j]) - distance(features[k], features[h]) + wide_margin)
        for i, j, k, h in explicit_mining(features, labels)
        if h is not None
    ]
    return explicit_triplet(features, labels, margin) + mean(second)


def explicit_cross_entropy(logits, labels, smoothing=0.0):
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        target = [smoothing / len(row) + (1 - smoothing) * (c == label) for c in range(len(row))]
        losses.append(-sum(t * (value - math.log(total)) for t, value in zip(target, row, strict=True)))
    return mean(losses)


def explicit_attention_map(features):
    maps = []
    for image in features.tolist():
        height, width = len(image[0]), len(image[0][0])
        means = [[mean([channel[y][x] ** 2 for channel in image]) for x in range(width)] for y in range(height)]
        length = math.sqrt(sum(value**2 for row in means for value in row))
        maps.append([[value / length for value in row] for row in means])
    return maps


def features_of(labels, dimension=5, seed=0, scale=0.15):
    """Clouds that overlap, so that some hinges are active and some are not."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(labels)
    centres = torch.randn(int(labels.max()) + 1, dimension, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(labels), dimension, generator=generator, dtype=torch.float64)
    return (scale * centres[labels] + 0.2 * noise), labels


BATCHES = {
    "pk": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "shuffled": [2, 0, 1, 3, 0, 1, 2, 3, 3, 2, 1, 0],
    "uneven": [0, 0, 0, 0, 1, 1, 2, 5, 5],
    "two identities": [0, 0, 1, 1],
    "some without a positive": [0, 0, 1, 2],
    "only one without a positive": [0, 0, 0, 1],
}
NO_TERM = {"one identity": [0, 0, 0], "all different": [0, 1, 2, 3], "one image": [0]}


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize("seed", range(3))
def test_ranking_losses_equal_the_explicit_loops(labels, seed):
    features, labels = features_of(labels, seed=seed)
    assert triplet_hard_loss(features, labels).item() == pytest.approx(explicit_triplet(features, labels))
    assert quadruplet_hard_loss(features, labels).item() == pytest.approx(explicit_quadruplet(features, labels))
    assert explicit_triplet(features, labels) > 0


def test_margins_are_used():
    features, labels = features_of(BATCHES["pk"])
    assert triplet_hard_loss(features, labels, 0.1).item() == pytest.approx(explicit_triplet(features, labels, 0.1))
    assert quadruplet_hard_loss(features, labels, 0.1, 0.9).item() == pytest.approx(
        explicit_quadruplet(features, labels, 0.1, 0.9)
    )


def test_quadruplet_by_hand():
    # On a line: anchors of 0 at 0 and 1, 1 at 1.5 and 1.6, 2 at 2 and 2.3.
    features = torch.tensor([[0.0], [1.0], [1.5], [1.6], [2.0], [2.3]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    # d_ij: 1, 1, .1, .1, .3, .3; d_ik: 1.5, .5, .5, .4, .4, .7; k: 2, 2, 1, 4, 3, 3
    triplet = (0 + 1 + 0.1 + 0.2 + 0.4 + 0.1) / 6
    # nearest of the third identity to k: for i = 0, 1: 4 from 2 (.5); i = 2: 4 from 1 (1); i = 3: 1 from 4 (1);
    # i = 4, 5: 1 from 3 (.6)
    wide = (0.7 + 0.7 + 0 + 0 + 0 + 0) / 6
    assert triplet_hard_loss(features, labels).item() == pytest.approx(triplet)
    assert quadruplet_hard_loss(features, labels).item() == pytest.approx(triplet + wide)


def test_two_identities_leave_the_triplet_term():
    features, labels = features_of(BATCHES["two identities"])
    assert quadruplet_hard_loss(features, labels) == triplet_hard_loss(features, labels)


@pytest.mark.parametrize("loss", RANKING_LOSSES)
@pytest.mark.parametrize("labels", NO_TERM.values(), ids=NO_TERM.keys())
def test_batches_without_any_term_give_zero_that_can_be_trained_on(loss, labels):
    features, labels = features_of(labels)
    features.requires_grad_()
    value = loss(features, labels)
    value.backward()
    assert value.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("loss", RANKING_LOSSES)
@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES.keys())
def test_ranking_gradients(loss, labels):
    features, labels = features_of(labels, seed=4)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), features.requires_grad_())


@pytest.mark.parametrize("loss", RANKING_LOSSES)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e18])
def test_gradient_is_finite_at_extreme_distances(loss, scale):
    features = scale * torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    features = features.requires_grad_()
    value = loss(features, torch.tensor(BATCHES["pk"]))
    value.backward()
    assert value.isfinite()
    assert features.grad.isfinite().all()


def test_repeated_image_as_positive_has_finite_gradient():
    features, labels = features_of([0, 0, 1, 1, 2, 2])
    features[1] = features[0]
    features.requires_grad_()
    quadruplet_hard_loss(features, labels).backward()
    assert features.grad.isfinite().all()


def test_near_images_are_told_apart_far_from_the_origin():
    # Through the product form of the distance, all of these would round to the same.
    features = torch.tensor([[1000.0], [1000.01], [1000.03], [1000.06]])
    labels = torch.tensor([0, 0, 1, 1])
    assert triplet_hard_loss(features, labels).item() == pytest.approx(
        explicit_triplet(features.double(), labels), rel=1e-4
    )


def test_nan_features_are_not_hidden():
    features, labels = features_of(BATCHES["pk"])
    features[3, 0] = torch.nan
    assert triplet_hard_loss(features, labels).isnan()
    assert quadruplet_hard_loss(features, labels).isnan()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy(smoothing):
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 0, 0])
    expected = explicit_cross_entropy(logits, labels, smoothing)
    assert cross_entropy(logits, labels, smoothing).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, smoothing), logits)


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5])
def test_attention_driven_loss(weight):
    generator = torch.Generator().manual_seed(0)
    *branches, fused = (torch.randn(4, 3, dtype=torch.float64, generator=generator) for _ in range(6))
    labels = torch.tensor([0, 2, 1, 1])
    apart = [explicit_cross_entropy(logits, labels, 0.1) for logits in branches]
    expected = weight * sum(apart) + explicit_cross_entropy(fused, labels, 0.1)
    assert attention_driven_loss(branches, fused, labels, weight, 0.1).item() == pytest.approx(expected)
    assert attention_driven_loss(branches, None, labels, weight, 0.1).item() == pytest.approx(sum(apart))
    assert attention_driven_loss([], fused, labels).item() == pytest.approx(explicit_cross_entropy(fused, labels))
    with pytest.raises(ValueError, match="logits"):
        attention_driven_loss([], None, labels)


def test_sac_equals_the_explicit_loop():
    generator = torch.Generator().manual_seed(0)
    stages = [torch.randn(3, channels, 4, 2, generator=generator, dtype=torch.float64) for channels in (5, 7, 6)]
    a4, a5, a6 = map(explicit_attention_map, stages)
    expected = mean(
        [
            sum((a6[n][y][x] - other[n][y][x]) ** 2 for other in (a5, a4) for y in range(4) for x in range(2))
            for n in range(3)
        ]
    )
    maps = [attention_map(stage) for stage in stages]
    assert maps[0].flatten().tolist() == pytest.approx([value for m in a4 for row in m for value in row])
    assert sac_loss(*maps).item() == pytest.approx(expected)
    assert sac_loss(maps[2], maps[2], maps[2]).item() == 0


def test_sac_gradients_reach_all_stages():
    generator = torch.Generator().manual_seed(0)
    stages = [
        torch.randn(2, channels, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
        for channels in (3, 4, 2)
    ]
    assert torch.autograd.gradcheck(lambda *features: sac_loss(*map(attention_map, features)), stages)
    sac_loss(*map(attention_map, stages)).backward()
    assert all(stage.grad.abs().sum() > 0 for stage in stages)


def test_dead_stage_has_a_zero_map_and_finite_gradient():
    stages = [torch.zeros(2, 3, 4, 2, requires_grad=True), torch.rand(2, 3, 4, 2), torch.rand(2, 3, 4, 2)]
    value = sac_loss(*map(attention_map, stages))
    value.backward()
    assert value.isfinite()
    assert stages[0].grad.isfinite().all()


def test_autocast_keeps_the_losses_in_float32():
    features, labels = features_of(BATCHES["pk"])
    features = features.bfloat16()
    stages = [torch.rand(2, 3, 4, 2).bfloat16() for _ in range(3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = [loss(features, labels) for loss in RANKING_LOSSES]
        values += [cross_entropy(features, labels), attention_driven_loss([features], features, labels)]
        values += [sac_loss(*map(attention_map, stages))]
    assert [value.dtype for value in values] == [torch.float32] * 5
    # What bfloat16 features lost before, the loss does not lose again.
    assert values[1].item() == pytest.approx(explicit_quadruplet(features.double(), labels), rel=1e-5)
