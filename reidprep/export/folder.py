"""A folder of many small files that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reidprep.errors import ReidError
from reidprep.files import lock_directory, not_written, sync_directory, unlock_directory


@contextmanager
def whole_folder(out: Path, suffix: str, *, overwrite: bool = False) -> Iterator[Callable[[str, bytes], None]]:
    """A folder to fill through the function given, by relative path and content; it appears once the block has ended.

    It is filled beside `out` under another name, and renamed. What a killed run left there is removed by the next.

    Args:
        out: the folder; missing, empty, or an earlier export with `overwrite`.
        suffix: what the names of all files end in: only such a folder is replaced.
        overwrite: replace an earlier export.

    Raises:
        ReidError: `out` holds something, another run is filling it, a full disk; nothing is left behind.
    """
    out = out.resolve()
    _check(out, suffix, overwrite)
    partial, replaced = (out.with_name(f".{out.name}.{what}") for what in ("partial", "replaced"))
    lock = None
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = lock_directory(partial)
        for entry in (*partial.iterdir(), *([replaced] if replaced.exists() else [])):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

        def write(path: str, data: bytes) -> None:
            file = partial / path
            if file.parent not in made:
                file.parent.mkdir(parents=True, exist_ok=True)
                made.add(file.parent)
            file.write_bytes(data)

        made: set[Path] = set()
        yield write
        # One call for all: to sync each of a million files takes hours on some disks.
        if hasattr(os, "sync"):
            os.sync()
        if out.exists():
            out.rename(replaced)
        partial.rename(out)
        sync_directory(out.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException as error:
        if lock is not None or not isinstance(error, ReidError):  # else it is another run's
            shutil.rmtree(partial, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise not_written(Path(error.filename or out), error) from None
    finally:
        unlock_directory(lock)


def _check(out: Path, suffix: str, overwrite: bool) -> None:
    """Raise unless there is nothing, or an earlier export to be replaced."""
    if out.exists() and not out.is_dir():
        raise ReidError(f"{out}: is a file; choose a folder")
    if not out.exists():
        return
    files = (Path(folder) / name for folder, _, names in os.walk(out) for name in names)
    foreign = next((file for file in files if not file.name.endswith(suffix)), None)
    if foreign:
        raise ReidError(
            f"{out}: the folder is not empty and holds other files (found {str(foreign.relative_to(out))!r}); "
            "choose an empty folder"
        )
    if any(out.iterdir()) and not overwrite:
        raise ReidError(f"{out}: holds an earlier export; choose another folder, or --overwrite")
