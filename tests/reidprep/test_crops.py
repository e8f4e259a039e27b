import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.images import crop_box


def bilinear_oracle(
    image: np.ndarray, box: tuple[float, ...], size: tuple[int, int], border: tuple[float, ...]
) -> np.ndarray:
    """Pixel by pixel, in continuous coordinates."""
    x0, y0, x1, y1 = box
    height, width = size
    result = np.zeros((height, width, 3))
    within = x0 >= 0 and y0 >= 0 and x1 <= image.shape[1] and y1 <= image.shape[0]

    def pixel(y: int, x: int) -> np.ndarray:
        beside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
        if not beside and not within:
            return np.array(border, float)
        return image[np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)].astype(float)

    for i in range(height):
        for j in range(width):
            y = y0 + (i + 0.5) / height * (y1 - y0) - 0.5
            x = x0 + (j + 0.5) / width * (x1 - x0) - 0.5
            top, left = int(np.floor(y)), int(np.floor(x))
            v, u = y - top, x - left
            result[i, j] = (
                (1 - v) * (1 - u) * pixel(top, left)
                + (1 - v) * u * pixel(top, left + 1)
                + v * (1 - u) * pixel(top + 1, left)
                + v * u * pixel(top + 1, left + 1)
            )
    return result


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("box", [(0, 0, 8, 12), (1.3, 2.7, 6.1, 9.9), (-4, -3, 12, 15), (2, 2, 3, 3), (20, 20, 30, 30)])
def test_equals_the_explicit_sum(box: tuple[float, ...]) -> None:
    image = picture(12, 8)
    got = crop_box(image, box, (20, 14), (10, 20, 30))
    # OpenCV 4 places samples on a grid of 1/32 pixel; neighbouring noise differs by up to 255.
    assert np.abs(got - bilinear_oracle(image, box, (20, 14), (10, 20, 30))).max() <= 255 / 32 + 1


def test_the_whole_image_at_its_own_size_is_unchanged() -> None:
    image = picture(12, 8)
    np.testing.assert_array_equal(crop_box(image, (0, 0, 8, 12), (12, 8), (0, 0, 0)), image)


@pytest.mark.parametrize("box", [(3, 0, 3, 4), (4, 0, 3, 4), (0, 5, 3, 4), (0, 0, np.nan, 4), (0, 0, np.inf, 4)])
def test_a_box_that_holds_nothing_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="x1 > x0 and y1 > y0"):
        crop_box(np.zeros((8, 8, 3), np.uint8), box, (4, 4))


def test_an_image_of_fractions_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8, 0 to 255, not float64"):
        crop_box(np.zeros((8, 8, 3)), (0, 0, 4, 4), (4, 4))  # type: ignore[arg-type]


def test_a_box_within_the_image_holds_nothing_of_the_border_colour() -> None:
    flat = np.full((12, 8, 3), 77, dtype=np.uint8)
    for box in ((0, 0, 8, 12), (0, 9, 8, 12), (0, 0, 8, 3)):
        assert (crop_box(flat, box, (36, 24), (255, 0, 0)) == 77).all()
    assert (crop_box(flat, (0, 0, 8, 12.5), (36, 24), (255, 0, 0)) != 77).any()


def test_outside_the_image_is_border() -> None:
    result = crop_box(picture(12, 8), (100, 100, 110, 120), (20, 10), (10, 20, 30))
    assert (result == (10, 20, 30)).all()


def test_shrinking_averages() -> None:
    image = np.zeros((400, 200, 3), dtype=np.uint8)
    image[::2] = 200  # stripes of one pixel: sampling every fourth row would give 0 or 200
    result = crop_box(image, (0, 0, 200, 400), (100, 50), (100, 100, 100))
    assert np.abs(result[1:-1, 1:-1].astype(int) - 100).max() <= 2


@settings(max_examples=60)
@given(
    x=st.floats(-50, 50), y=st.floats(-50, 50), width=st.floats(0.5, 400), height=st.floats(0.5, 400),
    rows=st.integers(1, 40), columns=st.integers(1, 40),
)  # fmt: skip
def test_any_box_gives_a_full_crop(x: float, y: float, width: float, height: float, rows: int, columns: int) -> None:
    flat = np.full((30, 20, 3), 77, dtype=np.uint8)
    result = crop_box(flat, (x, y, x + width, y + height), (rows, columns), (77, 77, 77))
    assert result.shape == (rows, columns, 3)
    assert (result == 77).all()
