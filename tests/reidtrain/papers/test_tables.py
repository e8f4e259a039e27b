from collections import defaultdict

import pytest

from reidtrain.papers.tables import ABLATIONS, DATASETS, HEADLINES, MARKET, PAPER_BETA
from reidtrain.papers.variants import AttentionDrivenVariant

TABLES = (*ABLATIONS.values(), *HEADLINES)
BEST_BRANCH_WEIGHT = {"market1501": 0.1, "dukemtmc": 0.1, "cuhk03-labeled": 0.2, "cuhk03-detected": 0.2}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.paper}-{table.number}")
def test_figures_are_complete_and_plausible(table) -> None:
    labels = [row.label for row in table.rows]
    assert len(set(labels)) == len(labels)
    for row in table.rows:
        assert row.figures and set(row.figures) <= set(DATASETS)
        for dataset in row.figures:
            scores = table.scores(row, dataset)
            ranks = [scores[metric] for metric in table.metrics if metric.startswith("rank")]
            assert ranks == sorted(ranks), "more is found further down the list"
            assert scores["rank1"] > scores.get("mAP", 0)
            assert all(0.1 < value < 1 for value in scores.values())


def test_the_same_network_has_the_same_figures_in_all_tables() -> None:
    """The reading of the tables: which rows of several tables are one network, scored in the same way."""
    figures = defaultdict(list)
    for table in TABLES:
        for row in table.rows:
            for dataset in row.figures:
                variant = row.variant
                trained = [variant]
                if isinstance(variant, AttentionDrivenVariant):
                    weight, beta = variant.branch_weight, variant.beta
                    trained = [
                        variant.model,
                        variant.alignment,
                        BEST_BRANCH_WEIGHT[dataset] if weight is None else weight,
                        PAPER_BETA if beta is None else beta,
                    ]
                for metric, value in table.scores(row, dataset).items():
                    figures[(*trained, row.feature, row.rerank, dataset, metric)].append(value)
    shared = [values for values in figures.values() if len(values) > 1]
    assert len(shared) == 22
    assert all(len(set(values)) == 1 for values in shared)


def test_figures_that_a_table_does_not_give_are_left_out() -> None:
    table = ABLATIONS["6"]
    assert table.scores(table.rows[0], "cuhk03-labeled") == {"rank1": 0.8546}
    assert ABLATIONS["9"].scores(ABLATIONS["9"].rows[0], "dukemtmc") == {}
    assert table.scores(table.rows[0], None) == {}


def test_what_the_text_of_the_papers_says_of_the_figures() -> None:
    def gain(name: str, better: str, worse: str, metric: str) -> float:
        table = ABLATIONS[name]
        rows = {row.label: table.scores(row, MARKET)[metric] for row in table.rows}
        return round(100 * (rows[better] - rows[worse]), 2)

    # "a Rank-1 improvement by 1.39% and a mAP improvement by 2.75%"
    assert gain("8", "With attention decomposition", "Without attention decomposition", "rank1") == 1.39
    assert gain("8", "With attention decomposition", "Without attention decomposition", "mAP") == 2.75
    # "3.2% in mAP (setting 5, 8)", "+1.9% in mAP and +3.0% in Rank-1" of quadruplet over triplet
    assert gain("self-attention-1", "8", "5", "mAP") == 3.2
    assert gain("self-attention-1", "3", "3(T)", "mAP") == 1.9
    assert gain("self-attention-1", "3", "3(T)", "rank1") == 3.0


def test_settings_that_the_text_compares_differ_in_what_it_says() -> None:
    settings = {row.label: row.variant for row in ABLATIONS["self-attention-1"].rows}

    def differ(first: str, second: str) -> set[str]:
        a, b = vars(settings[first]), vars(settings[second])
        return {name for name in a if a[name] != b[name]}

    # "changing the way of convolution": settings 1 (3) and 4 (5)
    assert differ("1", "4") == differ("1", "4, multi-level") == differ("3", "5") == {"model"}
    # SAC: settings 5 and 8; one loss or the other: 1 (6) and 2 (7); triplet: 3 and 3(T)
    assert differ("5", "8") == {"sac"}
    assert differ("1", "2") == differ("6", "7") == {"softmax", "ranking"}
    assert differ("3", "3(T)") == {"ranking"}
    # both losses or one of them: 3 with 1 and 2, 8 with 6 and 7
    assert differ("3", "1") == differ("8", "6") == {"ranking"}
    assert differ("3", "2") == differ("8", "7") == {"softmax"}
