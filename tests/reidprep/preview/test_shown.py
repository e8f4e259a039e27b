from dataclasses import replace

import numpy as np
import pytest

from reidprep.alignment.align import Flag
from reidprep.drawing.palette import GROUND, PAPER
from reidprep.drawing.scene import HEIGHT, WIDTH
from reidprep.preview.sheet import draw_card
from reidprep.preview.shown import Shown
from reidprep.shards.format import Sample

SOURCE = np.full((128, 64, 3), 128, dtype=np.uint8)


@pytest.mark.parametrize("source", [SOURCE, None], ids=["source", "crop"])
def test_a_card_has_a_drawing_and_all_crops(sample: Sample, source: np.ndarray | None) -> None:
    crops = {"whole": np.full((384, 192, 3), (255, 0, 0), np.uint8)}
    crops["parts"] = np.stack([np.full((96, 192, 3), (0, 255, 10 * i), np.uint8) for i in range(4)])
    drawn = np.asarray(draw_card(Shown(0, "train", replace(sample, **crops), source, ""))).astype(int)
    colours, counts = np.unique(drawn @ (1 << 16, 1 << 8, 1), return_counts=True)
    large = {(c >> 16, c >> 8 & 255, c & 255) for c in colours[counts > 10_000].tolist()}
    assert {(255, 0, 0), *((0, 255, 10 * i) for i in range(4)), GROUND, PAPER} <= large
    # The upper left is the drawing, in which the picture has its own colour.
    inside = drawn[HEIGHT // 4 : HEIGHT // 2, :WIDTH]
    assert (np.abs(inside - (SOURCE[0, 0] if source is not None else (255, 0, 0))).sum(axis=-1) == 0).sum() > 50


def test_crops_of_any_proportions_are_shown(sample: Sample) -> None:
    odd = replace(sample, whole=np.zeros((40, 400, 3), np.uint8), parts=np.zeros((4, 900, 20, 3), np.uint8))
    draw_card(Shown(0, "train", odd, SOURCE, "why " * 100))


def test_the_caption_says_what_is_known(sample: Sample) -> None:
    flagged = replace(sample, pid=-1, residual=0.1234, flags=Flag.FEW_JOINTS | Flag.TRUNCATED)
    shown = Shown(12, "gallery", flagged, None, "")
    assert shown.facts == "#12, junk (id -1), camera 1, gallery, 2 of 18 joints filled, residual 0.123"
    assert shown.flags == ["few joints", "truncated"] and Flag(0).words == []
    assert shown.title == "source missing: whole-body crop"
