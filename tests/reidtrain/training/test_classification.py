from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning", reason="training needs Lightning: pip install 'reidprep[train]'")

from reidprep.errors import ReidError
from reidtrain.checkpoints import load_checkpoint
from reidtrain.data.classification.registry import open_classification
from reidtrain.features.extractor import compute
from reidtrain.losses import forward_options
from reidtrain.models.factory import build_model
from reidtrain.models.layers import without_weights
from reidtrain.models.weights import load_matching, read_weights
from reidtrain.recipes.loading import load_recipe
from reidtrain.recipes.names import recipe_names
from reidtrain.training.classification import class_ranks, classification_task, error_rates, pretrain
from reidtrain.training.fit import Machine

NAMES = ("pretrain-attention-driven", "pretrain-self-attention", "cifar100-resnet", "cifar100-resnet-dil-sac")
TINY = (
    "model.small_images=false",
    "stages.0.batch.size=8",
    "stages.0.epochs=1",
    "stages.0.optimizer.lr=0.001",
    "stages.0.optimizer.momentum=0",
    "stages.0.optimizer.nesterov=false",
    "validation.every=1",
)


@pytest.fixture
def images(save_cifar):
    return save_cifar({"train.bin": [3, 7] * 8, "test.bin": [7, 3, 7, 7, 9]})


def tiny(*overrides):
    return load_recipe("cifar100-resnet", (*TINY, *overrides))


def test_ranks_count_the_classes_before_the_true_one():
    nan = float("nan")
    logits = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1], [1, 1, 1], [nan, 1, 0], [0, nan, 1]])
    labels = torch.tensor([0, 1, 2, 1, 1, 1])

    assert class_ranks(logits, labels).tolist() == [0, 1, 2, 2, 1, 2]


def test_error_rates_are_those_of_the_validation_images(images):
    recipe = tiny()
    task = classification_task(open_classification(images), recipe)
    dataset = task.dataset
    model = build_model(recipe.model, 100, seed=0).eval()
    with torch.inference_mode():
        logits = torch.cat(
            [model(dataset[index].image.movedim(-1, 0)[None].float()).logits for index in range(len(dataset))]
        )
    order = logits.argsort(1, descending=True)[:, :5].numpy()
    hits = order == task.labels[:, None]

    def as_float(batch):
        return replace(batch, image=batch.image.float())

    def computer(chosen, values, indices):
        return compute(model, as_float, chosen, values, indices=indices, workers=0, batch_size=3)

    scores = error_rates(computer, dataset)
    assert scores["top1_error"] == 1 - scores["accuracy"] == pytest.approx(1 - hits[:, 0].mean())
    assert scores["top5_error"] == pytest.approx(1 - hits.any(axis=1).mean())


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipes_describe_a_network_that_takes_their_input(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        model = build_model(recipe.model, 10).eval()
        sizes = recipe.input.sizes
        shapes = {view: (2, *((4,) if view == "parts" else ()), 3, *sizes[view]) for view in model.views}
        output = model(
            **{view: torch.empty(shape) for view, shape in shapes.items()}, **forward_options(recipe.stages[0].loss)
        )

    assert name in recipe_names()
    assert output.embedding.shape[0] == 2
    assert len(output.attention) == (3 if recipe.stages[0].loss.sac else 0)


def test_the_schedules_of_the_papers():
    stage = load_recipe("pretrain-attention-driven").stages[0]
    assert (stage.epochs, stage.batch.size, stage.optimizer.lr) == (9, 32, 0.01)
    assert (stage.schedule.name, stage.schedule.every, stage.schedule.factor) == ("step", 3, 0.1)
    for name in ("cifar100-resnet", "cifar100-resnet-dil-sac"):
        stage = load_recipe(name).stages[0]
        assert (stage.batch.size, stage.optimizer.lr, stage.schedule.every) == (128, 0.1, 50)


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")
def test_a_run_validates_can_be_continued_and_starts_another(images, tmp_path):
    out = tmp_path / "run"
    lines = []
    arguments = {"machine": Machine("cpu", workers=0), "log": lines.append}
    result = pretrain(images, out, tiny(), **arguments)
    checkpoint = load_checkpoint(out)

    assert f"{images}: train.bin has 16 images, the published file 50,000" in lines
    assert {"val/accuracy", "val/top1_error", "val/top5_error"} <= result.last.keys()
    assert checkpoint.epoch == 1
    assert checkpoint.class_names == tuple(map(str, range(100)))
    about = json.loads((out / "run.json").read_text())
    assert about["source"]["fingerprint"] == open_classification(images).fingerprint
    assert pretrain(images, out, tiny(), **arguments).last == result.last

    with without_weights():
        model = build_model(load_recipe("self-attention-market1501").model, 751)
    report = load_matching(model, read_weights(out / "checkpoints" / "last.ckpt", model=model))
    assert {"conv1.weight", "layer4.2.bn3.running_var", "reduce.bias"} <= set(report.loaded)
    assert {name for name, _, _ in report.mismatched} == {"reduce.weight", "classifier.weight", "classifier.bias"}
    with pytest.raises(ReidError, match=r"holds a run that differs: data: .*images is 1\d"):
        (images / "train.bin").write_bytes((images / "train.bin").read_bytes()[: 3074 * 12])
        pretrain(images, out, tiny(), **arguments)


def test_without_validation_images_there_are_no_scores(save_cifar, tmp_path):
    images = save_cifar({"train.bin": [3, 7] * 4})
    result = pretrain(images, tmp_path / "run", tiny(), machine=Machine("cpu", workers=0))

    assert result.best is None
    assert not [name for name in result.last if name.startswith("val/")]


def test_time_is_kept_for_validation_where_there_is_one(images):
    data = open_classification(images)
    counts = [classification_task(data, tiny(*given)).validation_images for given in ([], ["validation.every=0"])]
    assert counts == [len(data.val), 0]


@pytest.mark.parametrize("override", ["identities=2", "validation.identities=1"])
def test_classes_are_not_held_out(images, override):
    with pytest.raises(ReidError, match=rf"{override.partition('=')[0]} is \d: pre-training takes all classes"):
        classification_task(open_classification(images), tiny(override))


def test_means_follow_the_seed_of_the_recipe(images):
    data = open_classification(images)
    first, second = (classification_task(data, tiny()).means for _ in range(2))
    assert first == second
    np.testing.assert_allclose(first.image, np.mean([data.train.images.read(i) for i in range(16)], axis=(0, 1, 2)))
