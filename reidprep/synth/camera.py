"""What all images of one camera share: scene, light, colours, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.synth.background import Backdrop, draw_panorama


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera and the place it watches.

    Attributes:
        pitch: how far it looks down, radians.
        light: direction towards the light in the image plane (x right, y down).
        gains: (3,) RGB colour cast.
        gamma: contrast curve, 1 is none.
        lift: black level, 0 to 1.
        resolution: pixels the sensor had per pixel of the finished image; below 1 the image was enlarged.
        blur: sigma in pixels of the finished image.
        noise: sigma of the sensor noise, 0 to 255.
        quality: JPEG quality.
        occluded: share of images with something in front of the person.
        truncated: share of images in which the person leaves the image.
        panorama: (h, w, 3) float32 RGB 0 to 1, the place without people; two pixels per pixel of the image.
    """

    pitch: float
    light: tuple[float, float]
    gains: NDArray[np.float32]
    gamma: float
    lift: float
    resolution: float
    blur: float
    noise: float
    quality: int
    occluded: float
    truncated: float
    panorama: NDArray[np.float32]


def sample_camera(backdrop: Backdrop, rng: np.random.Generator) -> Camera:
    """Draw a camera that watches a place with the given backdrop."""
    return Camera(
        pitch=rng.uniform(0.05, 0.3),
        light=(rng.uniform(-0.8, 0.8), -0.5),
        gains=rng.normal(1.0, 0.06, 3).astype(np.float32),
        gamma=rng.uniform(0.85, 1.2),
        lift=rng.uniform(0.0, 0.06),
        resolution=rng.uniform(0.7, 1.0),
        blur=rng.uniform(0.3, 0.6),
        noise=rng.uniform(1.5, 4.0),
        quality=int(rng.integers(78, 93)),
        occluded=rng.uniform(0.06, 0.18),
        truncated=rng.uniform(0.06, 0.18),
        panorama=draw_panorama(backdrop, rng),
    )


def expose(
    picture: NDArray[np.float32], size: tuple[int, int], camera: Camera, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """What the camera makes of a supersampled picture.

    Args:
        picture: (h, w, 3) RGB, 0 to 1.
        size: (width, height) of the result.
        camera: the camera.
        rng: draws noise and exposure.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    sensor = (round(size[0] * camera.resolution), round(size[1] * camera.resolution))
    small = cv2.resize(picture, sensor, interpolation=cv2.INTER_AREA)
    small = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    small = cv2.GaussianBlur(small, (0, 0), camera.blur)
    small = np.clip(small * camera.gains * np.float32(rng.normal(1.0, 0.04)), 0, 1)
    small = small ** np.float32(camera.gamma)
    small = camera.lift + (1 - camera.lift) * small
    noisy = 255 * small + camera.noise * rng.standard_normal(small.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)
