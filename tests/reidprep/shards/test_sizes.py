import numpy as np
import pytest

from reidprep.shards.sizes import SHARE, STEPS, source_sizes

FULL = {"whole": (384, 192), "parts": (96, 192), "image": (256, 128)}


def boxes_of(*sides: tuple[float, float]) -> np.ndarray:
    """(1, 5, 4) boxes of the given heights and widths, somewhere."""
    return np.array([[(3, -5, 3 + width, height - 5) for height, width in sides]], dtype=np.float32)


def people(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and image sizes of any proportions."""
    random = np.random.default_rng(seed)
    sides = random.gamma(4.0, random.uniform(5, 60), (number, 5, 2))
    corner = random.uniform(-20, 20, (number, 5, 2))
    images = random.integers(1, 400, (number, 2))
    return np.concatenate([corner, corner + sides], axis=2).astype(np.float32), images.astype(np.int32)


@pytest.mark.parametrize("seed", range(20))
def test_the_size_is_the_smallest_step_that_is_enough_for_the_stated_share(seed: int) -> None:
    boxes, images = people(37, seed)
    sides = {
        "whole": [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes[:, 0]],
        "parts": [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes[:, 1:].reshape(-1, 4)],
        "image": [(height, width) for width, height in images],
    }
    for view, size in source_sizes(FULL, boxes, images).items():
        height, width = FULL[view]
        for step in range(1, STEPS + 1):
            kept = sum(h <= height * step / STEPS and w <= width * step / STEPS for h, w in sides[view])
            if kept >= SHARE * len(sides[view]):
                break
        assert size == (height * step / STEPS, width * step / STEPS)


def test_large_sources_keep_the_size() -> None:
    boxes, images = people(10, 0)
    assert source_sizes(FULL, boxes * 100, images * 100) == FULL


def test_a_size_that_fits_exactly_is_not_exceeded() -> None:
    boxes = boxes_of((192, 10), *[(1, 24)] * 4)
    sizes = source_sizes(FULL, boxes, np.array([[64, 128]], dtype=np.int32))
    assert sizes == {"whole": (192, 96), "parts": (12, 24), "image": (128, 64)}


@pytest.mark.parametrize("full", [(8, 8), (9, 4096), (100, 50)])
def test_odd_sizes_stay_between_a_pixel_and_the_size_asked_for(full: tuple[int, int]) -> None:
    for seed in range(5):
        boxes, images = people(5, seed)
        (height, width) = source_sizes({"whole": full}, boxes, images)["whole"]
        assert 1 <= height <= full[0] and 1 <= width <= full[1]
