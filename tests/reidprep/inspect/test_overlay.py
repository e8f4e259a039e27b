import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidprep.inspect.cards import in_crop
from reidprep.inspect.overlay import LAYERS, Picture, draw, view_of
from reidprep.inspect.samples import Geometry

BOXES = np.array(
    [[-5, -10, 60, 130], [-5, -10, 60, 30], [-5, 20, 60, 70], [-5, 60, 60, 100], [-5, 90, 60, 130]], np.float32
)


def geometry(joints: np.ndarray | None = None, boxes: np.ndarray = BOXES, size: tuple | None = (64, 128)) -> Geometry:
    if joints is None:
        joints = np.random.default_rng(0).uniform(0, 60, (18, 2))
    filled = np.arange(18) % 3 == 0
    return Geometry(joints.astype(np.float32), np.full(18, 0.5, np.float32), filled, boxes, size)


def svg(drawn: Geometry, title: str = "title", href: str = "/x", tooltips: tuple = ()) -> str:
    return str(draw(drawn, Picture(href, (0, 0, 64, 128)), title, view=view_of(drawn), height=200, tooltips=tooltips))


def test_every_layer_is_a_group_and_nothing_has_a_style() -> None:
    text = svg(geometry(), tooltips=tuple(f"joint {i}" for i in range(18)))
    root = ElementTree.fromstring(text)
    assert [group.get("class") for group in root.iter("g") if group.get("class")] == [
        *(f"layer-{layer}" for layer in LAYERS[3:]),
        *(f"layer-{layer}" for layer in ("skeleton", "joints", "filled")),
    ]
    assert "style" not in text and "<script" not in text
    filled = next(group for group in root.iter("g") if group.get("class") == "layer-filled")
    assert len(list(filled.iter("title"))) == 6


def test_titles_and_addresses_are_escaped() -> None:
    text = svg(geometry(), title="</title><script>", href='/x?a=1&b="2"', tooltips=("<b>",) * 18)
    root = ElementTree.fromstring(text)
    assert root.findtext("title") == "</title><script>"
    assert next(root.iter("image")).get("href") == '/x?a=1&b="2"'


@given(arrays(np.float32, (18, 2), elements=st.floats(width=32)))
def test_wild_joints_neither_break_nor_shrink_a_drawing(joints: np.ndarray) -> None:
    text = svg(geometry(joints))
    ElementTree.fromstring(text)
    x0, y0, x1, y1 = view_of(geometry(joints))
    assert x0 <= -5 and y0 <= -10 and x1 >= 64 and y1 >= 130
    assert y1 - y0 < 140 * 2.5
    assert not re.search(r"nan|inf", text)


@pytest.mark.parametrize("size", [None, (64, 128), (300, 40)])
@pytest.mark.parametrize("boxes", [BOXES, np.zeros((0, 4), np.float32)])
def test_a_view_has_one_proportion(boxes: np.ndarray, size: tuple | None) -> None:
    if not len(boxes) and size is None:
        return
    x0, y0, x1, y1 = view_of(geometry(boxes=boxes, size=size))
    assert (x1 - x0) / (y1 - y0) == pytest.approx(0.55)


def test_joints_lie_in_a_crop_where_the_box_was_cut() -> None:
    joints = np.zeros((18, 2))
    joints[0], joints[1], joints[2] = (-5, -10), (60, 130), (27.5, 60)
    moved = in_crop(geometry(joints), 0, (192, 96))
    np.testing.assert_allclose(moved.joints[:3], [[0, 0], [96, 192], [48, 96]], atol=1e-4)
    assert len(moved.boxes) == 0 and moved.size is None
