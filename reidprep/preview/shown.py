"""One sample as the preview shows it, and what is said about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.drawing.scene import GUTTER, Scene, compose
from reidprep.records import JUNK_PID
from reidprep.shards.format import Sample
from reidprep.skeleton import JOINTS


@dataclass(frozen=True)
class Shown:
    """A sample to show.

    Attributes:
        index: its position in `ShardSet.open(path)`.
        split: train, query or gallery.
        sample: the sample.
        source: (h, w, 3) uint8 RGB, None if it cannot be read.
        problem: why it cannot be read, empty if it can.
    """

    index: int
    split: str
    sample: Sample
    source: NDArray[np.uint8] | None
    problem: str

    @property
    def picture(self) -> NDArray[np.uint8]:
        """What joints and boxes are drawn over: the source image, or the whole-body crop where that is gone."""
        return self.sample.whole if self.source is None else self.source

    @property
    def scene(self) -> Scene:
        """The drawing; a whole-body crop lies where it was cut."""
        sample = self.sample
        frame = sample.boxes[0] if self.source is None else (0, 0, self.source.shape[1], self.source.shape[0])
        return compose(
            sample.joints_filled,
            frame,
            filled=sample.filled,
            scores=sample.joints[:, 2],
            measured=sample.joints[:, :2],
            spreads=math.nan if sample.joint_spreads is None else sample.joint_spreads,
            boxes=sample.boxes,
            gutter=GUTTER,
        )

    @property
    def title(self) -> str:
        """What stands above the drawing."""
        if self.source is None:
            return "source missing: whole-body crop"
        return f"source {self.source.shape[1]}x{self.source.shape[0]}"

    @property
    def facts(self) -> str:
        """What the caption says below the path."""
        sample = self.sample
        return ", ".join(
            (
                f"#{self.index}",
                f"junk (id {JUNK_PID})" if sample.pid == JUNK_PID else f"person {sample.pid}",
                f"camera {sample.camid}",
                self.split,
                f"{int(sample.filled.sum())} of {len(JOINTS)} joints filled",
                f"residual {sample.residual:.3f}",
            )
        )

    @property
    def flags(self) -> list[str]:
        """What is doubtful."""
        return self.sample.flags.words
