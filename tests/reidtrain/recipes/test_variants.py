from dataclasses import replace

import pytest

pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidtrain.papers.tables import ABLATIONS, HEADLINES, PAPER_BETA
from reidtrain.papers.variants import AttentionDrivenVariant, SelfAttentionVariant
from reidtrain.recipes.loading import differences, load_recipe, recipe_to_dict
from reidtrain.recipes.variants import check_overrides, recipe_variant, resolve, variant_recipe

ROWS = [
    pytest.param(table.paper, row.variant, id=f"{table.paper}-{table.number}-{row.label}")
    for table in (*ABLATIONS.values(), *HEADLINES)
    for row in table.rows
]
BOTH = ("softmax", "quadruplet")


def shards_of(variant) -> dict[str, object]:
    """Plan of the shards a resolved variant is trained on."""
    alignment, beta = getattr(variant, "alignment", "pose"), getattr(variant, "beta", None)
    return {"alignment": alignment, "beta": PAPER_BETA / 48 if beta is None else beta / 48}


@pytest.mark.parametrize(("paper", "variant"), ROWS)
@pytest.mark.parametrize("dataset", ["market1501", "cuhk03"])
def test_the_recipe_of_a_row_trains_its_variant(paper, variant, dataset, shard_plan) -> None:
    base = load_recipe(f"{paper}-{dataset}")
    resolved = resolve(variant, base, PAPER_BETA)
    assert recipe_variant(variant_recipe(resolved, base), shard_plan(**shards_of(resolved))) == resolved


def test_a_row_changes_nothing_else() -> None:
    base = load_recipe("attention-driven-market1501", ["model.dropout=0.3", "seed=7", "stages.0.epochs=2"])
    changed = variant_recipe(AttentionDrivenVariant("inter", 0.5), base)
    assert differences(recipe_to_dict(changed), recipe_to_dict(base)) == [
        "model.attention is none, was decomposed",
        "stages.0.loss.branch_weight is 0.5, was 0.1",
    ]


@pytest.mark.parametrize(("dataset", "weight"), [("market1501", 0.1), ("dukemtmc", 0.1), ("cuhk03", 0.2)])
def test_the_last_row_of_table_6_has_the_best_lambda_of_the_dataset(dataset, weight) -> None:
    best = ABLATIONS["6"].rows[-1].variant
    assert resolve(best, load_recipe(f"attention-driven-{dataset}"), PAPER_BETA) == replace(best, branch_weight=weight)


def test_variants_that_are_trained_alike_become_equal() -> None:
    base = load_recipe("attention-driven-market1501")
    inter = AttentionDrivenVariant("intra+inter", 0.1, beta=3)
    assert resolve(AttentionDrivenVariant("intra+inter", None), base, beta=3) == inter
    # Nothing to weigh against, and nothing that overlaps.
    baseline = AttentionDrivenVariant("aligned", None, "strips")
    assert resolve(replace(baseline, branch_weight=0.7, beta=2), base, beta=3) == baseline


@pytest.mark.parametrize(
    ("variant", "stages", "losses"),
    [
        (SelfAttentionVariant("resnet"), ("softmax",), [(1, 0, "none")]),
        (SelfAttentionVariant("dil+multi", sac=True), ("softmax",), [(1, 1, "none")]),
        (
            SelfAttentionVariant("resnet", softmax=False, ranking="quadruplet-hard"),
            ("quadruplet",),
            [(0, 0, "quadruplet-hard")],
        ),
        (SelfAttentionVariant("resnet", ranking="triplet-hard"), BOTH, [(1, 0, "none"), (1, 0, "triplet-hard")]),
        (
            SelfAttentionVariant("dil+multi", ranking="quadruplet-hard", sac=True),
            BOTH,
            [(1, 1, "none"), (1, 1, "quadruplet-hard")],
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_stages_of_self_attention_variants(variant, stages, losses) -> None:
    recipe = variant_recipe(variant, load_recipe("self-attention-market1501"))
    assert tuple(stage.name for stage in recipe.stages) == stages
    assert [(stage.loss.softmax, stage.loss.sac, stage.loss.ranking) for stage in recipe.stages] == losses


def test_a_recipe_of_one_stage_serves_all_settings() -> None:
    """Such as one without pre-trained weights, where everything is learnt at once with weights of one's own."""
    loss = "{softmax: 1, sac: 0.5, ranking: quadruplet-hard}"
    stage = f"stages=[{{epochs: 3, batch: {{identities: 4, images: 2}}, loss: {loss}}}]"
    base = load_recipe("self-attention-market1501", [stage])
    recipes = {row.label: variant_recipe(row.variant, base) for row in ABLATIONS["self-attention-1"].rows}
    assert {recipe.epochs for recipe in recipes.values()} == {3}
    assert recipes["1"].stages[0].loss.ranking == "none"
    assert recipes["8"] == base and recipes["5"].stages[0].loss.sac == 0


@pytest.mark.parametrize(
    ("recipe", "variant", "message"),
    [
        ("self-attention-market1501", AttentionDrivenVariant("inter"), "is for the self-attention network"),
        ("attention-driven-market1501", SelfAttentionVariant("dil"), "is for the attention-driven network"),
    ],
)
def test_a_recipe_of_the_other_network(recipe, variant, message) -> None:
    with pytest.raises(ReidError, match=message):
        variant_recipe(variant, load_recipe(recipe))


def test_a_recipe_without_ranking_stage() -> None:
    base = load_recipe("self-attention-market1501")
    with pytest.raises(ReidError, match="no stage with a ranking loss"):
        variant_recipe(SelfAttentionVariant("resnet", ranking="triplet-hard"), replace(base, stages=base.stages[:1]))


@pytest.mark.parametrize(
    "override",
    [
        "network=self-attention",
        "model={}",
        "model.attention=none",
        "model.branches=[whole]",
        "stages=[]",
        "stages.0={}",
        "stages.1.loss={}",
        "stages.0.loss.branch_weight=0.2",
        "stages.10.loss.sac=0",
        "stages.0.loss.ranking=none",
    ],
)
def test_what_the_rows_decide_cannot_be_set(override) -> None:
    with pytest.raises(ReidError, match="the rows of the tables decide"):
        check_overrides(["seed=1", override])


@pytest.mark.parametrize(
    "override",
    ["model.dropout=0.2", "seed=3", "stages.0.epochs=2", "stages.0.loss.label_smoothing=0.1", "stages.1.loss.margin=1"],
)
def test_all_else_can_be_set(override) -> None:
    check_overrides([override])


@pytest.mark.parametrize("override", ["model.branches=[whole, head]", "model.fusion=fc"])
def test_networks_that_are_in_no_table(override, shard_plan) -> None:
    assert recipe_variant(load_recipe("attention-driven-market1501", [override]), shard_plan()) is None
