"""From metres around the person to pixels of the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class View:
    """A distant camera (scaled orthographic) that looks at a person.

    Attributes:
        yaw: 0 faces the camera, pi/2 walks to the right of the image, pi shows the back; radians.
        pitch: how far the camera looks down, radians.
        scale: pixels per metre.
        x: where the point on the ground below the pelvis lies in the canvas, pixels.
        y: its vertical position.
    """

    yaw: float
    pitch: float
    scale: float
    x: float
    y: float

    def rotation(self) -> NDArray[np.float64]:
        """(3, 3): body axes (left, forward, up) to camera axes (right, down, towards the camera)."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turned = np.array([[c, s, 0], [0, 0, 1.0], [-s, c, 0]])  # right, up, towards
        down, look = np.cos(self.pitch), np.sin(self.pitch)
        return np.asarray(np.array([[1.0, 0, 0], [0, -down, look], [0, look, down]]) @ turned)

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) metres -> (..., 2) continuous canvas pixels."""
        pixels = (np.asarray(points, dtype=np.float64) @ self.rotation().T)[..., :2] * self.scale
        return np.asarray(pixels + np.array([self.x, self.y]))

    def nearness(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) metres -> (...) horizontal metres towards the camera."""
        towards = np.array([-np.sin(self.yaw), np.cos(self.yaw), 0.0])
        return np.asarray(np.asarray(points, dtype=np.float64) @ towards)

    def extent(self, across: float, deep: float, high: float) -> tuple[float, float]:
        """Half width and half height in pixels of a body-aligned ellipsoid with these half axes in metres."""
        half = np.linalg.norm(self.rotation()[:2] * [across, deep, high], axis=1) * self.scale
        return float(half[0]), float(half[1])
