from pathlib import Path

import pytest

pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidtrain.recipes.loading import (
    differences,
    load_recipe,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
)

RECIPE = "self-attention-market1501"


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_survives_a_round_trip(name, tmp_path):
    recipe = load_recipe(name)
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
    written = tmp_path / "recipe.yaml"
    written.write_text(recipe_to_yaml(recipe))
    assert load_recipe(written) == recipe


def test_there_are_recipes_for_both_networks_and_each_dataset():
    for dataset in ("market1501", "dukemtmc", "cuhk03"):
        for network in ("attention-driven", "self-attention"):
            assert load_recipe(f"{network}-{dataset}").network == network


def test_the_schedules_of_the_papers():
    first = load_recipe("attention-driven-market1501")
    (stage,) = first.stages
    assert (stage.epochs, stage.batch.size, stage.optimizer.lr, stage.schedule.every) == (100, 32, 0.01, 40)
    assert (stage.loss.branch_weight, load_recipe("attention-driven-cuhk03").stages[0].loss.branch_weight) == (0.1, 0.2)
    softmax, quadruplet = load_recipe(RECIPE).stages
    assert (softmax.batch.size, softmax.optimizer.lr, softmax.schedule.every) == (128, 0.1, 50)
    assert (softmax.loss.sac, softmax.loss.ranking) == (1, "none")
    assert (quadruplet.batch.identities, quadruplet.batch.images, quadruplet.optimizer.lr) == (18, 4, 0.0001)
    assert (quadruplet.loss.ranking, quadruplet.loss.margin, quadruplet.loss.wide_margin) == (
        "quadruplet-hard",
        0.5,
        0.2,
    )


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("stages.0.epochs=7", lambda recipe: recipe.stages[0].epochs == 7),
        ("stages.1.optimizer.lr=1e-5", lambda recipe: recipe.stages[1].optimizer.lr == 1e-5),
        ("input.image_size=[128, 64]", lambda recipe: recipe.input.image_size == (128, 64)),
        ("augmentation.horizontal_flip=0.5", lambda recipe: recipe.augmentation.horizontal_flip == 0.5),
        ("identities=50", lambda recipe: recipe.identities == 50),
        ("execution.compile=true", lambda recipe: recipe.execution.compile is True),
    ],
)
def test_override(override, read):
    assert not read(load_recipe(RECIPE))
    assert read(load_recipe(RECIPE, [override]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.epoch=3", "stages.0.epoch: .* did you mean 'epochs'"),
        ("augmentation.horizontal_flp=0.5", "did you mean 'horizontal_flip'"),
        ("model.dilatation=true", "model.dilatation: .* did you mean 'dilation'"),
        ("validation.evry=3", "did you mean 'every'"),
        ("stages.0.optimizer.name=sdg", "stages.0.optimizer.name: .* did you mean 'sgd'"),
        ("network=self-attentive", "did you mean 'self-attention'"),
        ("stages.2.epochs=3", "entries 0 to 1"),
        ("stages.0.epochs=many", "stages.0.epochs is 'many'.*integer"),
        ("stages.0.epochs=0", "epochs is 0"),
        ("stages.0.optimizer.lr=-1", "optimizer.lr is -1"),
        ("stages.0.optimizer.lr=.nan", "optimizer.lr is nan"),
        ("stages.0.batch={size: 8, images: 4}", "not both"),
        ("stages.0.loss.ranking=triplet-hard", "identities"),
        ("model.stage6=false", "stages.0.loss.sac"),
        ("input.whole_size=[3]", "input.whole_size"),
        ("model=3", "model is 3"),
        ("stages=[]", "stages: at least one"),
        ("seed", "expected key=value"),
        ("seed=[", "not valid YAML"),
        ("seed.x=1", "seed"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_remedy(override, message):
    with pytest.raises(ReidError, match=message):
        load_recipe(RECIPE, [override])


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(ReidError, match="did you mean 'self-attention-market1501'"):
        load_recipe("self-atention-market1501")


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "base: nothing", "network: self-attention\nstages: 3"])
def test_a_file_that_is_no_recipe(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ReidError, match="mine.yaml"):
        load_recipe(path)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(ReidError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReidError, match="cannot be read"):
        load_recipe(tmp_path / "bytes.yaml")


def test_base_gives_what_a_file_leaves_out(tmp_path):
    path: Path = tmp_path / "mine.yaml"
    path.write_text(f"base: {RECIPE}\nmodel: {{multi_level: false}}\nseed: 3\n")
    mine, base = load_recipe(path), load_recipe(RECIPE)
    assert mine.stages == base.stages
    assert (mine.model.multi_level, mine.model.dilation, mine.seed) == (False, True, 3)


def test_differences_name_path_and_both_values():
    ours, theirs = (recipe_to_dict(load_recipe(RECIPE, [f"stages.1.epochs={n}"])) for n in (5, 6))
    assert differences(ours, theirs) == ["stages.1.epochs is 5, was 6"]
    assert differences(ours, ours) == []
