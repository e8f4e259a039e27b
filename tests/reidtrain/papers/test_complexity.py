from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidtrain.papers.classifiers import alexnet
from reidtrain.papers.complexity import (
    TABLE_12,
    Complexity,
    Cost,
    attention_driven,
    complexities,
    module_costs,
    self_attention,
)
from reidtrain.papers.networks import ATTENTION_DRIVEN, SELF_ATTENTION


@pytest.fixture(scope="module")
def models() -> dict[str, Complexity]:
    """All of them, by name: counting takes a while."""
    return {model.model: model for model in complexities(751)}


def without_classifiers(model: Complexity) -> int:
    return model.total.parameters - model.classifiers.parameters


def test_counts_of_a_convolution_and_a_linear_layer():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, groups=1), torch.nn.Flatten(), torch.nn.Linear(8 * 4, 5))
    costs = module_costs(model, torch.zeros(1, 3, 4, 4))

    assert costs["0"] == Cost(3 * 8 * 9 + 8, 3 * 8 * 9 * 4)
    assert costs["2"] == Cost(32 * 5 + 5, 32 * 5)
    assert costs[""].multiply_adds == 3 * 8 * 9 * 4 + 32 * 5


def test_grouped_convolutions_cost_what_their_groups_cost():
    grouped = module_costs(torch.nn.Conv2d(12, 8, 3, groups=4), torch.zeros(1, 12, 4, 4))[""]
    single = module_costs(torch.nn.Conv2d(3, 2, 3), torch.zeros(1, 3, 4, 4))[""]

    assert grouped == Cost(4 * single.parameters, 4 * single.multiply_adds)


def test_resnet50_has_its_published_cost(models):
    model = models["resnet50 at 224x224"]

    assert model.total.parameters == 25_557_032
    assert model.total.multiply_adds == pytest.approx(4.09e9, rel=0.001)


def test_resnet50_is_counted_as_table_12_counts_it(models):
    model = models["resnet50 at 384x192"]

    assert without_classifiers(model) == pytest.approx(model.paper.parameters, rel=0.001)
    # Published as 3.8 G at 224x224, with the strides in other convolutions.
    scaled = 3.8e9 * 384 * 192 / 224**2
    assert model.paper.multiply_adds == pytest.approx(scaled, rel=0.001)


@pytest.mark.parametrize(
    ("name", "published"), [("alexnet", 60_965_224), ("vgg16", 138_357_544), ("googlenet", 6_998_552)]
)
def test_classifiers_have_their_published_size_and_the_multiply_adds_of_table_12(name, published, models):
    model = models[f"{name}, scaled to 384x192"]

    assert model.total.parameters == published
    assert model.total.multiply_adds == pytest.approx(model.paper.multiply_adds, rel=0.01)
    if name != "alexnet":
        assert without_classifiers(model) == pytest.approx(model.paper.parameters, rel=0.01)


def test_table_12_has_the_parameters_of_alexnet_without_its_two_halves(models):
    with torch.device("meta"):
        whole = module_costs(alexnet(groups=1), torch.empty(1, 3, 224, 224))
    parameters = whole[""].parameters - whole["classifier"].parameters

    assert parameters == pytest.approx(models["alexnet, scaled to 384x192"].paper.parameters, rel=0.001)


def test_every_row_of_table_12_has_a_model(models):
    assert {name for name, model in models.items() if model.paper} == set(TABLE_12)


def test_base_network_has_the_weights_of_table_1(models):
    """Convolutions written out from Table 1, with a projection where a unit changes the channels."""

    def branch(width: int, features: int) -> int:
        weights, channels = 0, 32
        for stage_width in (width, 2 * width, 4 * width, 8 * width):
            for _ in range(3):
                out = 2 * stage_width
                weights += channels * stage_width + 9 * stage_width**2 + stage_width * out
                weights += 2 * (2 * stage_width + out)  # batch norms
                if channels != out:
                    weights += channels * out + 2 * out
                channels = out
        return weights + 2 * 32 + channels * features + features

    model = models["attention-driven aligned"]

    assert without_classifiers(model) == 3 * 32 * 9 + branch(32, 256) + 4 * branch(16, 128)
    assert model.shares["whole"].parameters == branch(32, 256)


@pytest.mark.parametrize(("variant", "within"), [("aligned", 0.1), ("intra+inter", 0.15)])
def test_the_network_is_of_the_papers_size(variant, within, models):
    model = models[f"attention-driven {variant}"]

    assert without_classifiers(model) == pytest.approx(model.paper.parameters, rel=0.07)
    assert model.total.multiply_adds == pytest.approx(model.paper.multiply_adds, rel=within)


def test_decomposed_attention_is_smaller_than_plain(models):
    decomposed, plain = (
        models[f"attention-driven {name}"].shares["attention"] for name in ("intra+inter", "intra+inter-plain")
    )

    assert decomposed.parameters < plain.parameters
    assert decomposed.multiply_adds < plain.multiply_adds


@pytest.mark.parametrize("name", ATTENTION_DRIVEN)
def test_shares_of_the_branches_add_up(name, models):
    model = models[f"attention-driven {name}"]
    shares = [cost for share, cost in model.shares.items() if share != "attention"]

    assert sum(cost.parameters for cost in shares) == model.total.parameters
    assert sum(cost.multiply_adds for cost in shares) == model.total.multiply_adds


@pytest.mark.parametrize("name", SELF_ATTENTION)
def test_shares_of_the_stages_add_up(name, models):
    model = models[f"self-attention {name}"]

    assert sum(cost.parameters for cost in model.shares.values()) == model.total.parameters
    assert sum(cost.multiply_adds for cost in model.shares.values()) == model.total.multiply_adds


def test_the_command_prints_every_model(models, monkeypatch):
    command = pytest.importorskip("reid_cli.reidtrain.complexity", reason="the commands are not installed").complexity
    counted = []

    def complexities(classes):
        counted.append(classes)
        return iter(models.values())

    monkeypatch.setattr("reidtrain.papers.complexity.complexities", complexities)
    table = CliRunner().invoke(command, [])
    values = CliRunner().invoke(command, ["--classes", "10", "--json"])

    assert table.exit_code == values.exit_code == 0 and counted == [751, 10]
    printed = json.loads(values.stdout)
    assert [model["model"] for model in printed] == list(models)
    assert all(name in table.stdout for name in models)
    assert printed[0]["shares"]["whole"]["parameters"] > printed[0]["shares"]["head"]["parameters"]


def test_classifiers_are_those_of_the_classes_asked_for():
    assert attention_driven("head", 10).classifiers.parameters == 10 * (128 + 1)
    assert self_attention("resnet", 10).classifiers.parameters == 10 * (1024 + 1)
