import re

from reidtrain.ablation.report import Measured, as_text, as_values
from reidtrain.papers.tables import ABLATIONS, MARKET

TABLE = ABLATIONS["8"]
OURS = {"rank1": 0.91234, "rank5": 0.95, "rank10": 0.96, "rank20": 0.97, "mAP": 0.8}
ROWS = [Measured(TABLE.rows[0], None, None), Measured(TABLE.rows[1], "runs/full", OURS)]


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_text_has_the_papers_figures_beside_ours() -> None:
    title, metrics, columns, first, second = as_text(TABLE, MARKET, ROWS).splitlines()
    assert title.startswith("Table 8 of the attention-driven paper")
    assert cells(metrics) == ["Rank-1", "Rank-5", "Rank-10", "Rank-20", "mAP"]
    assert columns.split() == ["paper", "ours"] * 5
    assert cells(first)[:3] == ["Without attention decomposition", "93.26", "-"]
    assert cells(second)[1:5] == ["94.65", "91.23", "98.21", "95.00"]
    assert len({len(line) for line in (metrics, columns, first, second)}) == 1, "columns are aligned"


def test_text_of_data_that_the_papers_do_not_have() -> None:
    *_, second = as_text(TABLE, None, ROWS).splitlines()
    assert cells(second)[1:3] == ["-", "91.23"]


def test_values() -> None:
    values = as_values(TABLE, MARKET, ROWS)
    assert (values["paper"], values["table"], values["dataset"]) == ("attention-driven", 8, MARKET)
    assert values["rows"][0]["ours"] is None and values["rows"][0]["paper"]["mAP"] == 0.8247
    assert values["rows"][1] | {"paper": None} == {
        "row": "With attention decomposition",
        "feature": "embedding",
        "paper": None,
        "ours": OURS,
        "run": "runs/full",
    }
