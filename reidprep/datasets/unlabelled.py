"""Images of people of whom nothing is known: a folder of them, a list, or one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reidprep.datasets.base import ImageSource
from reidprep.datasets.csv import list_unlabelled, open_listed
from reidprep.datasets.images import IMAGE_SUFFIXES, FolderImages, check_name, ignored_notes, scan_tree
from reidprep.errors import ReidError


@dataclass(frozen=True)
class Unlabelled:
    """Images without labels.

    Attributes:
        root: what the paths are relative to.
        paths: record paths, of boxes in frames too (`reidprep.datasets.images.with_box`).
        images: reads them.
        notes: what was passed over, in plain words.
    """

    root: Path
    paths: tuple[str, ...]
    images: ImageSource
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)


def open_unlabelled(source: Path) -> Unlabelled:
    """List images of people; none is opened.

    Args:
        source: a folder, whose images at any depth are taken, in the order of their paths, but for hidden ones and
            those behind symbolic links to folders; a CSV file with the column `path` and, of people in larger frames,
            `x,y,width,height`; or one image.

    Raises:
        ReidError: nothing there, no image, something else, a list that cannot be used, or a name that is not UTF-8.
    """
    if source.is_dir():
        found = scan_tree(source)
        if not found.images:
            raise ReidError(
                f"{source}: holds no image ({', '.join(IMAGE_SUFFIXES)}); give a folder with images of people"
            )
        notes = tuple(f"{source}: {note}" for note in ignored_notes(found.others))
        return Unlabelled(source, found.images, FolderImages(source), notes)
    if not source.exists():
        raise ReidError(f"{source}: no such file or folder")
    if source.suffix.lower() == ".csv":
        listed, remarks = list_unlabelled(source)
        if not listed:
            raise ReidError(f"{source}: lists no image")
        notes = tuple(f"{source}: {note}" for note in remarks)
        return Unlabelled(source.parent, tuple(listed), open_listed(source), notes)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        check_name(source.parent, source.name)
        return Unlabelled(source.parent, (source.name,), FolderImages(source.parent))
    raise ReidError(
        f"{source}: is no image ({', '.join(IMAGE_SUFFIXES)}), no folder of images, and no .csv file that lists some"
    )
