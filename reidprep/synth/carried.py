"""Backpacks, handbags and satchels."""

from __future__ import annotations

import numpy as np

from reidprep.synth.canvas import Canvas, Layer
from reidprep.synth.figure import Figure

# Height, half width, half depth, as shares of body height.
BACKPACK = ((0.815, 0.050, 0.022), (0.795, 0.070, 0.034), (0.640, 0.082, 0.046), (0.590, 0.074, 0.042))


def draw_bag(canvas: Canvas, figure: Figure, *, near: bool) -> None:
    """Paint what is carried, if it lies on the asked side of the trunk."""
    who = figure.identity
    if who.carried == "backpack":
        towards_camera = np.cos(figure.view.yaw) < 0
        if near == towards_camera:
            canvas.solid(figure.barrel(BACKPACK, back=0.115 * figure.height), who.bag, Layer.CARRIED)
        elif near:
            _shoulder_straps(canvas, figure)
    elif who.carried in ("handbag", "satchel"):
        side = who.bag_side
        hung_near = figure.near(f"{side}_hip") >= 0 or abs(np.sin(figure.view.yaw)) < 0.3
        if who.carried == "satchel" and near:
            _strap(canvas, figure, hung_near)
        if near == hung_near:
            _hanging_bag(canvas, figure)


def _shoulder_straps(canvas: Canvas, figure: Figure) -> None:
    width = 0.011 * figure.height * figure.view.scale
    for side in "rl":
        if figure.near(f"{side}_shoulder") < -0.12:
            continue
        shoulder = 0.62 * figure.points[f"{side}_shoulder"] + 0.38 * figure.points["neck"]
        waist = 0.85 * figure.points[f"{side}_shoulder"] + 0.15 * figure.points["neck"]
        low = waist - [0, 0, 0.15 * figure.height]
        ends = figure.view.project([shoulder, shoulder + np.array([0, 0.05 * figure.height, -0.04]), low])
        canvas.solid(np.c_[ends, np.full((3, 2), width)], figure.identity.bag, Layer.CARRIED)


def _strap(canvas: Canvas, figure: Figure, hung_near: bool) -> None:
    side = figure.identity.bag_side
    other = "l" if side == "r" else "r"
    shoulder = 0.6 * figure.points[f"{other}_shoulder"] + 0.4 * figure.points["neck"]
    hip = figure.points[f"{side}_hip"]
    if not hung_near:
        hip = 0.5 * (hip + figure.points["pelvis"])
    width = 0.009 * figure.height * figure.view.scale
    ends = figure.view.project([shoulder, hip + np.array([0, 0, 0.03 * figure.height])])
    canvas.solid(np.c_[ends, np.full((2, 2), width)], figure.identity.bag, Layer.CARRIED)


def _hanging_bag(canvas: Canvas, figure: Figure) -> None:
    who, height, scale = figure.identity, figure.height, figure.view.scale
    side = who.bag_side
    sign = 1.0 if side == "l" else -1.0
    if who.carried == "handbag":
        top = figure.points[f"{side}_hand"] - [0, 0, 0.03 * height]
        size, handle = 0.065, figure.points[f"{side}_hand"]
    else:
        top = figure.points[f"{side}_hip"] + [sign * 0.045 * height, 0, 0]
        size, handle = 0.055, None
    across, _ = figure.view.extent(0.022 * height, size * height, 0.0)
    x, y = figure.view.project(top)
    tall = size * height * scale
    corners = np.array([(-0.85, 0), (0.85, 0), (1, 1.5), (0.8, 1.75), (-0.8, 1.75), (-1, 1.5)])
    canvas.shape([corners * [across, tall] + [x, y]], who.bag, Layer.CARRIED, creases=0.3, relief=0.7)
    if handle is not None:
        grip = figure.view.project(handle)
        for shift in (-0.6, 0.6):
            canvas.line(grip, (x + shift * across, y + 2), 0.008 * height * scale, who.bag)
