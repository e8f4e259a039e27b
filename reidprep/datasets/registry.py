"""Find out what kind of dataset a folder or file is, and open it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from reidprep.datasets import csv as csv_file
from reidprep.datasets import cuhk03, dukemtmc, folders, market1501, mars, msmt17, occluded, pattern
from reidprep.datasets.base import Dataset, ImageSource, Reader, check_options, did_you_mean
from reidprep.datasets.summary import evaluation_notes
from reidprep.errors import ReidError
from reidprep.records import SPLITS
from reidprep.text import quoted

READERS: Mapping[str, Reader] = {
    "market1501": market1501.READER,
    "dukemtmc": dukemtmc.READER,
    "msmt17": msmt17.READER,
    "cuhk03": cuhk03.READER,
    "mars": mars.READER,
    "occluded-reid": occluded.OCCLUDED_REID,
    "p-dukemtmc": occluded.P_DUKEMTMC,
    "csv": csv_file.READER,
    "pattern": pattern.READER,
    "folders": folders.READER,
}


def open_dataset(source: str | Path, name: str | None = None, options: Mapping[str, str] | None = None) -> Dataset:
    """List the images of a dataset and check the list.

    Args:
        source: the dataset's folder or file, or a folder with the dataset one level further down.
        name: one of `READERS`, None to recognise the dataset by its layout.
        options: the reader's options; docs/datasets.md explains them.

    Raises:
        ReidError: no dataset there, or several; an unknown name or option; an unusable list; no image.

    Example:
        >>> from reidprep import open_dataset
        >>> dataset = open_dataset("people")
        >>> dataset
        Dataset(market1501, people: 8 train, 4 query, 10 gallery)
        >>> dataset.records[0].path, dataset.records[0].pid
        ('bounding_box_train/0002_c1s1_000451_01.jpg', 2)
        >>> dataset.images.read(dataset.records[0].path).shape
        (128, 64, 3)
    """
    name, root = _locate(Path(source), name)
    reader = READERS[name]
    checked = check_options(name, reader.options, options or {})
    listing = reader.list_records(root, checked)
    if not listing.records:
        raise ReidError(
            f"{root}: this {name} dataset holds no image; looked for {reader.looked_for}"
            + "".join(f"\n  {note}" for note in listing.notes)
        )
    records = sorted(listing.records, key=lambda record: (SPLITS.index(record.split), record.path))
    twice = [path for path, times in Counter(record.path for record in records).items() if times > 1]
    if twice:
        raise ReidError(f"{root}: images listed twice: {quoted(twice)}; remove them from one of the lists")
    settled = {**checked, **listing.options}
    return Dataset(
        name=name,
        root=root,
        options=settled,
        records=tuple(records),
        images=reader.open_images(root),
        notes=(*listing.notes, *evaluation_notes(records, reader.separate_numbering, options=settled)),
        names=listing.names,
    )


def open_images(name: str, root: Path, options: Mapping[str, str] | None = None) -> ImageSource:
    """The images of a dataset whose records are known already, without listing it.

    Args:
        name: one of `READERS`.
        root: as `Dataset.root`, or any source that `open_dataset` takes.
        options: as `Dataset.options`.

    Raises:
        ReidError: no such dataset there, or an unknown name or option.
    """
    name, root = _locate(root, name)
    check_options(name, READERS[name].options, options or {})
    return READERS[name].open_images(root)


def _locate(source: Path, name: str | None) -> tuple[str, Path]:
    """Reader and root of the dataset at `source`, or else in a folder just below it."""
    if name is not None and name not in READERS:
        raise ReidError(
            f"there is no dataset reader {name!r}{did_you_mean(name, list(READERS))}; "
            f"the readers are {', '.join(READERS)}"
        )
    try:
        source.stat()
    except FileNotFoundError:
        raise ReidError(f"{source}: there is no such file or folder") from None
    except OSError as error:
        raise ReidError(f"{source}: cannot be opened: {error.strerror or error}") from None
    readers = {name: READERS[name]} if name is not None else READERS
    found = _hits(source, readers) if name is not None else []
    for when in ("always", "last") if name is None else ():
        found = found or _hits(source, {kind: reader for kind, reader in readers.items() if reader.asked == when})
    if not found:
        raise ReidError(_not_found(source, readers))
    if len(found) > 1:
        found = _by_far_the_most(found)
    if len(found) > 1:
        listed = "".join(f"\n  {kind}: {root}" for kind, root in found)
        raise ReidError(f"{source}: holds several datasets; name one, or give its own folder:{listed}")
    return found[0]


_STRAYS = 0.1
"""A dataset with fewer images than this part of another in the same folder is some of the other's, named strangely."""


def _by_far_the_most(found: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Of several datasets in one folder that which has nearly all images; all, if there is none such."""
    if len({root for _, root in found}) > 1:
        return found
    sizes = []
    for name, root in found:
        reader = READERS[name]
        try:
            sizes.append(len(reader.list_records(root, check_options(name, reader.options, {})).records))
        except ReidError:
            sizes.append(0)
    most = sizes.index(max(sizes))
    others = [size for number, size in enumerate(sizes) if number != most]
    return [found[most]] if max(others) < _STRAYS * sizes[most] else found


def _hits(source: Path, readers: Mapping[str, Reader]) -> list[tuple[str, Path]]:
    """Readers and roots of the datasets at `source`, or else in the folders just below it."""
    return _find(source, readers) or [hit for folder in _subfolders(source) for hit in _find(folder, readers)]


def _find(source: Path, readers: Mapping[str, Reader]) -> list[tuple[str, Path]]:
    try:
        hits = [(name, reader.find(source)) for name, reader in readers.items()]
    except PermissionError:  # some folder beside the dataset that is none of our business
        return []
    return [(name, root) for name, root in hits if root is not None]


def _subfolders(source: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(source) if entry.is_dir()]


def _entries(source: Path) -> list[os.DirEntry[str]]:
    if not source.is_dir():
        return []
    try:
        with os.scandir(source) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ReidError(f"{source}: cannot be listed: {error.strerror or error}") from None


def _not_found(source: Path, readers: Mapping[str, Reader]) -> str:
    names = [
        os.fsencode(entry.name).decode("utf-8", "backslashreplace") + ("/" if entry.is_dir() else "")
        for entry in _entries(source)
    ]
    if not source.is_dir():
        content = "is a file"
    elif names:
        content = f"holds {quoted(names, 8)}"
    else:
        content = "is an empty folder"
    message = f"{source}: no dataset found, it {content}"
    detected = {name: reader for name, reader in readers.items() if reader.asked != "by name"}
    if detected:
        message += ". Looked for, here or one folder down:" + _looked_for(detected)
    named = {name: reader for name, reader in readers.items() if name not in detected}
    return message + (("\nBy --dataset NAME alone:" + _looked_for(named)) if named else "")


def _looked_for(readers: Mapping[str, Reader]) -> str:
    return "".join(f"\n  {name}: {reader.looked_for}" for name, reader in readers.items())
