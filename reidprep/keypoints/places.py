"""Whether joints lie where people's do in images of people: if not, they are in other coordinates than pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.images import Box
from reidprep.errors import ReidError
from reidprep.skeleton import FACE, INDEX, JOINTS, indices

_FEWEST_IMAGES, _FEWEST_JOINTS = 8, 6
_REACH = (0.5, 1.0)
"""Of the image's width and height: up to where joints reach in half of the images. MoveNet's on Market-1501 reach to
.87 and .91; coordinates of images half as large to .43 and .46, percentages to .68 and .36 or beyond the image."""

_FARTHEST_FACE = 0.15
"""Of the extent of a person's joints: up to where the middle of eyes and ears lies from the nose in half of the images.
.05 in MoveNet's on Market-1501; .5 of BODY_25B's joints read as BODY_25's, .7 of COCO's with a neck at the end."""

_NOSE, _AROUND = INDEX["nose"], indices(*(joint for joint in FACE if joint != "nose"))
_HIPS = indices("r_hip", "l_hip")
_HEAD, _FEET = indices("nose", "neck"), indices("r_knee", "r_ankle", "l_knee", "l_ankle")


def to_size(
    people: NDArray[np.float32], size: tuple[int, int], wanted: tuple[int, int], where: str
) -> NDArray[np.float32]:
    """Joints in an image of a size, as those in the same image of another size.

    Args:
        people: (m, 18, 3) x, y, score.
        size: width and height of the image that the joints are in, as their file says.
        wanted: width and height of the image that there is.
        where: the file, and the place in it, for messages.

    Raises:
        ReidError: the two are not of the same shape.
    """
    if size == wanted:
        return people
    scale = np.divide(wanted, size)
    # Sides are whole pixels, so each may be half a pixel off what the other says.
    if abs(scale[0] / scale[1] - 1) > 0.5 * (1 / np.array([*size, *wanted])).sum():
        raise ReidError(
            f"{where}: is for an image of {size[0]}x{size[1]}, and the image is {wanted[0]}x{wanted[1]}; "
            "give the joints of the images as they are"
        )
    scaled: NDArray[np.float32] = people.copy()
    scaled[..., :2] = np.where(people[..., 2:] > 0, people[..., :2] * scale, people[..., :2])
    return scaled


def check_frame(size: tuple[int, int], box: Box, crop: tuple[int, int], where: str) -> None:
    """Refuse joints in a frame of a size that the frame which a box was cut out of cannot have.

    Args:
        size: width and height of the frame that the joints are in, as their file says.
        box: part of the frame that there is.
        crop: width and height of what the box covers: less than its own where the frame ends.
        where: the file, and the place in it, for messages.

    Raises:
        ReidError: the box ends beyond that frame, or the frame where that one does not.
    """
    for said, start, covered, wanted in zip(size, (box.x, box.y), crop, (box.width, box.height), strict=True):
        end = start + covered
        if end > said or (covered < wanted and end != said):
            raise ReidError(
                f"{where}: is for a frame of {size[0]}x{size[1]}, in which no box can end at "
                f"{box.x + crop[0]},{box.y + crop[1]} as one does; give the joints of the frames as they are"
            )


def check_places(joints: NDArray[np.float32], image_sizes: NDArray[np.int32], confidence: float) -> None:
    """Refuse joints that cannot be pixels of their images.

    Args:
        joints: (n, 18, 3) x, y, score.
        image_sizes: (n, 2) width and height.
        confidence: score from which a joint counts as found.

    Raises:
        ReidError: most joints that were found lie outside of their images; or, over several images, they keep to one
            corner, reach beyond the images, their people lie or stand on their heads, or their eyes and ears are not in
            the face.
    """
    found = _found(joints, confidence)
    if not found.any():
        return
    places = joints[..., :2] / image_sizes[:, None]
    outside = np.any((places < 0) | (places > 1), axis=-1, where=found[..., None]).sum() / found.sum()
    remedy = "; joints are pixels of the images as they are, x from the left and y from the top"
    if outside > 0.5:
        raise ReidError(f"{outside:.0%} of the joints lie outside of their images{remedy}")
    enough = found.sum(axis=1) >= _FEWEST_JOINTS
    if enough.sum() < _FEWEST_IMAGES:
        return
    some = np.where(found[..., None], places, np.nan)[enough]
    across, down = np.median(np.nanmax(some, axis=1), axis=0).tolist()
    if not all(_REACH[0] <= reach <= _REACH[1] for reach in (across, down)):
        raise ReidError(
            f"in half of the images the joints reach only to {across:.0%} of the width and {down:.0%} of the height: "
            f"are they of images of another size, or percentages, or are x and y swapped?{remedy}"
        )
    check_order(joints, confidence)
    pixels = np.where(found[..., None], joints[..., :2], np.nan)[enough]
    ends = [pixels[:, group] for group in (_HEAD, _FEET)]
    both = np.isfinite(ends[0][..., 0]).any(axis=1) & np.isfinite(ends[1][..., 0]).any(axis=1)
    if both.sum() < _FEWEST_IMAGES:
        return
    head, feet = (np.nanmean(end[both], axis=1) for end in ends)
    right, lower = (feet - head).T
    if (np.abs(right) > np.abs(lower)).mean() > 0.8:
        raise ReidError(f"the people lie in most images: are x and y swapped?{remedy}")
    if (lower < 0).mean() > 0.8:
        raise ReidError(f"the people stand on their heads in most images: does y grow upwards?{remedy}")


def check_order(joints: NDArray[np.float32], confidence: float) -> None:
    """Refuse joints that are not those they are taken for.

    Args:
        joints: (n, 18, 3) x, y, score.
        confidence: score from which a joint counts as found.

    Raises:
        ReidError: over several images, eyes and ears are not in the face.
    """
    found = _found(joints, confidence)
    # With hips, as of a head alone they may be far apart.
    faces = found[:, _NOSE] & found[:, _AROUND].any(axis=1) & found[:, _HIPS].any(axis=1)
    faces &= found.sum(axis=1) >= _FEWEST_JOINTS
    if faces.sum() < _FEWEST_IMAGES:
        return
    pixels = np.where(found[..., None], joints[..., :2], np.nan)[faces]
    extent = (np.nanmax(pixels, axis=1) - np.nanmin(pixels, axis=1)).max(axis=1)
    off = np.linalg.norm(np.nanmean(pixels[:, _AROUND], axis=1) - pixels[:, _NOSE], axis=1)
    if np.median(off / np.maximum(extent, 1e-6)) > _FARTHEST_FACE:
        raise ReidError(
            "in most images eyes and ears are far from the nose: are the joints in another order than "
            f"{', '.join(JOINTS)}, or than their number tells?"
        )


def _found(joints: NDArray[np.float32], confidence: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (joints[..., 2] >= max(confidence, 1e-6)) & np.isfinite(joints).all(axis=-1)
    return found
