"""Pictures of training runs: ranked lists, attention maps and curves, as `reidtrain` leaves them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidprep.drawing.album import MARKER
from reidprep.errors import ReidError
from reidprep.files import read_file

_SHEET = re.compile(r"sheet-\d+\.png")
_RUN, _CURVES = "run.json", "curves.png"
_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH = 2
"""How many folders below the given one pictures are looked for."""


@dataclass(frozen=True)
class RunPictures:
    """A folder with pictures.

    Attributes:
        title: its name below what was given.
        folder: the folder.
        names: PNG files to show, in order.
    """

    title: str
    folder: Path
    names: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """One of `names`.

        Raises:
            ReidError: not one of them, or not a PNG file any more.
        """
        if name not in self.names:
            raise ReidError("there is no such picture")
        try:
            data = read_file(self.folder / name)
        except OSError as error:
            raise ReidError(f"the picture cannot be read ({error.strerror})") from None
        if not data.startswith(_PNG):
            raise ReidError("the file is no PNG picture")
        return data


def find_run_pictures(path: Path) -> list[RunPictures]:
    """The pictures of a run folder and of the folders in it; or those of a folder that `rank` or `attention` filled.

    Args:
        path: the folder.

    Raises:
        ReidError: no folder, or neither a run nor one with pictures.
    """
    if not path.is_dir():
        raise ReidError(f"{path}: there is no such folder; --run takes a run folder, or one with pictures")
    found = [pictures for folder in _folders(path) if (pictures := _pictures(path, folder)) is not None]
    if not found and _is_file(path / _RUN):
        return [RunPictures(path.name, path, ())]
    if not found:
        raise ReidError(
            f"{path}: is no run, and holds no ranked lists or attention maps; make some with 'reidtrain rank' and "
            "'reidtrain attention'"
        )
    return found


def _folders(path: Path, depth: int = 0) -> Iterator[Path]:
    yield path
    if depth < _DEPTH:
        for entry in sorted(path.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                yield from _folders(entry, depth + 1)


def _pictures(root: Path, folder: Path) -> RunPictures | None:
    names = [name for name in _listed(folder) if _is_file(folder / name)]
    if _is_file(folder / _RUN) and _is_file(folder / _CURVES):
        names.insert(0, _CURVES)
    if not names:
        return None
    title = root.name if folder == root else f"{root.name}/{folder.relative_to(root).as_posix()}"
    return RunPictures(title, folder, tuple(names))


def _is_file(file: Path) -> bool:
    # What a link leads to may lie anywhere.
    return file.is_file() and not file.is_symlink()


def _listed(folder: Path) -> list[str]:
    """Sheets that the folder's marker lists, in its order: by name sheet-1000 comes before sheet-999."""
    try:
        content: Any = json.loads(read_file(folder / MARKER))
        names = [str(name) for name in content["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if _SHEET.fullmatch(name)]
