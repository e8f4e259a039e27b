"""How CUHK03 numbers its images, and the lists that say which of them train and test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reidprep.datasets.mat import read_mat
from reidprep.errors import ReidError
from reidprep.files import read_file
from reidprep.records import SPLITS, Record, Split
from reidprep.text import counted

BOXES = ("labeled", "detected")
IMAGES_PER_PERSON = 10
IMAGES_PER_VIEW = 5

_NAME = re.compile(r"([1-9])_([0-9]{1,3})_([12])_([0-9]{1,2})\.png", re.IGNORECASE)


class PersonId(NamedTuple):
    """A person: camera pair and number within the pair, both from 1."""

    pair: int
    person: int


@dataclass(frozen=True, slots=True)
class ImageId:
    """An image: camera pair, person within the pair, index (1 to 5 first view, 6 to 10 second)."""

    pair: int
    person: int
    index: int

    @property
    def owner(self) -> PersonId:
        """Who is in the image."""
        return PersonId(self.pair, self.person)

    @property
    def view(self) -> int:
        """1 or 2: which camera of the pair."""
        return 1 if self.index <= IMAGES_PER_VIEW else 2

    @property
    def name(self) -> str:
        """The customary file name, such as 1_001_1_01.png: pair, person, view, index."""
        return f"{self.pair}_{self.person:03d}_{self.view}_{self.index:02d}.png"


def parse_name(name: str) -> ImageId | None:
    """The image that a file name such as 1_001_1_01.png stands for, None for any other name."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    pair, person, view, index = (int(group) for group in match.groups())
    image = ImageId(pair, person, index)
    return image if 1 <= index <= IMAGES_PER_PERSON and person >= 1 and image.view == view else None


def record(image: ImageId, path: str, split: Split) -> Record:
    """The record of an image; its person and camera numbers are the same in every protocol and split."""
    return Record(
        path,
        pid=1000 * image.pair + image.person,
        camid=2 * (image.pair - 1) + image.view,
        split=split,
    )


def classic_split(image: ImageId, tested: frozenset[PersonId]) -> Split:
    """Classic protocol: test people are searched from the first camera of their pair to the second."""
    if image.owner not in tested:
        return "train"
    return "query" if image.view == 1 else "gallery"


def classic_tested_people(folder: Path, boxes: str, split: int) -> frozenset[PersonId]:
    """The test people of a classic split, from torchreid's splits_classic_*.json.

    Args:
        folder: where the file lies.
        boxes: "labeled" or "detected".
        split: 1 to 20.
    """
    file = folder / f"splits_classic_{boxes}.json"
    if not file.is_file():
        raise ReidError(
            f"{folder}: protocol=classic needs {file.name}, which says who is tested in each split; "
            "put it here, or give the official cuhk-03.mat instead of extracted images"
        )
    splits = _read_splits(file)
    if split > len(splits):
        raise ReidError(f"{file}: holds {counted(len(splits), 'split')}, not split {split}")
    return frozenset(image.owner for image in _listed(file, splits[split - 1], "query"))


def np_split(folders: Sequence[Path], boxes: str) -> dict[ImageId, Split]:
    """The 767/700 protocol: the split of every image, from torchreid's JSON or the protocol's own .mat file.

    Args:
        folders: where to look, in this order.
        boxes: "labeled" or "detected".

    Raises:
        ReidError: neither file is there, or it cannot be used, or scipy is needed and missing.
    """
    names = (f"splits_new_{boxes}.json", f"cuhk03_new_protocol_config_{boxes}.mat")
    file = next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)
    if file is None:
        raise ReidError(
            f"protocol=np needs {' or '.join(names)} in {' or '.join(map(str, folders))}; "
            "the .mat files come with the k-reciprocal re-ranking code of Zhong et al."
        )
    if file.suffix == ".mat":
        return _np_from_mat(file)
    lists = _read_splits(file)[0]
    return {image: split for split in SPLITS for image in _listed(file, lists, split)}


def _read_splits(file: Path) -> list[Any]:
    try:
        splits = json.loads(read_file(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ReidError(f"{file}: cannot be read as JSON: {error}") from None
    if not isinstance(splits, list) or not splits:
        raise ReidError(f"{file}: expected a list of splits")
    return splits


def _listed(file: Path, lists: Any, split: Split) -> list[ImageId]:
    """The images of one list of a JSON split; only their names count, folders are of another machine."""
    try:
        paths = [entry[0] for entry in lists[split]]
        return _images(file, [re.split(r"[\\/]", path)[-1] for path in paths])
    except (KeyError, TypeError, IndexError):
        raise ReidError(f"{file}: expected lists {', '.join(SPLITS)} of [path, id, camera]") from None


def _np_from_mat(file: Path) -> dict[ImageId, Split]:
    fields = ("filelist", "train_idx", "query_idx", "gallery_idx")
    content = read_mat(file, fields, "cuhk03")
    absent = [name for name in fields if name not in content]
    if absent:
        raise ReidError(f"{file}: lacks {', '.join(absent)}; is this the config of the 767/700 protocol?")
    images = _images(file, [str(cell.item()) for cell in content["filelist"].ravel()])
    result: dict[ImageId, Split] = {}
    for split in SPLITS:
        for position in content[f"{split}_idx"].ravel().tolist():  # from 1
            if not 1 <= position <= len(images):
                raise ReidError(
                    f"{file}: {split}_idx holds {position}, but the folder has {counted(len(images), 'file')}"
                )
            result[images[position - 1]] = split
    return result


def _images(file: Path, names: Iterable[str]) -> list[ImageId]:
    images = []
    for name in names:
        image = parse_name(name)
        if image is None:
            raise ReidError(f"{file}: {name!r} is no image name such as 1_001_1_01.png")
        images.append(image)
    return images
