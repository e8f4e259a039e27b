import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.estimators.top_down import decode_heat_maps, decode_simcc, region_size, to_image, warp

SIDE = st.integers(1, 500)
SIZE = st.tuples(st.integers(8, 400), st.integers(8, 400))


def matrix_oracle(image_size: tuple[int, int], input_size: tuple[int, int], padding: float) -> np.ndarray:
    """One factor, with which the padded image just fits, and the image's centre on the centre of the input."""
    scale = min(target / (side * padding) for side, target in zip(image_size, input_size, strict=True))
    shift = [(target - side * scale) / 2 for side, target in zip(image_size, input_size, strict=True)]
    return np.array([[scale, 0, shift[1]], [0, scale, shift[0]]])


@given(st.tuples(SIDE, SIDE), SIZE, st.floats(0.5, 3))
def test_points_go_back_where_the_warp_took_them_from(image_size, input_size, padding) -> None:
    matrix = matrix_oracle(image_size, input_size, padding)
    points = np.random.default_rng(0).uniform(-50, 550, (20, 2))
    there = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(to_image(there, image_size, input_size, padding), points, atol=0.05)


@pytest.mark.parametrize("image_size", [(128, 64), (40, 90), (64, 48), (300, 200)])
@pytest.mark.parametrize("input_size", [(192, 96), (256, 192), (64, 64)])
def test_warp_puts_pixels_there(image_size: tuple[int, int], input_size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*image_size, 3), np.uint8)
    matrix = matrix_oracle(image_size, input_size, 1.25)
    expected = cv2.warpAffine(image, matrix, input_size[::-1], flags=cv2.INTER_LINEAR)
    difference = np.abs(warp(image, input_size).astype(int) - expected)
    # Single precision may turn the rounding of a position to 1/32 pixel, and with it a value here and there.
    assert (difference > 0).mean() < 0.2 and np.percentile(difference, 99) <= 8


@given(st.tuples(SIDE, SIDE), SIZE, st.floats(0.5, 3))
def test_the_region_has_the_shape_of_the_input_and_holds_the_image(image_size, input_size, padding) -> None:
    height, width = region_size(image_size, input_size, padding)
    assert width / height == pytest.approx(input_size[1] / input_size[0])
    ratios = np.array([height, width]) / image_size
    assert ratios.min() == pytest.approx(padding)


def heat_map_oracle(heat_map: np.ndarray) -> tuple[float, float, float]:
    """One map, step by step, as mmpose has it."""
    rows, columns = heat_map.shape
    y, x = divmod(int(np.argmax(heat_map)), columns)
    move_x = move_y = 0.0
    if 1 < x < columns - 1 and 0 < y < rows:
        move_x = 0.25 * float(np.sign(heat_map[y, x + 1] - heat_map[y, x - 1]))
    if 1 < y < rows - 1 and 0 < x < columns:
        move_y = 0.25 * float(np.sign(heat_map[y + 1, x] - heat_map[y - 1, x]))
    return x + move_x, y + move_y, float(heat_map[y, x])


@pytest.mark.parametrize("shape", [(12, 9), (2, 2), (1, 5), (3, 4), (1, 1)])
def test_heat_maps_equal_the_loop(shape: tuple[int, int]) -> None:
    # Few levels: many equal neighbours. Many small maps: the peak is often at an edge.
    maps = np.random.default_rng(2).integers(0, 6, (40, 17, *shape)).astype(np.float32)
    got = decode_heat_maps(maps, (shape[0] * 4, shape[1] * 4))
    for i in range(40):
        for j in range(17):
            x, y, score = heat_map_oracle(maps[i, j])
            np.testing.assert_allclose(got[i, j], [x * 4, y * 4, score], rtol=1e-6)


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_simcc_equals_the_loop(ratio: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-5, 6, (9, 17, 24 * ratio)).astype(np.float32)
    y = rng.integers(-5, 6, (9, 17, 40 * ratio)).astype(np.float32)
    got = decode_simcc(x, y, (40, 24))
    for i in range(9):
        for j in range(17):
            best_x = max(range(24 * ratio), key=lambda k: x[i, j, k])
            best_y = max(range(40 * ratio), key=lambda k: y[i, j, k])
            expected = [best_x / ratio, best_y / ratio, min(x[i, j, best_x], y[i, j, best_y])]
            np.testing.assert_allclose(got[i, j], expected, rtol=1e-6)
