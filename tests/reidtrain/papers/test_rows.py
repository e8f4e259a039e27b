import pytest

pytest.importorskip("torch")

from reidtrain.papers.rows import dataset_column, paper_row
from reidtrain.recipes.loading import load_recipe
from reidtrain.recipes.variants import recipe_variant

FULL, INTER = "attention-driven-market1501", ["model.attention=none"]
SELF = "self-attention-market1501"


def shards(alignment: str = "pose", beta: float = 3 / 48) -> dict[str, object]:
    return {"alignment": alignment, "beta": beta}


def row_of(recipe, overrides, plan, dataset, options):
    variant = recipe_variant(load_recipe(recipe, overrides), plan)
    assert variant is not None
    return paper_row(variant, dataset, **options)


@pytest.mark.parametrize(
    ("recipe", "overrides", "plan", "dataset", "options", "source", "rank1", "differences"),
    [
        (FULL, [], shards(), "market1501", {}, "attention-driven paper, Table 3, Ours", 0.9499, ()),
        (FULL, [], shards(), "dukemtmc", {}, "attention-driven paper, Table 4, Ours", 0.8604, ()),
        (
            "attention-driven-cuhk03",
            [],
            shards(),
            "cuhk03-detected",
            {},
            "attention-driven paper, Table 5, Ours",
            0.9358,
            (),
        ),
        (
            FULL,
            ["stages.0.loss.branch_weight=0.5"],
            shards(beta=0.1),
            "market1501",
            {},
            "attention-driven paper, Table 6, Intra+inter",
            0.9465,
            (),
        ),
        (
            FULL,
            ["stages.0.loss.branch_weight=0.8"],
            shards(beta=0.1),
            "market1501",
            {},
            "attention-driven paper, Table 10, lambda 0.8",
            0.9409,
            (),
        ),
        (
            FULL,
            [],
            shards(),
            "market1501",
            {"feature": "head"},
            "attention-driven paper, Table 7, Head, with intra-attention",
            0.5086,
            ("lambda 0.5", "beta 5/48"),
        ),
        (
            FULL,
            INTER,
            shards(),
            "dukemtmc",
            {},
            "attention-driven paper, Table 6, Inter",
            0.7962,
            ("lambda 0.5", "beta 5/48"),
        ),
        (
            FULL,
            ["model.attention=none", "model.fusion=concatenation"],
            shards("strips"),
            "market1501",
            {},
            "attention-driven paper, Table 6, Baseline",
            0.8663,
            (),
        ),
        (SELF, [], shards(), "market1501", {}, "self-attention paper, Table 2, Ours", 0.928, ()),
        (SELF, [], shards(), "dukemtmc", {"rerank": True}, "self-attention paper, Table 3, Ours+re-rank", 0.851, ()),
        (
            SELF,
            ["stages.0.loss.sac=0", "stages.1.loss.sac=0"],
            shards("strips"),
            "market1501",
            {},
            "self-attention paper, Table 1, 5",
            0.905,
            (),
        ),
    ],
)
def test_the_row_of_a_network(
    recipe, overrides, plan, dataset, options, source, rank1, differences, shard_plan
) -> None:
    row = row_of(recipe, overrides, shard_plan(**plan), dataset, options)
    assert row is not None
    assert (row.source, row.scores["rank1"], row.differences) == (source, rank1, differences)


@pytest.mark.parametrize(
    ("recipe", "overrides", "dataset", "options"),
    [
        (FULL, ["model.branches=[whole]"], "market1501", {}),
        (FULL, [], "market1501", {"rerank": True}),
        (FULL, [], "dukemtmc", {"feature": "whole"}),
        (SELF, [], "cuhk03-labeled", {}),
        (SELF, ["stages.1.loss.ranking=triplet-hard"], "market1501", {}),
    ],
)
def test_what_the_papers_did_not_measure(recipe, overrides, dataset, options, shard_plan) -> None:
    assert row_of(recipe, overrides, shard_plan(), dataset, options) is None


@pytest.mark.parametrize(
    ("name", "options", "column"),
    [
        ("market1501", {"distractors": "no"}, "market1501"),
        ("market1501", {"distractors": "yes"}, None),
        ("dukemtmc", {}, "dukemtmc"),
        ("cuhk03", {"boxes": "detected", "protocol": "classic", "split": "1"}, "cuhk03-detected"),
        ("cuhk03", {"boxes": "labeled", "protocol": "classic", "split": "2"}, None),
        ("cuhk03", {"boxes": "labeled", "protocol": "np"}, None),
        ("msmt17", {"val": "train"}, None),
    ],
)
def test_the_column_of_a_dataset(name, options, column) -> None:
    assert dataset_column(name, options) == column
