from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import Checkpoint
from reidtrain.export.agreement import Reference, compare, random_crops
from reidtrain.export.network import EndToEnd, Outputs
from reidtrain.features.extractor import compute_features
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.factory import ModelConfig
from reidtrain.models.self_attention import SelfAttentionConfig

MakeCheckpoint = Callable[..., Checkpoint]
PARTS = ("head", "upper_body", "upper_leg", "lower_leg")
PLAIN = {
    "attention-driven": {"branches": ["whole", "head"], "attention": "none"},
    "self-attention": {"dilation": False, "multi_level": False, "stage6": False},
}
"""Of each network a variant that takes little time."""


def test_weights_that_do_not_fit_are_named_in_short(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = replace(make_checkpoint("attention-driven", PLAIN["attention-driven"]), state={})
    with pytest.raises(ReidError, match=r"do not fit the network .*whole\.\S+weight") as error:
        checkpoint.model()
    assert len(str(error.value)) < len(str(checkpoint.path)) + 300


@pytest.mark.parametrize("network", ["attention-driven", "self-attention"])
def test_samples_as_they_are_stored_give_the_features_that_are_extracted(
    network: str, make_checkpoint: MakeCheckpoint, drawn_shards: Path
) -> None:
    shards = ShardSet.open(drawn_shards, "query")
    # At the sizes of the network nothing is resized, and so nothing rounded.
    names = {"whole": "whole_size", "parts": "part_size", "image": "image_size"}
    checkpoint = make_checkpoint(
        network, PLAIN[network], **{names[view]: size for view, size in shards.stored_sizes.items()}
    )
    expected = compute_features(checkpoint.model(), checkpoint.preprocessor(), shards, workers=0).arrays
    end_to_end = EndToEnd(checkpoint.model(), checkpoint.preprocessor(), Outputs(features=network[0] == "a"))
    views = end_to_end.model.views
    samples = [shards[index] for index in range(len(shards))]
    crops = {view: torch.stack([torch.from_numpy(getattr(sample, view)) for sample in samples]) for view in views}
    with torch.no_grad():
        found = end_to_end(**crops)
    found = {name.removeprefix("feature_"): values for name, values in found.items()}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], torch.from_numpy(values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "model", "names"),
    [
        (
            "attention-driven",
            {},
            [
                *("embedding", "feature_whole", *(f"feature_{part}" for part in PARTS), "feature_fused"),
                *(f"attention_{branch}_{block}" for branch in ("whole", *PARTS) for block in (2, 3, 4)),
            ],
        ),
        (
            "attention-driven",
            {"branches": ["head", "lower_leg"], "fusion": "fc", "attention": "plain"},
            [
                *("embedding", "feature_head", "feature_lower_leg", "feature_fused"),
                *(f"attention_{branch}_{block}" for branch in ("head", "lower_leg") for block in (2, 3, 4)),
            ],
        ),
        ("self-attention", {}, ["embedding", "attention_4", "attention_5", "attention_6"]),
        ("self-attention", PLAIN["self-attention"], ["embedding", "attention_4", "attention_5"]),
    ],
)
def test_outputs_for_crops_of_any_size(
    network: str, model: dict[str, object], names: list[str], make_checkpoint: MakeCheckpoint
) -> None:
    checkpoint = make_checkpoint(network, model)
    outputs = Outputs(features=network == "attention-driven", attention=True)
    reference = Reference(checkpoint.model(), checkpoint.preprocessor(), outputs)
    end_to_end = EndToEnd(checkpoint.model(), checkpoint.preprocessor(), outputs)
    batches = random_crops(end_to_end.model.views, checkpoint.recipe.input.sizes)
    with torch.no_grad():
        assert [*end_to_end(**batches[0])] == [*reference(batches[0])] == names
        assert compare(reference, lambda crops: end_to_end(**crops), batches).relative < 1e-4


def test_embeddings_of_unit_length(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("attention-driven", PLAIN["attention-driven"])
    model, preprocess = checkpoint.model(), checkpoint.preprocessor()
    (crops, *_) = random_crops(model.views, checkpoint.recipe.input.sizes)
    with torch.no_grad():
        plain, unit = (EndToEnd(model, preprocess, Outputs(unit_length=unit))(**crops)["embedding"] for unit in (0, 1))
    assert not torch.allclose(plain.norm(dim=1), torch.ones(len(plain)))
    torch.testing.assert_close(unit, plain / plain.norm(dim=1, keepdim=True))


def test_identity_classifiers_stay_behind(make_checkpoint: MakeCheckpoint) -> None:
    for network, model in PLAIN.items():
        checkpoint = make_checkpoint(network, model)
        end_to_end = EndToEnd(checkpoint.model(), checkpoint.preprocessor(), Outputs())
        assert any("classifier" in name for name in checkpoint.state)
        assert not any("classifier" in name for name in end_to_end.state_dict())


@pytest.mark.parametrize(
    ("model", "outputs", "message"),
    [
        (SelfAttentionConfig(), Outputs(features=True), "--features.*only its embedding"),
        (AttentionDrivenConfig(attention="none"), Outputs(attention=True), "--attention.*no maps"),
    ],
)
def test_outputs_that_a_network_lacks(model: ModelConfig, outputs: Outputs, message: str) -> None:
    with pytest.raises(ReidError, match=message):
        outputs.check(model)
