"""A folder per person, perhaps below folders `train`, `query`, `gallery` or `test`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from reidprep.datasets.base import Listing, Option, Reader
from reidprep.datasets.images import FolderImages, ignored_notes, scan_tree
from reidprep.datasets.labels import OPTIONS, Labelled, labelled_listing
from reidprep.datasets.pattern import SPLIT_NAMES, PathPattern, check_matched
from reidprep.errors import ReidError
from reidprep.text import counted, printable, quoted

_PEOPLE, _DIVIDED = PathPattern("{pid}/*"), PathPattern("{split}/{pid}/*")

# c1, C01, cam1, camera_2, with nothing before it that belongs to the word.
_CAMERA = re.compile(r"(?<![a-z0-9])c(?:am(?:era)?)?[-_]?([0-9]{1,4})(?![0-9])", re.IGNORECASE)


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    found = scan_tree(root, follow=True)
    paths = found.images
    divided = bool(paths) and {path.partition("/")[0].lower() for path in paths} <= SPLIT_NAMES.keys()
    pattern = _DIVIDED if divided else _PEOPLE
    images, others = pattern.read(paths)
    check_matched(root, pattern.text, paths, others, skip=options.get("unmatched") == "skip")
    notes = ignored_notes(found.others)
    if others:
        notes.append(f"ignored {counted(len(others), 'image')} in no person's folder: {quoted(map(printable, others))}")
    if options.get("cameras") != "none":
        images, remarks = _with_cameras(images)
        notes += remarks
    try:
        return labelled_listing(images, options, notes)
    except ReidError as error:
        raise ReidError(f"{root}: {error}") from None


def _with_cameras(images: list[Labelled]) -> tuple[list[Labelled], list[str]]:
    """The images with the cameras that their file names tell, if all do."""
    told = [_CAMERA.findall(PurePosixPath(image.path).stem) for image in images]
    known = sum(len(cameras) == 1 for cameras in told)
    if known == len(images):
        named = [replace(image, camera=str(int(cameras[0]))) for image, cameras in zip(images, told, strict=True)]
        return named, [f"cameras from the file names: {quoted(sorted({int(image.camera) for image in named}), 10)}"]
    some = f"; {known:,} of {len(images):,} file names tell one, say how by --pattern" if known else ""
    return images, [f"no cameras are known{some}: people are searched in all other images (--protocol no-cameras)"]


READER = Reader(
    looked_for="a folder with a folder of images per person, or with folders train and test of such",
    options={"unmatched": Option(("fail", "skip")), **OPTIONS},
    find=lambda source: source if source.is_dir() else None,
    list_records=_list,
    open_images=FolderImages,
    asked="by name",
)
