import pytest

torch = pytest.importorskip("torch")

from reidtrain.checkpoints import load_checkpoint


@pytest.mark.parametrize(
    ("model", "dilation"), [({"stage6_dilation": 4}, 4), ({"dilation": False, "multi_level": False}, 1)]
)
def test_a_checkpoint_from_before_the_switch_keeps_the_dilation_it_was_trained_with(
    model, dilation, make_checkpoint, tmp_path
):
    now = make_checkpoint("self-attention", model)
    content = torch.load(now.path, weights_only=True)
    del content["reidtrain"]["recipe"]["model"]["stage6_dilation"]
    torch.save(content, tmp_path / "old.ckpt")
    old = load_checkpoint(tmp_path / "old.ckpt")
    images = torch.randn(1, 3, 64, 32)

    assert old.recipe.model.stage6_dilation == dilation
    assert torch.equal(old.model()(images).feature, now.model()(images).feature)
