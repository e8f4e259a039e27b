"""Which entry of a keypoint file belongs to an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from reidprep.datasets.frames import Box, split_box, without_suffix
from reidprep.errors import ReidError
from reidprep.keypoints.base import Entry


@dataclass(frozen=True)
class Match:
    """The entry of an image.

    Attributes:
        entry: what the file has.
        box: the image is this part of the image that the entry is about; None: it is that image itself.
    """

    entry: Entry
    box: Box | None


class Names:
    """Finds entries by record paths.

    A name fits a path if the two agree, folder by folder from the end, as far as the shorter goes; where the format
    leaves out the suffix of the images, the path's is left out as well. A name equal to the path goes before others.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Raises `ReidError` if two entries have one name."""
        self._by_last: dict[str, list[tuple[tuple[str, ...], Entry]]] = {}
        for entry in entries:
            parts = PurePosixPath(entry.name).parts
            others = self._by_last.setdefault(parts[-1] if parts else "", [])
            for other_parts, other in others:
                if other_parts == parts and other.has_suffix == entry.has_suffix:
                    raise ReidError(f"{other.where} and {entry.where} are both about {entry.name}; remove one")
            others.append((parts, entry))

    def find(self, path: str) -> Match | None:
        """The entry for a record path, None if there is none.

        The path of a box in a frame is looked for as it is, and then as that of the whole frame.

        Raises:
            ReidError: several fit equally well; names two.
        """
        entry = self._find(path)
        if entry is not None:
            return Match(entry, None)
        frame, box = split_box(path)
        entry = self._find(frame) if box else None
        return Match(entry, box) if entry is not None else None

    def _find(self, path: str) -> Entry | None:
        fitting: list[tuple[bool, Entry]] = []
        for has_suffix, wanted in (
            (True, PurePosixPath(path).parts),
            (False, PurePosixPath(without_suffix(path)).parts),
        ):
            for parts, entry in self._by_last.get(wanted[-1], ()):
                common = min(len(parts), len(wanted))
                if entry.has_suffix == has_suffix and parts[-common:] == wanted[-common:]:
                    fitting.append((parts == wanted, entry))
        exact = [entry for equal, entry in fitting if equal]
        found = exact or [entry for _, entry in fitting]
        if len(found) > 1:
            raise ReidError(
                f"{path}: both {found[0].where} ({found[0].name}) and {found[1].where} ({found[1].name}) fit; "
                "name the image in full, with its folders, in the keypoint files"
            )
        return found[0] if found else None

    def check(self, paths: Iterable[str]) -> None:
        """Check that entries can be told apart for these images.

        Raises:
            ReidError: one entry fits two images, or nothing fits any image.
        """
        used: dict[int, str] = {}
        last = ""
        for last in paths:
            match = self.find(last)
            if match is None:
                continue
            image = split_box(last)[0] if match.box else last
            other = used.setdefault(id(match.entry), image)
            if other != image:
                raise ReidError(
                    f"{match.entry.where}: {match.entry.name} fits both {other} and {image}; "
                    "name the images in full, with their folders, in the keypoint files"
                )
        if last and not used:
            names = [entry.name for entries in self._by_last.values() for _, entry in entries]
            has = f"the keypoint files name {names[0]!r}" if names else "the keypoint files name no image"
            raise ReidError(f"no image has keypoints: {has}, the dataset {last!r}, for instance; do the names agree?")
