"""Ranked lists drawn from features made by hand, on drawn people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidprep.drawing.album import Album
from reidprep.drawing.pages import templates
from reidprep.errors import ReidError
from reidprep.progress import unseen
from reidprep.shards.reader import ShardSet
from reidtrain.metrics.ranked_lists import NOBODY, RankedLists
from reidtrain.metrics.scores import RankingMetrics
from reidtrain.plots.ranked import BADGE, RIGHT, WRONG, badge, draw_card, draw_ranked_lists, rank_queries
from reidtrain.plots.ranked_cards import Hit, ListRow, QueryCard, Ranking, Shot, query_card

ReadPage = Callable[[Path], Any]


def shot(index: int = 0, path: str = "a.jpg", shape: tuple[int, int] = (384, 192)) -> Shot:
    return Shot(np.full((*shape, 3), 90, np.uint8), index, path, pid=7, camid=2)


def card(verdicts: list[bool], models: int = 1, **about: Any) -> QueryCard:
    hits = tuple(Hit(shot(i), rank=i + 1, distance=0.25 * i, right=right) for i, right in enumerate(verdicts))
    return QueryCard(shot(**about), (ListRow("run", "AP 50.0%, first match at rank 2", hits),) * models)


def write_ranked_lists(
    features: Any, shards: Path, out: Path, *, per_sheet: int = 6, progress: Any = unseen, **choices: Any
) -> Album:
    return draw_ranked_lists(rank_queries(features, shards, **choices), out, per_sheet=per_sheet, progress=progress)


def frames(data: np.ndarray, colour: tuple[int, int, int]) -> int:
    """How many frames of a colour the first row of a sheet has: runs of columns mostly of that colour, in pairs."""
    columns = (np.abs(data.astype(int) - colour).sum(axis=-1) == 0).mean(axis=0) > 0.3
    return int(np.count_nonzero(np.diff(columns.astype(int)) == 1)) // 2


@pytest.mark.parametrize("verdicts", [[True, False, True], [False] * 5, [True]])
def test_frames_are_green_for_right_and_red_for_wrong(verdicts: list[bool]) -> None:
    drawn = np.asarray(draw_card(card(verdicts)))
    assert frames(drawn, RIGHT) == sum(verdicts)
    assert frames(drawn, WRONG) == len(verdicts) - sum(verdicts)


def test_the_marks_differ_in_shape_too() -> None:
    right, wrong = (np.asarray(badge(verdict).convert("RGBA")).astype(int) for verdict in (True, False))
    assert right.shape == (BADGE, BADGE, 4)
    white = [(image[..., :3].min(axis=-1) > 200) & (image[..., 3] > 0) for image in (right, wrong)]
    assert all(10 < mark.sum() < 0.4 * BADGE**2 for mark in white)
    assert (white[0] ^ white[1]).sum() > 20


def test_a_row_for_each_model() -> None:
    one, both, three = (draw_card(card([True], models=models)).height for models in (1, 2, 3))
    assert one < both and three - both == both - one


@pytest.mark.parametrize(
    "drawn",
    [
        card([]),
        card([True, False], path="folder/" + "x" * 300 + "\n\x1b.jpg"),
        card([True], shape=(40, 400)),
        replace(card([True]), rows=(ListRow("label " * 100, "AP", ()),)),
    ],
    ids=["no image that counts", "a long path", "other proportions", "a long label"],
)
def test_anything_can_be_drawn(drawn: QueryCard) -> None:
    assert draw_card(drawn).width < 1000
    assert templates("reidtrain.plots").get_template("ranked_card.html").render(card=drawn).count("<article") == 1


@pytest.fixture(scope="module")
def labels(drawn_shards: Path) -> dict[str, ShardSet]:
    return {split: ShardSet.open(drawn_shards, split) for split in ("query", "gallery")}


@pytest.fixture(scope="module")
def features(labels: dict[str, ShardSet]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One model that sees the person, one that sees nothing but noise."""
    rng = np.random.default_rng(0)
    perfect = tuple(np.eye(16)[labels[split].pids % 16] + 0.01 for split in ("query", "gallery"))
    noise = tuple(rng.normal(size=(len(labels[split]), 3)) for split in ("query", "gallery"))
    return {"noise & <b>": noise, "perfect": perfect}  # type: ignore[dict-item]


