"""From measured joints to complete joints, boxes and flags: the geometry between poses and crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.alignment.boxes import DEFAULT_BETA, body_boxes, strip_boxes
from reidprep.alignment.canonical import CanonicalPoses, default_poses
from reidprep.alignment.filling import fill
from reidprep.alignment.noise import Noise, calibration_of, shipped_noise

Boxes = Literal["pose", "strips"]
"""Where boxes come from: Eq. 1-2 of the attention-driven paper, or its baseline, the image and four strips of it."""
POOR_FIT_RESIDUAL = 0.1
"""Residual, as a fraction of body height, from which `Flag.POOR_FIT` is set."""
TRUNCATED_SHARE = 0.2
"""Share of the whole-body box's height outside the image from which `Flag.TRUNCATED` is set."""


@dataclass(frozen=True)
class Alignment:
    """How n images are aligned.

    Attributes:
        joints: (n, 18, 2) float32, complete, source pixels.
        filled: (n, 18) bool, True where a joint was not found: missing, or scored below the confidence.
        spread: (n, 18) float32, standard deviation of a joint in x and in y, source pixels.
        boxes: (n, 5, 4) float32 xyxy, source pixels.
        residuals: (n,) float32, fraction of body height.
        flags: (n,) int32 of `Flag`.
    """

    joints: NDArray[np.float32]
    filled: NDArray[np.bool_]
    spread: NDArray[np.float32]
    boxes: NDArray[np.float32]
    residuals: NDArray[np.float32]
    flags: NDArray[np.int32]

    def take(self, rows: NDArray[np.int64]) -> Alignment:
        """Some rows."""
        return Alignment(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def concatenate(pieces: Sequence[Alignment]) -> Alignment:
    """Alignments one after the other; at least one piece."""
    names = Alignment.__dataclass_fields__
    return Alignment(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in names))


def align(
    joints: ArrayLike,
    image_sizes: ArrayLike,
    canonical: CanonicalPoses | None = None,
    *,
    alignment: Boxes = "pose",
    beta: float = DEFAULT_BETA,
    confidence: float = 0.3,
    noise: Noise | None = None,
    exact: bool = False,
) -> Alignment:
    """Estimate all joints and place the boxes.

    Args:
        joints: (n, 18, 3) as measured: x and y in source pixels, score.
        image_sizes: (n, 2) width and height.
        canonical: the poses to fill from, None for the set that comes with the package.
        alignment: `pose` for Eq. 1-2 boxes, `strips` for the whole image and four equal strips.
        beta: overlap of neighbouring parts as a fraction of the body height.
        confidence: score from which a joint counts as found; the default is that of MoveNet, others have it as
            `estimator.confidence`.
        noise: what scores are worth, None for MoveNet's with its 0.3 at `confidence`.
        exact: leave joints that count as found where they were measured.

    Raises:
        ValueError: a shape does not fit, or a value is not possible.

    Example:
        >>> from reidprep import align, create_estimator, read_image
        >>> image = read_image("person.jpg")
        >>> estimator = create_estimator()
        >>> alignment = align(estimator(image), [image.shape[1::-1]], confidence=estimator.confidence)
        >>> alignment.joints.shape, alignment.filled.shape
        ((1, 18, 2), (1, 18))
        >>> whole, head, upper_body, upper_leg, lower_leg = alignment.boxes[0]  # x0, y0, x1, y1 in pixels
    """
    if alignment not in get_args(Boxes):
        raise ValueError(f"alignment is one of {', '.join(get_args(Boxes))}, not {alignment!r}")
    canonical = canonical or default_poses()
    image_sizes = np.asarray(image_sizes)
    complete = fill(
        joints,
        image_sizes,
        canonical,
        confidence=confidence,
        noise=noise or shipped_noise(*calibration_of("", confidence)),
        exact=exact,
    )
    boxes, degenerate = body_boxes(complete.joints, image_sizes, beta=beta)
    flags = (
        Flag.FEW_JOINTS * complete.few
        + Flag.POOR_FIT * (complete.residual > POOR_FIT_RESIDUAL)
        + Flag.DEGENERATE_BOXES * degenerate
        + Flag.TRUNCATED * _truncated(boxes, image_sizes)
        + Flag.WRONG_JOINT * complete.outliers.any(axis=1)
    )
    if alignment == "strips":
        boxes = strip_boxes(image_sizes)
    return Alignment(
        complete.joints, complete.filled, complete.spread, boxes, complete.residual, flags.astype(np.int32)
    )


def _truncated(boxes: NDArray[np.float32], image_sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
    top, bottom = boxes[:, 0, 1], boxes[:, 0, 3]
    outside = np.maximum(0, -top) + np.maximum(0, bottom - image_sizes[:, 1])
    result: NDArray[np.bool_] = outside > TRUNCATED_SHARE * (bottom - top)
    return result


class Flag(IntFlag):
    """What is doubtful about a sample's alignment; several may be set.

    Example:
        >>> from reidprep import Flag, ShardSet
        >>> shards = ShardSet.open("shards")
        >>> cut_off = [row for row, flags in enumerate(shards.column("flags")) if flags & Flag.TRUNCATED]
        >>> [name.name for name in Flag if name in Flag(9)]
        ['FEW_JOINTS', 'TRUNCATED']
    """

    FEW_JOINTS = 1
    """Too few joints were found to fit a canonical pose; an upright one was placed."""
    POOR_FIT = 2
    """The found joints lie far from every canonical pose."""
    DEGENERATE_BOXES = 4
    """The joints gave no usable boxes; fixed strips were used."""
    TRUNCATED = 8
    """The whole-body box leaves the image by more than a fifth of its height: feet or head are likely cut off."""
    WRONG_JOINT = 16
    """A joint that was found contradicts the others, such as a face on the chest where the head is cut off."""

    @property
    def words(self) -> list[str]:
        """Those that are set, for people."""
        return [flag.name.lower().replace("_", " ") for flag in Flag if flag in self and flag.name]
