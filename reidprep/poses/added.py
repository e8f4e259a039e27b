"""Makes sure that a dataset did not change otherwise than by more images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import UnsetType
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.records import Names
from reidprep.text import counted, quoted

Labels = tuple[Any, ...]
"""What is said of an image: the values of `LABELS`."""
LABELS = {"person": "pids", "camera": "camids", "split": "splits", "sequence": "sequences", "frame": "frames"}
"""The columns that label an image, by their names for people."""


def labels_by_path(columns: Mapping[str, NDArray[Any]], names: Names | UnsetType) -> dict[str, Labels]:
    """The labels of n images by path.

    Args:
        columns: `paths` and those of `LABELS`, (n,) each.
        names: of people and cameras, which stand for their numbers: those follow from which others there are.
    """
    known = names or Names()
    people, cameras = ([None, *called] for called in (known.people, known.cameras))
    return {
        path: (_called(person, people), _called(camera, cameras), *others)
        for path, person, camera, *others in zip(
            columns["paths"].tolist(), *(columns[name].tolist() for name in LABELS.values()), strict=True
        )
    }


def check_added(
    path: Path, what: str, before: Mapping[str, Labels], now: Mapping[str, Labels], options: Mapping[str, str]
) -> None:
    """Make sure that images were added to others, and no more.

    Args:
        path: the directory that is to grow.
        what: of the images it has.
        before: labels of its images.
        now: labels of the images that there are now.
        options: of the dataset's reader: with a `seed` it is this program that divides people into splits, which
            follows from who else there is.

    Raises:
        ReidError: images are gone, or have other labels; says how many, and names the first.
    """
    remedy = f"or make all {what} again by --overwrite"
    if gone := [name for name in before if name not in now]:
        raise ReidError(
            f"{path}: has {what} of {counted(len(gone), 'image', 'images')} that the dataset does not have (any more), "
            f"such as {quoted(gone, 3)}; put them back, {remedy}"
        )
    compared = [(place, label) for place, label in enumerate(LABELS) if label != "split" or "seed" not in options]
    changed = []
    for name, labels in before.items():
        if labels != (new := now[name]):
            differing = [f"{label} {labels[at]} -> {new[at]}" for at, label in compared if labels[at] != new[at]]
            if differing:
                changed.append(f"{name}: {', '.join(differing)}")
    if changed:
        raise ReidError(
            f"{path}: {counted(len(changed), 'image has', 'images have')} other labels now than when the {what} were "
            f"made ({quoted(changed, 3)}); take the old labels back, {remedy}"
        )


def _called(number: int, names: Sequence[str | None]) -> str | int:
    return names[number] or number if 0 <= number < len(names) else number
