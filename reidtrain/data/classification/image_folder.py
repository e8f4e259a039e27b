"""Image classification sets that are a folder of images for every class, as ImageNet's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.images import FolderImages, scan
from reidprep.errors import ReidError
from reidprep.text import counted, quoted
from reidtrain.data.classification.base import ClassificationData, ClassificationSplit


@dataclass(frozen=True, eq=False)
class ListedImages:
    """Image files below a folder.

    Attributes:
        files: reads them.
        paths: (images,) relative POSIX paths, UTF-8. An array and not a list of a million strings: those would be
            copied into every worker as their reference counts change.
    """

    files: FolderImages
    paths: NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Path of an image below the folder."""
        return bytes(self.paths[index]).decode()

    def read(self, index: int) -> NDArray[np.uint8]:
        """Read one image as (h, w, 3) uint8 RGB."""
        return self.files.read(self.name(index))


def is_split(folder: Path) -> bool:
    """Whether a folder holds folders: `train` is a split then, and not a class that happens to be called so."""
    return folder.is_dir() and any(_folders(folder))


def open_image_folder(root: Path) -> ClassificationData:
    """List ROOT/train/<class>/* and, where there is one, ROOT/val/<class>/*; or ROOT/<class>/* alone, for training.

    Images may lie in further folders below their class. Classes are sorted by name, images by path; files and folders,
    at any depth, whose name starts with a dot are left out.

    Raises:
        ReidError: no class, a class without an image, a validation class that the training images do not have, or no
            training images beside the validation images.
    """
    if is_split(root / "train"):
        train, others = _images_by_class(root, "train")
        val = None
        if (root / "val").is_dir():
            val, more = _images_by_class(root, "val")
            others += more
            if unknown := sorted(val.keys() - train.keys()):
                raise ReidError(
                    f"{root / 'val'}: {counted(len(unknown), 'folder is', 'folders are')} no class of train: "
                    f"{quoted(unknown)}; sort the validation images into folders with the names of the training classes"
                )
    elif is_split(root / "val"):
        raise ReidError(f"{root} has val/ but no train/; name the folder of the training images train")
    else:
        train, others = _images_by_class(root, ".")
        val = None
    classes = tuple(train)
    notes = [f"{counted(others, 'file is', 'files are')} no image by its suffix and left out"] if others else []
    if val is None:
        notes.append("there are no validation images: put some into val/, with folders as in train/, to measure errors")
    elif missing := [name for name in classes if name not in val]:
        notes.append(f"{counted(len(missing), 'class has', 'classes have')} no validation image: {quoted(missing)}")
    return ClassificationData(
        name="image-folder",
        root=root,
        classes=classes,
        train=_split(root, train, classes),
        val=None if val is None else _split(root, val, classes),
        notes=tuple(notes),
    )


def _images_by_class(root: Path, split: str) -> tuple[dict[str, list[str]], int]:
    """Paths of the images relative to the root, sorted, by class in sorted order; and how many files are none."""
    paths: dict[str, list[str]] = {}
    others = 0
    for name in sorted(_folders(root / split)):
        paths[name] = []
        for path, is_image in _walk(root, f"{split}/{name}".removeprefix("./")):
            if is_image:
                paths[name].append(path)
            else:
                others += 1
        paths[name].sort()
    if not paths:
        raise ReidError(f"{root / split}: no class in it; a class is a folder of images with its name")
    if empty := [name for name, images in paths.items() if not images]:
        raise ReidError(
            f"{root / split}: no image in {counted(len(empty), 'class', 'classes')}: {quoted(empty)}; "
            "add images (.jpg, .png and the like) or remove the folders"
        )
    return paths, others


def _folders(folder: Path) -> Iterator[str]:
    for name in scan(folder).others:
        if not name.startswith(".") and (folder / name).is_dir():
            yield name.rstrip("/")


def _walk(root: Path, folder: str) -> Iterator[tuple[str, bool]]:
    """Relative paths of all files below a folder, and whether each is an image."""
    entries = scan(root / folder)
    yield from ((f"{folder}/{name}", not name.startswith(".")) for name in entries.images)
    for name in entries.others:
        path = root / folder / name
        # A link to a folder above would never end.
        if path.is_dir() and not path.is_symlink():
            if not name.startswith("."):
                yield from _walk(root, f"{folder}/{name.rstrip('/')}")
        else:
            yield f"{folder}/{name}", False


def _split(root: Path, paths: Mapping[str, list[str]], classes: tuple[str, ...]) -> ClassificationSplit:
    label = {name: index for index, name in enumerate(classes)}
    return ClassificationSplit(
        images=ListedImages(FolderImages(root), np.array([path.encode() for name in paths for path in paths[name]])),
        labels=np.repeat([label[name] for name in paths], [len(paths[name]) for name in paths]).astype(np.int64),
    )
