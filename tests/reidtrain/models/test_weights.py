from __future__ import annotations

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from torch import nn

from reidprep.errors import ReidError
from reidtrain.models.attention_driven import BRANCHES, AttentionDrivenConfig, AttentionDrivenNet
from reidtrain.models.layers import without_weights
from reidtrain.models.self_attention import ResNet50, SelfAttentionConfig, SelfAttentionNet
from reidtrain.models.weights import adapt_parts, load_matching, read_weights


class Small(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(2, 4)
        self.classifier = nn.Linear(4, classes)


class Harmful:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_layers_that_do_not_fit_are_named_and_kept():
    model, other = Small(3), Small(5)
    state = {**other.state_dict(), "extra.weight": torch.zeros(1)}
    del state["classifier.bias"]
    kept = model.classifier.weight.clone()
    report = load_matching(model, state)

    assert report.loaded == ("body.weight", "body.bias")
    assert report.missing == ("classifier.bias",)
    assert report.unused == ("extra.weight",)
    assert report.mismatched == (("classifier.weight", (5, 4), (3, 4)),)
    assert torch.equal(model.body.weight, other.body.weight)
    assert torch.equal(model.classifier.weight, kept)
    assert report.describe() == [
        "2 of 4 tensors loaded",
        "not in the weights, left as they were: classifier",
        "in the weights, not in the model: extra",
        "another shape: classifier.weight is (5, 4), the model has (3, 4)",
    ]


def test_weights_of_another_model_are_refused():
    with pytest.raises(ReidError, match=r"'features\.0'.*'body\.weight'"):
        load_matching(Small(), {"features.0": torch.zeros(1)})


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_dict_is_read_back(tmp_path, wrapped):
    state = {f"model.{name}": value for name, value in Small().state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "weights.pt")
    read = read_weights(tmp_path / "weights.pt", prefix="model.")

    assert list(read) == list(Small().state_dict())
    assert torch.equal(read["body.weight"], state["model.body.weight"])


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda state: {"model": state, "iteration": 1}, ""),
        (lambda state: {"state_dict": state, "rank1": np.float64(0.5), "time": np.str_("now")}, ""),
        (lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}}, "module."),
        (lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()}, "module._orig_mod."),
        (
            lambda state: {"model": {f"backbone.{k}": v for k, v in state.items()} | {"heads.w": torch.ones(1)}},
            "backbone.",
        ),
    ],
    ids=["key model", "NumPy numbers", "DataParallel", "compiled", "fast-reid"],
)
def test_what_others_save_is_loaded(tmp_path, wrap, prefix):
    model, other = Small(), Small()
    torch.save(wrap(other.state_dict()), tmp_path / "weights.pth")
    report = load_matching(model, read_weights(tmp_path / "weights.pth"))

    assert (report.missing, report.mismatched, report.prefix) == ((), (), prefix)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert (f"named without {prefix!r}" in report.describe()[0]) == bool(prefix)


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"weight": Harmful()}, tmp_path / "weights.pt")

    with pytest.raises(
        ReidError, match=r"cannot be read as weights \(it holds \S*print, which could run code\)"
    ) as error:
        read_weights(tmp_path / "weights.pt")
    assert "weights_only" not in str(error.value)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 cut short", "cannot be read"),
        (b"<html>not found</html>", r"cannot be read as weights \(it is damaged, or another kind of file\)"),
        (pickle.dumps([1, 2], protocol=2), "cannot be read|not a state dict"),
        (pickle.dumps({"a": 1}, protocol=5), "cannot be read"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, recwarn, content, message):
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ReidError, match=message) as error:
        read_weights(path)
    assert not recwarn.list and "weights_only" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "a list, not a state dict"),
        ({"epoch": 1, "net": {}}, r"not a state dict; it has epoch \(int\), net \(dict\)"),
        ({"other.weight": torch.zeros(1)}, r"it has other.weight \(Tensor\)"),
    ],
)
def test_files_with_other_things_are_refused(tmp_path, value, message):
    torch.save(value, tmp_path / "weights.pt")

    with pytest.raises(ReidError, match=message):
        read_weights(tmp_path / "weights.pt", prefix="model.")


def network(branches, seed=0, classes=3, **options):
    torch.manual_seed(seed)
    return AttentionDrivenNet(AttentionDrivenConfig(tuple(branches), **options), classes).eval()


@pytest.fixture(scope="module")
def five():
    """All branches, with statistics that differ from branch to branch."""
    model = network(BRANCHES)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn(2, 3, 48, 24), torch.randn(2, 4, 3, 24, 24))
    return model.eval().double()