def test_the_page_and_the_sheets(
    drawn_shards: Path,
    labels: dict[str, ShardSet],
    features: dict[str, tuple[np.ndarray, np.ndarray]],
    tmp_path: Path,
    read_page: ReadPage,
) -> None:
    calls: list[tuple[int, int]] = []
    total = len(labels["query"])
    pictures = write_ranked_lists(
        features,
        drawn_shards,
        tmp_path / "out",
        top=3,
        per_sheet=total - 1,
        progress=lambda *call: calls.append(call),
    )
    assert pictures.shown == total and len(pictures.sheets) == 2 and calls == [(total - 1, total), (total, total)]
    page = read_page(pictures.page)
    page.require_self_contained()
    assert len(page.alternatives) == total * (1 + 2 * 3)
    assert page.text.count("noise & <b>") == total + 1
    text = " ".join(page.text)
    assert all(sample.path in page.text for sample in labels["query"])
    assert "AP 100.0%, first match at rank 1" in text and f"{total} of {total} queries, spread evenly" in text


def test_alternative_texts_say_what_the_frames_say(
    drawn_shards: Path,
    labels: dict[str, ShardSet],
    features: dict[str, tuple[np.ndarray, np.ndarray]],
    tmp_path: Path,
    read_page: ReadPage,
) -> None:
    pictures = write_ranked_lists({"perfect": features["perfect"]}, drawn_shards, tmp_path / "out", top=1, count=2)
    page = read_page(pictures.page)
    for query, hit in zip(page.alternatives[::2], page.alternatives[1::2], strict=True):
        person, camera = query.removeprefix("query: ").split(", ")
        assert person.startswith("person ") and camera.startswith("camera ")
        assert hit.startswith(f"rank 1: {person}, camera ") and hit.endswith(", right, distance 0.000")
    assert [a["class"] for tag, a in page.tags if tag == "figure" and "class" in a] == ["right", "right"]


def test_the_worst_come_first(
    drawn_shards: Path, features: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    pictures = write_ranked_lists(features, drawn_shards, tmp_path / "out", top=2, worst=True)
    text = pictures.page.read_text(encoding="utf-8")
    scores = [line.split("AP ")[1].split("%")[0] for line in text.split("<h2>") if "noise" in line and "AP " in line]
    assert [float(score) for score in scores] == sorted(map(float, scores)) and len(set(scores)) > 1
    assert "the worst first by noise &amp; &lt;b&gt;" in text


def test_the_same_input_gives_the_same_files(
    drawn_shards: Path, features: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    for out, seed in (("one", 3), ("two", 4), ("two", 3)):
        write_ranked_lists(features, drawn_shards, tmp_path / out, count=2, seed=seed, per_sheet=1)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["index.html", "preview.json", "sheet-001.png", "sheet-002.png"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worst": True, "seed": 1}, "not both"),
        ({"count": 0}, "show 1 or more"),
        ({"top": 0}, "give 1 or more"),
        ({"per_sheet": 0}, "on a sheet"),
    ],
)
def test_wrong_use_leaves_no_folder(
    drawn_shards: Path,
    features: dict[str, tuple[np.ndarray, np.ndarray]],
    tmp_path: Path,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ReidError, match=message):
        write_ranked_lists(features, drawn_shards, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_query_without_match(labels: dict[str, ShardSet], tmp_path: Path) -> None:
    lists = RankedLists(np.array([1]), np.array([[0, NOBODY]]), np.array([[0.5, np.nan]]), np.zeros((1, 2), bool))
    nothing = np.full(2, np.nan)
    metrics = RankingMetrics((1,), np.ones(1), 1.0, 1.0, nothing, nothing, 2, 2)
    (row,) = query_card([Ranking("run", lists, metrics)], 0, labels["query"], labels["gallery"]).rows
    assert row.score == "no match in the gallery" and [hit.rank for hit in row.hits] == [1]
