"""One sample as the preview shows it, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import Flag
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


def facts(shown: Shown) -> list[str]:
    """What the caption says beside the path."""
    sample = shown.sample
    return [
        f"#{shown.index}",
        f"junk (id {JUNK_PID})" if sample.pid == JUNK_PID else f"person {sample.pid}",
        f"camera {sample.camid}",
        shown.split,
        f"{int(sample.filled.sum())} of {len(JOINTS)} joints filled",
        f"residual {sample.residual:.3f}",
    ]


def flag_names(flags: Flag) -> list[str]:
    """The flags that are set, in words."""
    return [flag.name.lower().replace("_", " ") for flag in Flag if flag in flags and flag.name]


def source_title(shown: Shown) -> str:
    """What stands above the drawing."""
    if shown.source is None:
        return "source missing: whole-body crop"
    return f"source {shown.source.shape[1]}x{shown.source.shape[0]}"
