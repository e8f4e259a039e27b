import re
from xml.etree import ElementTree

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidprep.drawing.legend import LEGEND
from reidprep.drawing.scene import GUTTER, compose
from reidprep.drawing.svg import draw_svg

FRAME = (0, 0, 64, 128)


def test_every_layer_is_a_group_and_nothing_has_a_style(person: dict) -> None:
    text = draw_svg(compose(**person, frame=FRAME), "/x", "title", "guessed")
    root = ElementTree.fromstring(text)
    classes = [group.get("class") for group in root.iter("g") if group.get("class")]
    assert set(classes) == {f"layer-{layer}" for layer in LEGEND} and len(classes) == len(LEGEND)
    assert "style" not in text and "<script" not in text
    filled = next(group for group in root.iter("g") if group.get("class") == "layer-filled")
    assert sorted(title.text or "" for title in filled.iter("title")) == [
        "l_ankle: guessed, score 0.10",
        "l_wrist: guessed, score 0.10",
    ]


def test_what_leads_out_of_the_view_is_cut_off_at_the_gutter(person: dict) -> None:
    root = ElementTree.fromstring(draw_svg(compose(**person, frame=FRAME, gutter=GUTTER), "/x", "title"))
    inner, *names = [element for element in root if element.tag != "title"]
    assert inner.tag == "svg" and float(inner.get("width", 0)) == float(root.get("viewBox", "").split()[2]) - GUTTER
    assert [name.text for name in names] == ["whole body", "head", "upper body", "upper leg", "lower leg"]


def test_titles_and_addresses_are_escaped(person: dict) -> None:
    text = draw_svg(compose(**person, frame=FRAME), '/x?a=1&b="2"', "</title><script>", "<b>")
    root = ElementTree.fromstring(text)
    assert root.findtext("title") == "</title><script>" and "<b>" not in text
    assert next(root.iter("image")).get("href") == '/x?a=1&b="2"'


@given(arrays(np.float32, (18, 2), elements=st.floats(width=32)))
def test_wild_joints_do_not_break_a_drawing(joints: np.ndarray) -> None:
    text = draw_svg(compose(joints, FRAME), "/x", "title")
    ElementTree.fromstring(text)
    assert not re.search(r"nan|inf", text)
