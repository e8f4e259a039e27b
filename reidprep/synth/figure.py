"""A posed person as the camera sees it, not yet painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.synth.appearance import Identity
from reidprep.synth.skeleton3d import HIP_HEIGHT, SHOULDER_HEIGHT, Points
from reidprep.synth.view import View


@dataclass(frozen=True, slots=True)
class Figure:
    """A posed identity in front of a camera.

    Attributes:
        identity: who.
        points: the solved skeleton, see `skeleton3d.solve`.
        head_rotation: (3, 3), the head's own axes to the body's.
        view: the camera.
    """

    identity: Identity
    points: Points
    head_rotation: NDArray[np.float64]
    view: View

    @property
    def height(self) -> float:
        """Body height in metres."""
        return self.identity.build.height

    def near(self, name: str) -> float:
        """How much nearer to the camera than the chest a point is, metres."""
        return float(self.view.nearness(self.points[name] - self.points["chest"]))

    def tube(
        self, names: tuple[str, ...], radii: ArrayLike, end: float = 1.0, extra: float = 0.0
    ) -> NDArray[np.float64]:
        """Sections along a chain of points, of which only the first share `end` is kept.

        Args:
            names: points the chain passes.
            radii: radii at equal steps along the whole chain, shares of body height.
            end: share of the chain to keep.
            extra: added to each radius, a share of body height.
        """
        chain = self.view.project([self.points[name] for name in names])
        radii = (np.asarray(radii) + extra) * self.height * self.identity.build.girth * self.view.scale
        at = np.linspace(0, end, 7)
        knots = np.linspace(0, 1, len(chain))
        x, y = (np.interp(at, knots, chain[:, i]) for i in range(2))
        radius = np.interp(at, np.linspace(0, 1, len(radii)), radii)
        return np.stack([x, y, radius, radius], axis=1)

    def barrel(self, rings: ArrayLike, back: float = 0.0) -> NDArray[np.float64]:
        """Sections around the spine: rings (k, 3) of height, half width, half depth as shares of body height.

        Args:
            rings: the cross-sections.
            back: how far behind the spine they lie, metres.
        """
        up, across, deep = np.asarray(rings, dtype=np.float64).T
        share = (up - HIP_HEIGHT) / (SHOULDER_HEIGHT - HIP_HEIGHT)
        pelvis, neck = self.points["pelvis"], self.points["neck"]
        centres = self.view.project(pelvis + share[:, None] * (neck - pelvis) - [0, back, 0])
        size = self.height * self.identity.build.girth
        halves = [self.view.extent(a * size, d * size, 0.004) for a, d in zip(across, deep, strict=True)]
        return np.concatenate([centres, halves], axis=1)