@pytest.mark.parametrize(
    "branches",
    [
        ("whole",),
        ("head",),
        ("lower_leg",),
        ("whole", "upper_leg"),
        ("upper_body", "lower_leg"),
        ("head", "upper_body", "upper_leg", "lower_leg"),
        BRANCHES,
    ],
)
def test_some_branches_of_five_compute_what_they_did(five, branches):
    model = network(branches, seed=1).double()
    report = load_matching(model, adapt_parts(five.state_dict(), BRANCHES, branches))
    crops = {"whole": torch.randn(2, 3, 48, 24).double(), "parts": torch.randn(2, 4, 3, 24, 24).double()}
    with torch.no_grad():
        expected, output = five(**crops), model(**{view: crops[view] for view in model.views})

    assert report.mismatched == ()
    mixes_parts = len(model.config.parts) == 2
    assert report.missing == (("fused_classifier.weight", "fused_classifier.bias") if mixes_parts else ())
    for branch in branches:
        torch.testing.assert_close(output.features[branch], expected.features[branch])
        torch.testing.assert_close(output.branch_logits[branch], expected.branch_logits[branch])
    if mixes_parts:
        torch.testing.assert_close(output.fused, expected.fused.view(2, 4, 128)[:, [1, 3]].flatten(1))


def test_a_part_is_not_taken_for_another():
    head = network(("whole", "head")).state_dict()
    for branches in (("lower_leg",), ("head", "lower_leg")):
        model = network(branches, seed=1)
        report = load_matching(model, adapt_parts(head, ("whole", "head"), branches))

        assert report.loaded == ("conv1.weight",)
        assert {"parts.bn1.weight", "part_classifiers.weight"} <= set(report.missing)
        assert {name.split(".")[0] for name in report.unused} == {"whole", "whole_classifier"}


def checkpoint(path, model, branches):
    """A file as `reidtrain fit` leaves it."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state["preprocessor.whole_mean"] = torch.zeros(3, 1, 1)
    about = {"recipe": {"network": "attention-driven", "model": {"branches": list(branches)}}}
    torch.save({"state_dict": state, "reidtrain": about, "epoch": 1}, path)
    return path


def test_parts_of_a_checkpoint_are_matched_by_name(tmp_path):
    weights = network(("whole", "upper_leg", "lower_leg"))
    path = checkpoint(tmp_path / "last.ckpt", weights, weights.config.branches)

    assert list(read_weights(path)) == list(weights.state_dict())
    model = network(("lower_leg",), seed=1)
    report = load_matching(model, read_weights(path, model=model))
    assert report.missing == report.mismatched == ()
    assert torch.equal(model.part_classifiers.weight[0], weights.part_classifiers.weight[1])
    assert torch.equal(model.parts.reduce.weight[0], weights.parts.reduce.weight[1])


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"recipe": None},
        {"recipe": {"model": {"dilation": True}}},
        {"recipe": {"model": {"branches": ["head"] * 3}}},
    ],
)
def test_a_checkpoint_that_does_not_say_its_branches_is_refused(tmp_path, about):
    path = tmp_path / "last.ckpt"
    state = {f"model.{name}": value for name, value in network(("whole", "head")).state_dict().items()}
    torch.save({"state_dict": state, "reidtrain": about}, path)

    with pytest.raises(ReidError, match="does not say which branches its weights are of"):
        read_weights(path, model=network(("head",)))


def test_layers_that_mix_other_parts_are_left_out():
    weights = network(("head", "upper_body"), fusion="fc").state_dict()
    report = load_matching(
        network(("head",), seed=1, fusion="fc"), adapt_parts(weights, ("head", "upper_body"), ("head",))
    )
    assert report.missing == report.unused == report.mismatched == ()

    same_shapes = network(("head", "lower_leg"), seed=1, fusion="fc")
    adapted = adapt_parts(weights, ("head", "upper_body"), ("head", "lower_leg"))
    assert load_matching(same_shapes, adapted).loaded == ("conv1.weight",)


def test_classifiers_of_other_classes_are_named():
    branches = ("whole", "head", "lower_leg")
    report = load_matching(network(branches), network(branches, seed=1, classes=4).state_dict())
    classifiers = ("whole_classifier", "part_classifiers", "fused_classifier")

    assert [name for name, _, _ in report.mismatched] == [
        f"{name}.{kind}" for name in classifiers for kind in ("weight", "bias")
    ]
    assert "another shape: part_classifiers.bias is (2, 4), the model has (2, 3)" in report.describe()


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")
def test_imagenet_layers_that_the_self_attention_network_cannot_use_are_named():
    """ResNet50 has torchvision's names, see test_self_attention.py."""
    with without_weights():  # which weights there are is all that is asked
        weights = ResNet50(classes=1000).state_dict()
        plain, small = (SelfAttentionNet(SelfAttentionConfig(small_images=small), 5) for small in (False, True))
    stage6 = ", ".join(
        f"layer5.{unit}.{layer}"
        for unit in range(3)
        for layer in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", *(["downsample.0", "downsample.1"] * (not unit)))
    )
    lines = load_matching(plain, weights).describe()

    assert lines == [
        f"318 of {len(plain.state_dict())} tensors loaded",
        f"not in the weights, left as they were: {stage6}, reduce, classifier",
        "in the weights, not in the model: fc",
    ]
    assert load_matching(small, weights).describe()[1:] == [
        *lines[1:],
        "another shape: conv1.weight is (64, 3, 7, 7), the model has (64, 3, 3, 3)",
    ]
