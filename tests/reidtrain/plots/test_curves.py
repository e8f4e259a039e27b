from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="pictures need Matplotlib: pip install 'reidprep[train]'")

from reidprep.errors import ReidError
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.plots.curves import FIGURE_SUFFIXES, cmc_floor, draw_cmc, draw_curves

BLUE = (0, 0x72, 0xB2)


def row(epoch: int, stage: str = "softmax", **values: float) -> dict[str, Any]:
    return {"epoch": epoch, "stage": stage, "loss": 5.0 / epoch, "loss/softmax": 4.0 / epoch, "lr": 0.1, **values}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def count(path: Path, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels(path) - colour).sum(axis=-1) < 12).sum())


def drawn(tmp_path: Path, history: list[dict[str, Any]], name: str = "curves.png") -> Path:
    draw_curves(history, tmp_path / name)
    return tmp_path / name


def test_a_panel_for_each_kind_of_value_there_is(tmp_path: Path) -> None:
    losses = drawn(tmp_path, [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}], "losses.png")
    rates = drawn(tmp_path, [row(1), row(2)], "rates.png")
    scores = drawn(tmp_path, [row(1), row(2, **{"val/rank1": 0.5, "val/mAP": 0.3})], "scores.png")
    heights = [pixels(path).shape[0] for path in (losses, rates, scores)]
    assert heights[0] < heights[1] < heights[2]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["losses.png", "rates.png", "scores.png"]


def test_the_boundary_of_stages_is_where_the_stage_changes(tmp_path: Path) -> None:
    """Between epochs 8 and 9 of 10: four fifths of the way along the axis, and nowhere else."""
    one = drawn(tmp_path, [row(epoch) for epoch in range(1, 11)], "one.png")
    two = drawn(
        tmp_path, [row(epoch, stage="softmax" if epoch <= 8 else "$ranking{$") for epoch in range(1, 11)], "two.png"
    )
    image = pixels(two)
    dark = np.flatnonzero((image < 40).all(axis=-1).mean(axis=0) > 0.5)  # the sides of the panels
    changed = np.flatnonzero((np.abs(image - pixels(one)).sum(axis=-1) > 60).mean(axis=0) > 0.2)
    left, right = dark.min(), dark.max()
    assert len(changed) and abs(changed.mean() - (left + 0.8 * (right - left))) < 3


@pytest.mark.parametrize(
    "history",
    [
        [row(1)],
        [row(1), row(2, **{"loss/ranking": 0.0})],
        [row(1), row(2, loss=float("nan")), row(3, loss=float("inf")), row(4)],
        [row(5, **{"val/loss": 3.0})],
        [row(epoch, stage=str(epoch)) for epoch in range(1, 4)],
    ],
    ids=["one epoch", "a loss of 0", "not finite", "one validation", "a stage per epoch"],
)
def test_any_history_is_drawn(tmp_path: Path, history: list[dict[str, Any]]) -> None:
    assert count(drawn(tmp_path, history), BLUE) > 20


def test_the_end_of_a_cosine_leaves_the_rest_to_be_seen(tmp_path: Path) -> None:
    """Its last rate is 8 decades below the others, which differ by a factor of 10: a quarter of the panel's height."""
    rates = [{"epoch": epoch, "lr": 1e-3 * 10 ** (-epoch / 10)} for epoch in range(11)] + [{"epoch": 11, "lr": 1e-12}]
    image = pixels(drawn(tmp_path, rates))
    dark = (image < 40).all(axis=-1)
    top, *_, bottom = np.flatnonzero(dark.mean(axis=1) > 0.5)
    left, *_, right = np.flatnonzero(dark.mean(axis=0) > 0.5)
    inside = (np.abs(image - BLUE).sum(axis=-1) < 12)[:, left:right]
    early, late = (np.flatnonzero(inside[:, int(share * (right - left))]).mean() for share in (0.1, 0.8))
    assert (late - early) / (bottom - top) > 0.1


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (drawn(tmp_path, [row(1), row(2)], name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two


@pytest.mark.parametrize("history", [[], [{"epoch": 1, "stage": "a"}], [{"epoch": 1, "loss": float("nan")}]])
def test_nothing_to_draw_leaves_the_file_there_was(tmp_path: Path, history: list[dict[str, Any]]) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"before")
    with pytest.raises(ReidError, match=r"curves\.png: no epoch"):
        draw_curves(history, path)
    assert path.read_bytes() == b"before"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="cannot be written"):
        draw_curves([row(1)], tmp_path / "nowhere" / "curves.png")


@pytest.mark.parametrize(
    ("lowest", "floor"), [(0.0, 0.0), (0.05, 0.0), (0.31, 0.2), (0.33, 0.3), (0.85, 0.8), (0.99, 0.8)]
)
def test_where_the_axis_of_cmc_curves_starts(lowest: float, floor: float) -> None:
    assert cmc_floor([np.array([lowest, 1.0]), np.array([1.0])]) == pytest.approx(floor)


def test_curves_as_evaluation_gives_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(12, 4)), rng.normal(size=(60, 4))
    pids, cameras = np.arange(60) % 12, np.arange(60) % 3
    metrics = evaluate_features(query, gallery, np.arange(12), pids, np.full(12, 9), cameras, ranks=range(1, 51))
    draw_cmc({"$one{$": metrics.cmc, "shorter": metrics.cmc[:5]}, tmp_path / "cmc.png")
    assert count(tmp_path / "cmc.png", BLUE) > 300
    assert count(tmp_path / "cmc.png", (0xD5, 0x5E, 0)) > 20


@pytest.mark.parametrize(
    "values", [[], [0.5, 0.4], [0.9, 1.1], [-0.1, 0.5], [0.1, float("nan")], [[0.1, 0.2]], [94.0, 97.0]]
)
def test_what_is_no_cmc_curve(tmp_path: Path, values: list) -> None:
    with pytest.raises(ReidError, match="'mine' is no CMC curve"):
        draw_cmc({"mine": values}, tmp_path / "cmc.png")


def test_no_cmc_curve_at_all(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="no curve to draw"):
        draw_cmc({}, tmp_path / "cmc.png")


@pytest.mark.parametrize("suffix", FIGURE_SUFFIXES)
def test_the_same_curves_give_the_same_bytes_in_every_format(suffix: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_cmc({"run $x$ \N{LATIN SMALL LETTER E WITH ACUTE}": [0.5, 0.75, 1]}, tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    if suffix == ".svg":
        assert "Rank-1 50.0%: run $x$ \N{LATIN SMALL LETTER E WITH ACUTE}" in one.decode() and b"<dc:date>" not in one
