import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidtrain.recipes.loading import (
    differences,
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
    recipe_to_yaml,
)
from reidtrain.recipes.names import recipe_names

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
        ("input.whole_size=160x80", lambda recipe: recipe.input.whole_size == (160, 80)),
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
        ("lr=0.1", r"lr is not known; did you mean stages\.0\.optimizer\.lr\?"),
        ("augmentation.horizontal_flp=0.5", "did you mean 'horizontal_flip'"),
        ("model.dilatation=true", "model.dilatation: .* did you mean 'dilation'"),
        ("validation.evry=3", "did you mean 'every'"),
        ("stages.0.optimizer.name=sdg", "stages.0.optimizer.name: .* did you mean 'sgd'"),
        ("network=self-attentive", r"did you mean 'self-attention'\? There are"),
        ("stages.2.epochs=3", "entries 0 to 1"),
        ("stages.0.epochs=many", "stages.0.epochs is 'many'.*integer"),
        ("stages.0.epochs=true", "stages.0.epochs is True.*integer"),
        ("stages.0.epochs=0", "stages.0.epochs is 0"),
        ("stages.1.epochs=99999999999999999999999", "stages.1.epochs is a very large number"),
        ("stages.0.optimizer.lr=-1", "optimizer.lr is -1"),
        ("stages.0.optimizer.lr=.nan", "optimizer.lr is nan"),
        ("stages.0.optimizer.lr=1e999", "stages.0.optimizer.lr is inf"),
        ("stages.0.batch={size: 8, images: 4}", "stages.0.batch: give either .* not both"),
        ("stages.0.loss.ranking=triplet-hard", "stages.0: loss.ranking .* identities"),
        ("stages.0.loss={softmax: 0}", "stages.0.loss: every term has weight 0"),
        ("stages.0.optimizer={nesterov: true, momentum: 0}", "stages.0.optimizer: nesterov needs a momentum"),
        ("augmentation.random_erasing=2", "augmentation.random_erasing is 2"),
        ("model.stage6=false", "stages.0.loss.sac"),
        ("input.whole_size=[3]", "input.whole_size"),
        ("model=3", "model is 3; it must be a mapping"),
        ("model=[1, 2]", r"model is \[1, 2\]; it must be a mapping"),
        ("model.depth=18", "model.depth is 18; choose from 50, 101"),
        ("network=[self-attention]", r"network: \['self-attention'\] is not known"),
        ("network=", "network: None is not known; there are attention-driven"),
        ("stages.0.loss=3", "stages.0.loss is 3; it must be a mapping"),
        ("stages.0=", "stages.0 is None; it must be a mapping"),
        ("stages=[]", "stages: at least one"),
        ("seed", "expected key=value"),
        ("seed=[", "not valid YAML"),
        ("seed.x=1", "seed is {'x': 1}"),
        ("stages[0].epochs=3", "expected key=value"),
        ("stages.-1.epochs=3", "expected key=value"),
        (".".join("a" * 50) + "=1", "no key of so many parts"),
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


def _doubling(levels: int) -> str:
    """Lists of two aliases each of the list before: 2^levels values in a few lines."""
    return "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, levels))


HOSTILE = {
    "aliases that expand": (_doubling(40), "aliases make it more than 10000 values"),
    "merges that expand": (
        "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)),
        "aliases make it more than 10000 values",
    ),
    "an alias within itself": ("a: &a [*a]", "aliases make it more than"),
    "aliases that nest": ("a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 99)), "20 deep"),
    "deep nesting": ("a: " + "[" * 40_000, "more than 20 deep"),
    "a long text": ("a: " + "1" * 200_000, "more than 100000 characters"),
    "a number of 5000 digits": (f"network: self-attention\nseed: {'1' * 5000}", "Exceeds the limit"),
    "an impossible date": ("network: self-attention\nseed: 2020-13-45", "seed is '2020-13-45'"),
    "a date": ("network: self-attention\nseed: 2020-12-24", "seed is '2020-12-24'"),
    "a list where the network was": ("network: [self-attention]", "network: .* is not known"),
    "a mapping where the network was": ("network: {self-attention: 1}", "network: .* is not known"),
    "a tag": ("network: !!python/object/apply:os.system [ls]", "the tag .* is not taken"),
    "a tag of a date": ("seed: !!timestamp 2020-13-45", "the tag .* is not taken"),
    "a key twice": ("seed: 1\nseed: 2", "duplicate key seed"),
    "a key without a name": ("~: 1", "not valid YAML"),
    "a number as a key": ("network: self-attention\n1: 2", "keys should be strings"),
    "the environment": (
        "network: self-attention\nstages: [{name: '${oc.env:HOME}'}]",
        "recipes take values as they are",
    ),
    "another value": ("seed: ${identities}", "recipes take values as they are"),
    "a missing value": ("base: self-attention-market1501\nseed: ???", "recipes take values as they are"),
    "a list over a mapping of the base": ("base: self-attention-market1501\nmodel: [1]", r"model is \[1\]"),
    "a mapping over a list of the base": ("base: self-attention-market1501\nstages: {0: {epochs: 1}}", "stages is"),
    "thousands of wrong keys": ("network: self-attention\n" + "".join(f"k{n}: 1\n" for n in range(3000)), "k0: "),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_answered_at_once_and_plainly(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(ReidError, match=message) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < 2500
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", "${oc.env:NONE,3}", "[" * 5000, "!!int 3", "1" * 5000, "{<<: 3}", "'"]
)
def test_hostile_overrides_are_answered_plainly(text):
    with pytest.raises(ReidError, match="--set seed="):
        load_recipe(RECIPE, [f"seed={text}"])


def test_aliases_serve_what_stages_share(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "network: attention-driven\nstages:\n"
        "  - {epochs: 1, batch: {size: 8}, optimizer: &sgd {lr: 1e-2, momentum: 0.8}}\n"
        "  - {epochs: 1, batch: {size: 8}, optimizer: {<<: *sgd, lr: 1e-3}}\n"
    )
    first, second = (stage.optimizer for stage in load_recipe(path).stages)
    assert (first.lr, second.lr) == (0.01, 0.001) and first.momentum == second.momentum == 0.8


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
