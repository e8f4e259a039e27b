"""The folder a preview is written to: what may be replaced there, and what not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from reidprep.errors import ReidError
from reidprep.files import TOOL, is_temporary, write_file

MARKER = "preview.json"
"""Lists the files of a preview, and so says which of them a later preview may replace."""
PAGE = "index.html"
_SCHEMA = "reidprep.preview"
_OURS = re.compile(r"index\.html|sheet-\d+\.png")


def sheet_name(number: int) -> str:
    """File name of a contact sheet, counted from 1."""
    return f"sheet-{number:03d}.png"


def check(out: Path) -> None:
    """Make sure, before long work, that `claim` will accept the folder; changes nothing.

    Raises:
        ReidError: the folder holds something else, or cannot be read.
    """
    try:
        if out.exists():
            _earlier(out)
    except OSError as error:
        raise _unusable(out, error) from None


def claim(out: Path, names: Sequence[str]) -> None:
    """Make the folder, or remove an earlier preview from it, and enter the files to come in its marker.

    Only files that the earlier preview's marker lists are removed. The marker is written before the files it
    lists, so a preview that was interrupted can be replaced too.

    Args:
        out: the folder.
        names: names of the files that will be written.

    Raises:
        ReidError: the folder holds something else, cannot be written to, or a file in the way is not ours.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        earlier = _earlier(out)
        present = {entry.name for entry in out.iterdir()}
        in_the_way = sorted(present & set(names) - set(earlier))
        if in_the_way:
            raise ReidError(f"{out / in_the_way[0]}: was not made by the earlier preview; move it away")
        for entry in list(out.iterdir()):
            if entry.name in earlier or is_temporary(entry.name):
                entry.unlink()
    except OSError as error:
        raise _unusable(out, error) from None
    marker = {"schema": _SCHEMA, "version": 1, "tool": TOOL, "files": list(names)}
    write_file(out / MARKER, (json.dumps(marker, indent=1) + "\n").encode())


def _unusable(out: Path, error: OSError) -> ReidError:
    return ReidError(f"{out}: cannot be used as the output folder ({error.strerror})")


def _earlier(out: Path) -> list[str]:
    """Names of the files of an earlier preview in a folder that holds one, or nothing."""
    present = sorted(entry.name for entry in out.iterdir() if not is_temporary(entry.name))
    if MARKER in present:
        return _listed(out)
    if present:
        raise ReidError(
            f"{out}: the folder is not empty and holds no earlier preview (found {present[0]!r}); "
            "choose an empty folder"
        )
    return []


def _listed(out: Path) -> list[str]:
    try:
        content = json.loads((out / MARKER).read_text(encoding="utf-8"))
        names = [str(name) for name in content["files"]]
        known = content["schema"] == _SCHEMA and all(_OURS.fullmatch(name) for name in names)
    except (ValueError, KeyError, TypeError):
        known, names = False, []
    if not known:
        raise ReidError(f"{out / MARKER}: is not the list of an earlier preview; choose an empty folder")
    return names
