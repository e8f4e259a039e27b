import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reidprep.alignment.align import Flag
from reidprep.drawing.palette import ESTIMATED, MEASURED
from reidprep.drawing.raster import draw_scene, font, shorten
from reidprep.drawing.scene import HEIGHT, VIEW_WIDTH, WIDTH, compose
from reidprep.preview.sheet import draw_sheet
from reidprep.preview.shown import Shown, facts, flag_names
from reidprep.shards.format import Sample

SOURCE = np.full((128, 64, 3), 128, dtype=np.uint8)


def test_measured_joints_are_discs_and_estimated_ones_rings(sample: Sample) -> None:
    scene = compose(sample, SOURCE)
    drawn = draw_scene(scene)
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    for joint in scene.joints:
        if joint.name.endswith(("elbow", "wrist", "ankle")):  # those that no other joint covers
            x, y = int(joint.x), int(joint.y)
            around = drawn[y - 6 : y + 7, x - 6 : x + 7].astype(int)
            ring = (np.abs(around - ESTIMATED).sum(axis=-1) < 60).sum()
            assert ring > 20 if joint.filled else ring == 0
            assert joint.filled or np.abs(drawn[y, x].astype(int) - MEASURED).max() < 10
            assert not joint.filled or np.abs(drawn[y, x].astype(int) - ESTIMATED).sum() > 60


def test_the_source_is_drawn_in_its_frame(sample: Sample) -> None:
    """Left half black, right half white: the change is where the frame says."""
    source = np.zeros((128, 64, 3), dtype=np.uint8)
    source[:, 32:] = 255
    scene = replace(compose(sample, source), limbs=(), joints=(), boxes=())
    x0, y0, x1, y1 = (round(value) for value in scene.frame)
    drawn = draw_scene(scene)[..., 1].astype(int)
    row = drawn[(y0 + y1) // 2]
    change = (x0 + x1) // 2
    assert row[x0 + 3 : change - 3].max() < 5 and row[change + 3 : x1 - 3].min() > 250
    assert 30 < row[:x0].mean() < 60 and 30 < row[x1 + 2 : VIEW_WIDTH].mean() < 60


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_sheet_has_room_for_every_sample(sample: Sample, count: int) -> None:
    data = draw_sheet([Shown(i, "train", sample, SOURCE, "") for i in range(count)], "title")
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    rows = -(-count // 2)
    assert image.height > rows * HEIGHT
    assert (image.width > 4 * WIDTH) == (count > 1)
    # The place of the last sample is drawn on, and is not blank paper.
    columns = min(2, count)
    left = (count - 1) % columns * (image.width // columns)
    top = image.height - HEIGHT - 60
    assert np.asarray(image.crop((left + 40, top, left + 300, image.height - 80))).mean() < 150


def test_crops_of_any_proportions_are_shown(sample: Sample) -> None:
    odd = replace(sample, whole=np.zeros((40, 400, 3), np.uint8), parts=np.zeros((4, 900, 20, 3), np.uint8))
    assert draw_sheet([Shown(0, "train", odd, SOURCE, "")], "title").startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["short.jpg", "folder/" + "x" * 300 + "_01.jpg", "a\nb\x1b[31m", ""])
def test_shortened_text_is_one_line_that_fits(text: str) -> None:
    result = shorten(text, 14, 300)
    assert result.isprintable()
    assert font(14).getlength(result) <= 300
    assert result[-4:] == text[-4:].replace("\x1b", "?")


def test_the_caption_says_what_is_known(sample: Sample) -> None:
    shown = Shown(12, "gallery", replace(sample, pid=-1, residual=0.1234), None, "")
    assert facts(shown) == ["#12", "junk (id -1)", "camera 1", "gallery", "2 of 18 joints filled", "residual 0.123"]
    assert flag_names(Flag.FEW_JOINTS | Flag.TRUNCATED) == ["few joints", "truncated"]
    assert flag_names(Flag(0)) == []
