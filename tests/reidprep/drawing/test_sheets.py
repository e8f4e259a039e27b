import io

import numpy as np
import pytest
from PIL import Image

from reidprep.drawing import sheets
from reidprep.drawing.raster import font
from reidprep.drawing.sheets import MARGIN, Canvas, Mark, draw_sheet, shorten

MARK = Mark(Image.new("RGB", (20, 20), (0, 0, 255)), "what it means")


def decoded(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(("count", "columns", "lines"), [(1, 1, 1), (2, 2, 1), (3, 2, 2)])
def test_cards_stand_side_by_side_as_far_as_there_is_room(count: int, columns: int, lines: int) -> None:
    sheet = decoded(draw_sheet("title", [MARK], [Image.new("RGB", (700, 100 + i), (255, 0, 0)) for i in range(count)]))
    assert sheet.shape[1] == columns * (700 + MARGIN) + MARGIN
    red = (sheet == (255, 0, 0)).all(axis=-1)
    assert red.sum() == sum(700 * (100 + i) for i in range(count))
    assert np.count_nonzero(np.diff(red.any(axis=1).astype(int)) == 1) == lines


def test_a_long_title_and_the_legend_do_not_leave_the_sheet() -> None:
    sheet = decoded(draw_sheet("title " * 100, [MARK] * 5, [Image.new("RGB", (10, 10))]))
    assert (sheet[:, -MARGIN:] == 255).all()
    blue = (sheet == (0, 0, 255)).all(axis=-1)
    assert np.count_nonzero(np.diff(blue.any(axis=0).astype(int)) == 1) == 5


@pytest.mark.parametrize("shape", [(40, 400), (900, 20), (1, 1)])
def test_pictures_of_any_proportions_are_shown_whole(shape: tuple[int, int]) -> None:
    canvas = Canvas(100, 200)
    canvas.show(0, 0, np.full((*shape, 3), (0, 255, 0), np.uint8), 100, 200)
    rows, columns = (np.asarray(canvas.image) == (0, 255, 0)).all(axis=-1).nonzero()
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert (height == 200 or width == 100) and width / height == pytest.approx(shape[1] / shape[0], rel=0.2)


@pytest.mark.parametrize("text", ["short.jpg", "folder/" + "x" * 300 + "_01.jpg", "a\nb\x1b[31m", ""])
def test_shortened_text_is_one_line_that_fits(text: str) -> None:
    result = shorten(text, 14, 300)
    assert result.isprintable()
    assert font(14).getlength(result) <= 300
    assert result[-4:] == text[-4:].replace("\x1b", "?")


def test_the_longest_path_is_shortened_in_a_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    class Counted:
        def getlength(self, text: str) -> float:
            looks.append(text)
            return 7.0 * len(text)

    monkeypatch.setattr(sheets, "font", lambda size: Counted())
    assert len(shorten("x" * 4096, 14, 300)) == 42
    assert len(looks) < 20
