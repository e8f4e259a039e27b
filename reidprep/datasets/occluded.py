"""Occluded-REID and P-DukeMTMC-reID (Zhuo et al., ICME 2018): people who are hidden in part, searched among whole ones.

Neither is scored by cameras: Occluded-REID tells none, and in the other every whole image counts for every query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from reidprep.datasets.base import Listing, Option, Reader
from reidprep.datasets.images import FolderImages, ignored_notes, scan_tree
from reidprep.datasets.labels import labelled_listing
from reidprep.datasets.pattern import PathPattern
from reidprep.errors import ReidError
from reidprep.text import counted, printable, quoted

OCCLUDED, WHOLE = "occluded_body_images", "whole_body_images"

_OPTIONS = {"cameras": Option(("none",), "none")}

# In training both are of one kind.
_TRAIN = PathPattern("train/*_body_images/{pid}/*")
_TEST, _P_DUKE_TEST = PathPattern("{split}/{pid}/*"), PathPattern("test/{split}/{pid}/*")


def _find_occluded(source: Path) -> Path | None:
    return source if (source / OCCLUDED).is_dir() and (source / WHOLE).is_dir() else None


def _find_p_duke(source: Path) -> Path | None:
    return source if _find_occluded(source / "test") and (source / "train").is_dir() else None


def _list_occluded(root: Path, options: Mapping[str, str]) -> Listing:
    return _listing(root, (OCCLUDED, WHOLE), _TEST)


def _list_p_duke(root: Path, options: Mapping[str, str]) -> Listing:
    return _listing(root, ("train", "test"), _P_DUKE_TEST)


def _listing(root: Path, folders: tuple[str, ...], test: PathPattern) -> Listing:
    found = [(folder, scan_tree(root / folder, follow=True)) for folder in folders]
    paths = [f"{folder}/{path}" for folder, entries in found for path in entries.images]
    tested, others = test.read(paths)
    trained, ignored = _TRAIN.read(others)
    notes = [
        f"ignored {counted(len(ignored), 'image')} in no person's folder: {quoted(map(printable, ignored))}"
    ] * bool(ignored)
    notes += ignored_notes([f"{folder}/{path}" for folder, entries in found for path in entries.others])
    images = [*(replace(image, split="train") for image in trained), *tested]
    try:
        return labelled_listing(images, {}, notes) if images else Listing((), notes)
    except ReidError as error:
        raise ReidError(f"{root}: {error}") from None


OCCLUDED_REID = Reader(
    looked_for=f"a folder with {OCCLUDED} and {WHOLE}, and images in them like 001/001_01.tif",
    options=_OPTIONS,
    find=_find_occluded,
    list_records=_list_occluded,
    open_images=FolderImages,
)
P_DUKEMTMC = Reader(
    looked_for=f"a folder with train and test, in each {OCCLUDED} and {WHOLE}, and in these a folder per person",
    options=_OPTIONS,
    find=_find_p_duke,
    list_records=_list_p_duke,
    open_images=FolderImages,
)
