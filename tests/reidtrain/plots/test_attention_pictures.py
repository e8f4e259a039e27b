"""Attention maps of untrained networks, on drawn people."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import PARTS
from reidtrain.data.preprocessing import ChannelMeans, Preprocessor
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.factory import Model, build_model
from reidtrain.models.self_attention import SelfAttentionConfig
from reidtrain.plots.attention import draw_card, write_attention
from reidtrain.plots.attention_cards import Viewed, attention_cards
from reidtrain.plots.attention_maps import overlay, stretch

WHOLE = AttentionDrivenConfig(branches=("whole",))


@pytest.fixture(scope="module")
def queries(drawn_shards: Path) -> ShardSet:
    return ShardSet.open(drawn_shards, "query")


@lru_cache(4)
def network(config: AttentionDrivenConfig | SelfAttentionConfig) -> Model:
    """Made once for all tests. Read only."""
    return build_model(config, 3, seed=0).eval()


def viewed(shards: ShardSet, config: AttentionDrivenConfig | SelfAttentionConfig, label: str = "run") -> Viewed:
    sizes = {"whole": (96, 48), "parts": (48, 48), "image": (64, 32)}
    return Viewed(label, network(config), Preprocessor(ChannelMeans.of(shards), sizes=sizes).eval())


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)


def test_blocks_of_the_whole_body_and_of_the_parts(queries: ShardSet) -> None:
    cards = attention_cards([viewed(queries, AttentionDrivenConfig())], queries, [2, 0])
    assert [card.index for card in cards] == [2, 0] and cards[0].path == queries[2].path
    for card in cards:
        ((label, rows),) = card.groups
        assert label == "run" and [row.label for row in rows] == ["whole body", "four parts"]
        for row in rows:
            assert [panel.title for panel in row.panels] == ["block 2", "block 3", "block 4"]
            assert all(panel.picture.shape == card.picture.shape for panel in row.panels)
            assert all(0 < panel.low < panel.high < 1 for panel in row.panels)
        np.testing.assert_array_equal(card.picture, queries[card.index].whole)


def test_the_maps_are_those_of_the_network(queries: ShardSet) -> None:
    each = viewed(queries, WHOLE)
    (card,) = attention_cards([each], queries, [1])
    picture = torch.from_numpy(queries[1].whole).permute(2, 0, 1)[None].float() - each.preprocessor.whole_mean
    picture = torch.nn.functional.interpolate(picture / 255, size=(96, 48), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = each.model(whole=picture, attention_maps=True).attention["whole"]
    for panel, attention in zip(card.groups[0][1][0].panels, maps, strict=True):
        expected = attention[0].numpy()
        assert (panel.low, panel.high) == pytest.approx((expected.min(), expected.max()), abs=1e-3)
        difference = overlay(queries[1].whole, stretch(expected)).astype(int) - panel.picture
        assert np.abs(difference).mean() < 3


def test_parts_that_the_network_has_not_are_left_grey(queries: ShardSet) -> None:
    """With head and lower leg only, the middle of the body has no heat, and the ends have."""
    (card,) = attention_cards([viewed(queries, AttentionDrivenConfig(branches=("head", "lower_leg")))], queries, [0])
    (row,) = card.groups[0][1]
    assert row.label == "head, lower leg"
    whole, *parts = queries[0].boxes
    to_rows = len(card.picture) / (whole[3] - whole[1])
    head_ends = round((parts[PARTS.index("head")][3] - whole[1]) * to_rows)
    leg_starts = round((parts[PARTS.index("lower_leg")][1] - whole[1]) * to_rows)
    assert 0 < head_ends < leg_starts - 20
    for panel in row.panels:
        changed = (panel.picture != grey(card.picture)).any(axis=(1, 2))
        assert changed[: head_ends - 1].all() and changed[leg_starts + 1 :].all()
        assert not changed[head_ends + 1 : leg_starts - 1].any()


def test_stages_with_and_without_a_constraint_side_by_side(queries: ShardSet) -> None:
    models = [viewed(queries, SelfAttentionConfig(), label) for label in ("without", "with")]
    (card,) = attention_cards(models, queries, [0])
    assert [label for label, _ in card.groups] == ["without", "with"]
    for _, (row,) in card.groups:
        assert [panel.title for panel in row.panels] == ["stage 4", "stage 5", "stage 6"]
    np.testing.assert_array_equal(card.picture, queries[0].image)


def test_a_network_without_stage_6_shows_two(queries: ShardSet) -> None:
    config = SelfAttentionConfig(stage6=False)
    (card,) = attention_cards([viewed(queries, config)], queries, [0])
    assert [panel.title for panel in card.groups[0][1][0].panels] == ["stage 4", "stage 5"]


def test_a_network_without_attention(queries: ShardSet, drawn_shards: Path, tmp_path: Path) -> None:
    none = viewed(queries, AttentionDrivenConfig(branches=("head",), attention="none"), "runs/aligned")
    with pytest.raises(ReidError, match="runs/aligned: this network has no attention"):
        write_attention([none], drawn_shards, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_card_has_room_for_every_map(queries: ShardSet) -> None:
    models = [viewed(queries, SelfAttentionConfig(stage6=False), label) for label in ("one", "other")]
    (card,) = attention_cards(models, queries, [0])
    drawn = np.asarray(draw_card(card)).astype(int)
    # Below the captions panels are the only coloured things.
    coloured = (drawn.max(axis=-1) - drawn.min(axis=-1) > 30).astype(np.uint8)
    closed = cv2.morphologyEx(coloured, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    areas = cv2.connectedComponentsWithStats(closed)[2][1:, cv2.CC_STAT_AREA]
    assert np.count_nonzero(areas > 0.5 * 112 * 224) >= 2 * 2


def test_the_page_and_the_sheets(
    queries: ShardSet, drawn_shards: Path, tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    models = [
        viewed(queries, AttentionDrivenConfig(), "<b> & co"),
        viewed(queries, SelfAttentionConfig(), "self-attention"),
    ]
    calls: list[tuple[int, int]] = []
    for _ in range(2):
        pictures = write_attention(
            models, drawn_shards, tmp_path, count=3, per_sheet=2, progress=lambda *call: calls.append(call)
        )
    assert calls == [(2, 3), (3, 3)] * 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html",
        "preview.json",
        "sheet-001.png",
        "sheet-002.png",
    }
    page = read_page(pictures.page)
    page.require_self_contained()
    assert len(page.alternatives) == 3 * (1 + 6 + 3)
    assert page.text.count("<b> & co") == 3
    assert any(text.startswith("<b> & co: attention of four parts, block 3, 0.") for text in page.alternatives)
    assert f"3 of {len(queries)} query samples, spread evenly" in page.text


def test_a_seed_chooses_at_random(queries: ShardSet, drawn_shards: Path, tmp_path: Path) -> None:
    model = viewed(queries, WHOLE)

    def shown(seed: int) -> str:
        page = write_attention([model], drawn_shards, tmp_path, split="train", count=2, seed=seed).page
        return page.read_text(encoding="utf-8")

    pages = [shown(seed) for seed in range(4)]
    assert pages[1] == shown(1) and len(set(pages)) > 1
    assert "at random (seed 1)" in pages[1]


@pytest.mark.parametrize(("options", "message"), [({"count": 0}, "show 1 or more"), ({"per_sheet": 0}, "on a sheet")])
def test_wrong_use(
    queries: ShardSet, drawn_shards: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReidError, match=message):
        write_attention([viewed(queries, WHOLE)], drawn_shards, tmp_path / "out", **options)
