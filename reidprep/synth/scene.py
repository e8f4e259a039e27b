"""One image: a person, posed, in front of a camera, with the truth about the joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.skeleton import INDEX, JOINTS
from reidprep.synth.appearance import Identity
from reidprep.synth.background import cast_shadow, cut_background, draw_occluder
from reidprep.synth.camera import Camera, expose
from reidprep.synth.canvas import Canvas, Layer
from reidprep.synth.figure import Figure
from reidprep.synth.person import ARM, LEG, draw_figure
from reidprep.synth.skeleton3d import head_rotation, joint_array, sample_pose, solve
from reidprep.synth.view import View

WIDTH, HEIGHT = 64, 128
SUPERSAMPLING = 4

Framing = Literal["detected", "misplaced"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished image and its truth.

    Attributes:
        image: (`HEIGHT`, `WIDTH`, 3) uint8 RGB.
        joints: (18, 2) float64 continuous pixels, None if nobody is in it.
        visible: (18,) bool.
        yaw: degrees, 0 faces the camera, 90 walks to the right; None if nobody is in it.
    """

    image: NDArray[np.uint8]
    joints: NDArray[np.float64] | None
    visible: NDArray[np.bool_]
    yaw: float | None


def draw_person(identity: Identity, camera: Camera, yaw: float, framing: Framing, rng: np.random.Generator) -> Drawing:
    """Draw a person in a new pose.

    Args:
        identity: who.
        camera: where.
        yaw: walking direction, radians, see `View`.
        framing: a detector's usual box, or one that misses much of the person.
        rng: draws pose, place and all that differs between two images of a camera.
    """
    pose = sample_pose(rng)
    points = solve(identity.build, pose)
    view = _framed(identity, camera, yaw, framing, rng)
    size = (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING)
    canvas = Canvas(cut_background(camera.panorama, size, rng), camera.light, rng)
    cast_shadow(canvas, view.x, view.y, view.scale)
    figure = Figure(identity, points, head_rotation(pose), view)
    draw_figure(canvas, figure)
    if rng.random() < camera.occluded:
        draw_occluder(canvas, rng)
    pixels = view.project(joint_array(points))
    return Drawing(
        expose(canvas.image, (WIDTH, HEIGHT), camera, rng),
        pixels / SUPERSAMPLING,
        _visible(canvas, figure, pixels),
        float(np.degrees(yaw) % 360),
    )


def draw_nobody(camera: Camera, rng: np.random.Generator) -> Drawing:
    """Draw what a false detection shows: the place and clutter, and nobody."""
    size = (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING)
    canvas = Canvas(cut_background(camera.panorama, size, rng), camera.light, rng)
    draw_occluder(canvas, rng)
    image = expose(canvas.image, (WIDTH, HEIGHT), camera, rng)
    return Drawing(image, None, np.zeros(len(JOINTS), dtype=bool), None)


def _framed(identity: Identity, camera: Camera, yaw: float, framing: Framing, rng: np.random.Generator) -> View:
    """Place the person in the canvas as a detector's box would."""
    share, x, feet = rng.normal(0.87, 0.03), rng.normal(0.5, 0.03), rng.uniform(0.95, 0.985)
    if framing == "misplaced":
        share, x, feet = rng.uniform(1.1, 1.5), rng.choice([0.1, 0.9]), rng.uniform(1.0, 1.4)
    elif rng.random() < camera.truncated:
        cut = int(rng.integers(3))
        if cut == 0:  # feet below the image
            share, feet = share * 1.1, rng.uniform(1.06, 1.16)
        elif cut == 1:  # crown above it
            feet = share - rng.uniform(0.01, 0.04)
        else:  # one side beside it
            x += rng.choice([-1, 1]) * rng.uniform(0.15, 0.3)
    height = HEIGHT * SUPERSAMPLING
    scale = share * height / (identity.build.height * np.cos(camera.pitch))
    return View(yaw, camera.pitch, float(scale), float(x * WIDTH * SUPERSAMPLING), float(feet * height))


def _visible(canvas: Canvas, figure: Figure, pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(18,) bool: in the image, nothing in front, and for limbs and face not behind the person's own body.

    Neck, shoulders and hips lie inside the body and count as visible unless something foreign covers them.
    """
    height, width = canvas.layers.shape
    visible = np.zeros(len(JOINTS), dtype=bool)
    for name, i in INDEX.items():
        x, y = np.floor(pixels[i]).astype(int)
        if not (0 <= x < width and 0 <= y < height):
            continue
        shown = canvas.layers[y, x]
        side, _, part = name.partition("_")
        if part in ("elbow", "wrist"):
            visible[i] = shown == ARM[side]
        elif part in ("knee", "ankle"):
            visible[i] = shown == LEG[side]
        elif name == "nose" or part in ("eye", "ear"):
            visible[i] = shown != Layer.OCCLUDER and _turned_to_camera(figure, name)
        else:
            visible[i] = shown != Layer.OCCLUDER
    return visible


def _turned_to_camera(figure: Figure, name: str) -> bool:
    """Whether a point of the face is on the camera's side of the head."""
    return figure.near(name) - figure.near("head") > -0.01 * figure.height
