"""Solids on the canvas."""

from __future__ import annotations

import numpy as np
import pytest

from reidprep.synth.canvas import Canvas, Layer


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(np.zeros((60, 80, 3), dtype=np.float32), (0.5, -0.5), np.random.default_rng(0))


def test_a_capsule_covers_the_pixels_near_its_axis(canvas: Canvas) -> None:
    canvas.solid([(20, 30, 8, 8), (60, 30, 8, 8)], (1.0, 0.5, 0.2), Layer.TRUNK)
    y, x = np.mgrid[:60, :80] + 0.5
    distance = np.hypot(x - np.clip(x, 20, 60), y - 30)
    covered = canvas.layers == Layer.TRUNK
    assert covered[distance < 7].all() and not covered[distance > 9.5].any()
    assert (canvas.image[~covered] == 0).all() and (canvas.image[covered][:, 0] > 0).all()


def test_later_solids_lie_in_front(canvas: Canvas) -> None:
    canvas.solid([(40, 30, 20, 20)], (1, 1, 1), Layer.TRUNK)
    canvas.solid([(40, 30, 5, 5)], (1, 1, 1), Layer.RIGHT_ARM)
    assert canvas.layers[30, 40] == Layer.RIGHT_ARM and canvas.layers[30, 28] == Layer.TRUNK


@pytest.mark.parametrize("centre", [(-100, 30), (40, 500), (0, 0), (80, 60)])
def test_solids_may_leave_the_canvas(canvas: Canvas, centre: tuple[int, int]) -> None:
    canvas.solid([(*centre, 6, 6), (*centre, 9, 9)], (1, 1, 1), Layer.TRUNK)
    corner = centre in ((0, 0), (80, 60))
    assert (canvas.layers == Layer.TRUNK).any() == corner


def test_a_texture_runs_along_the_axis(canvas: Canvas) -> None:
    def half(across: np.ndarray, along: np.ndarray) -> np.ndarray:
        return np.where((along > 20)[..., None], np.float32([1, 0, 0]), np.float32([0, 1, 0]))

    canvas.solid([(20, 30, 6, 6), (60, 30, 6, 6)], half, Layer.TRUNK, creases=0.0)
    assert canvas.image[30, 30].argmax() == 1 and canvas.image[30, 50].argmax() == 0
