from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidtrain.plots.attention_maps import HEAT_SHARE, fuse_parts, heat_colours, overlay, stretch

WHOLE = np.array([10.0, -5.0, 50.0, 75.0])
STRIPS = np.array([[10, y, 50, y + 20] for y in (-5, 15, 35, 55)], dtype=float)


def lightness(colours: np.ndarray) -> np.ndarray:
    """L* of (n, 3) RGB."""
    return cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]


def at(attention: np.ndarray, x: float, y: float) -> float:
    """Bilinear value at a place, in cells; cell (0, 0) has its centre at (0.5, 0.5). Beyond the edge as at it."""
    rows, columns = attention.shape
    x, y = min(max(x - 0.5, 0), columns - 1), min(max(y - 0.5, 0), rows - 1)
    i, j = min(int(y), max(rows - 2, 0)), min(int(x), max(columns - 2, 0))
    low, right = min(i + 1, rows - 1), min(j + 1, columns - 1)
    top = attention[i, j] * (1 - (x - j)) + attention[i, right] * (x - j)
    bottom = attention[low, j] * (1 - (x - j)) + attention[low, right] * (x - j)
    return float(top * (1 - (y - i)) + bottom * (y - i))


def slowly_fused(maps: list[np.ndarray], boxes: np.ndarray, whole: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    result = np.full(size, np.nan)
    for row in range(size[0]):
        for column in range(size[1]):
            x = whole[0] + (column + 0.5) * (whole[2] - whole[0]) / size[1]
            y = whole[1] + (row + 0.5) * (whole[3] - whole[1]) / size[0]
            total = weights = 0.0
            for attention, (x0, y0, x1, y1) in zip(maps, boxes, strict=True):
                if x0 < x < x1 and y0 < y < y1:
                    weight = min(y - y0, y1 - y)
                    place = (x - x0) / (x1 - x0) * attention.shape[1], (y - y0) / (y1 - y0) * attention.shape[0]
                    total += weight * at(attention, *place)
                    weights += weight
            if weights:
                result[row, column] = total / weights
    return result


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_parts_go_where_they_were_cut(seed: int) -> None:
    """Boxes that overlap, leave the whole body's box, or leave gaps."""
    rng = np.random.default_rng(seed)
    maps = [rng.random(rng.integers(1, 6, 2)).astype(np.float32) for _ in range(rng.integers(1, 5))]
    low = rng.uniform(-15, 45, (len(maps), 2))
    boxes = np.hstack([low, low + rng.uniform(5, 50, (len(maps), 2))])
    fused = fuse_parts(maps, boxes, WHOLE, (32, 16))
    expected = slowly_fused(maps, boxes, WHOLE, (32, 16))
    assert fused.shape == (32, 16) and fused.dtype == np.float32
    # remap works with 5 bits behind the point.
    np.testing.assert_allclose(fused, expected, atol=0.05)


def test_a_part_that_is_the_whole_is_only_enlarged() -> None:
    attention = np.random.default_rng(0).random((6, 3)).astype(np.float32)
    fused = fuse_parts([attention], WHOLE[None], WHOLE, (48, 24))
    np.testing.assert_allclose(fused, cv2.resize(attention, (24, 48), interpolation=cv2.INTER_LINEAR), atol=0.02)


def test_strips_that_only_touch_keep_their_values() -> None:
    fused = fuse_parts([np.full((4, 8), value) for value in (0.1, 0.9, 0.3, 0.7)], STRIPS, WHOLE, (80, 40))
    np.testing.assert_allclose(fused, np.repeat([0.1, 0.9, 0.3, 0.7], 20)[:, None].repeat(40, axis=1), rtol=1e-6)


def test_overlapping_parts_pass_into_each_other_without_a_step() -> None:
    boxes = np.array([[10, -5, 50, 45], [10, 25, 50, 75]], dtype=float)
    column = fuse_parts([np.zeros((2, 2)), np.ones((2, 2))], boxes, WHOLE, (160, 8))[:, 3]
    assert (np.diff(column) >= 0).all() and np.diff(column).max() < 0.05
    assert column[0] == 0 and column[-1] == 1


def test_where_no_part_is_nothing_is_known() -> None:
    fused = fuse_parts([np.ones((2, 2))] * 2, STRIPS[[0, 3]], WHOLE, (80, 40))
    assert np.isnan(fused[20:60]).all() and np.isfinite(fused[:20]).all() and np.isfinite(fused[60:]).all()


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.floats(-10, 10))
@settings(max_examples=30)
def test_stretching_undoes_scale_and_offset(seed: int, scale: float, offset: float) -> None:
    attention = np.random.default_rng(seed).random((5, 4))
    attention.flat[:2] = 0, 1
    np.testing.assert_allclose(stretch(attention * scale + offset * scale), attention, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_a_map_without_contrast_is_low_everywhere(value: float) -> None:
    assert not stretch(np.full((3, 2), value)).any()


def test_a_map_without_range_is_flat_and_not_stretched_rounding() -> None:
    almost = np.array([[0.5, 0.5002], [0.5001, np.nan]])
    np.testing.assert_array_equal(stretch(almost), [[0, 0], [0, np.nan]])


def test_stretching_leaves_out_what_is_not_known() -> None:
    np.testing.assert_array_equal(stretch(np.array([[2.0, np.nan], [4.0, 3.0]])), [[0, np.nan], [1, 0.5]])


def test_heat_gets_evenly_lighter() -> None:
    steps = np.diff(lightness(heat_colours())[::15])
    assert heat_colours().shape == (256, 3)
    assert steps.min() > 0.4 * steps.mean() and steps.max() < 1.6 * steps.mean()
    assert heat_colours()[0].max() < 10 and heat_colours()[255].min() > 150


def test_more_attention_is_brighter_whatever_the_image() -> None:
    ramp = np.linspace(0, 1, 64)[None].repeat(8, axis=0)
    for grey in (0, 128, 255):
        drawn = overlay(np.full((8, 64, 3), grey, np.uint8), ramp)
        assert drawn.dtype == np.uint8
        assert (np.diff(lightness(drawn[4])[::4]) > 0).all()


def test_the_image_stays_visible_as_shades_of_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 10, 3)).astype(np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    drawn = overlay(image, np.full((5, 5), 0.5))
    shade = drawn - HEAT_SHARE * heat_colours()[128].astype(float)
    np.testing.assert_allclose(shade, (1 - HEAT_SHARE) * grey[..., None].repeat(3, axis=2), atol=1.5)


def test_what_is_not_known_has_no_heat() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 10, 3)).astype(np.uint8)
    attention = np.ones((20, 10))
    attention[:10] = np.nan
    drawn = overlay(image, attention)
    np.testing.assert_array_equal(drawn[:10], cv2.cvtColor(image[:10], cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2))
    assert (drawn[10:, :, 0].astype(int) - drawn[10:, :, 2] > 40).all()


def test_heat_is_where_the_map_is_high() -> None:
    attention = np.zeros((12, 6))
    attention[2, 4] = 1
    drawn = overlay(np.zeros((120, 60, 3), np.uint8), attention)
    assert np.unravel_index(drawn.sum(axis=-1).argmax(), (120, 60)) == pytest.approx((25, 45), abs=1)
