from dataclasses import replace

import numpy as np

from reidprep.drawing.palette import FILLED, GROUND, MEASURED
from reidprep.drawing.raster import draw_scene
from reidprep.drawing.scene import GUTTER, HEIGHT, WIDTH, compose

SOURCE = np.full((128, 64, 3), 128, dtype=np.uint8)
FRAME = (0, 0, 64, 128)


def test_measured_joints_are_discs_and_filled_ones_rings(person: dict) -> None:
    scene = compose(**person, frame=FRAME, gutter=GUTTER)
    drawn = draw_scene(scene, SOURCE)
    assert drawn.shape == (HEIGHT, WIDTH + GUTTER, 3)
    for joint in scene.joints:
        if joint.name.endswith(("wrist", "ankle")):  # those that no other joint covers
            x, y = int(joint.x), int(joint.y)
            around = drawn[y - 6 : y + 7, x - 6 : x + 7].astype(int)
            ring = (np.abs(around - FILLED).sum(axis=-1) < 60).sum()
            filled = joint.state == "filled"
            assert ring > 20 if filled else ring == 0
            assert filled or np.abs(drawn[y, x].astype(int) - MEASURED).max() < 10
            assert not filled or np.abs(drawn[y, x].astype(int) - FILLED).sum() > 60


def test_the_source_is_drawn_in_its_frame(person: dict) -> None:
    """Left half black, right half white: the change is where the frame says."""
    source = np.zeros((128, 64, 3), dtype=np.uint8)
    source[:, 32:] = 255
    scene = replace(compose(**person, frame=FRAME), limbs=(), joints=(), boxes=())
    assert scene.frame is not None
    x0, y0, x1, y1 = (round(value) for value in scene.frame)
    drawn = draw_scene(scene, source)[..., 1].astype(int)
    row = drawn[(y0 + y1) // 2]
    change = (x0 + x1) // 2
    assert row[x0 + 3 : change - 3].max() < 5 and row[change + 3 : x1 - 3].min() > 250
    assert 30 < row[:x0].mean() < 60 and 30 < row[x1 + 2 :].mean() < 60


def test_nothing_but_names_is_drawn_into_the_gutter(person: dict) -> None:
    """A wrist beyond the right edge: its limb ends there."""
    person["joints"] = person["joints"] + [[100, 0]] * (np.arange(18) == 7)[:, None]
    scene = compose(**person | {"boxes": ()}, frame=FRAME, view=FRAME, gutter=GUTTER)
    drawn = draw_scene(scene, SOURCE)
    assert any(joint.x > scene.width for joint in scene.joints)
    assert (drawn[:, round(scene.width) :] == GROUND).all()
