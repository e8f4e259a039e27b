"""What every dataset reader takes and gives."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.records import NUMBERED, SPLITS, Names, Record


class ImageSource(Protocol):
    """Gives the images of a dataset by record path; picklable, safe to use from several threads."""

    def read(self, path: str) -> NDArray[np.uint8]:
        """Read one image as (h, w, 3) uint8 RGB.

        Raises:
            ImageError: missing or unreadable; the message is the reason alone, the caller knows the path.
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """A dataset as found on disk: which images it has, not their pixels.

    Attributes:
        name: the reader's name, such as "market1501".
        root: what the record paths are relative to: the dataset's folder, or the file that holds or lists the
            images. With `name` and `options` it opens the same dataset again.
        options: all reader options that shaped the list, defaults included.
        records: train, then query, then gallery; by path within a split.
        images: reads the images.
        notes: what looked odd, in plain words: ignored files, missing images, ids that cannot be evaluated.
        names: what the dataset calls its people and cameras, where it does not number them.
    """

    name: str
    root: Path
    options: Mapping[str, str]
    records: tuple[Record, ...]
    images: ImageSource
    notes: tuple[str, ...]
    names: Names = NUMBERED

    def __repr__(self) -> str:
        counts = Counter(record.split for record in self.records)
        images = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
        return f"Dataset({self.name}, {self.root}: {images}{'; see notes' if self.notes else ''})"


@dataclass(frozen=True)
class Listing:
    """What a reader found: records in any order, remarks, options it settled itself, and names that it numbered."""

    records: Sequence[Record]
    notes: Sequence[str] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    names: Names = NUMBERED


@dataclass(frozen=True)
class Option:
    """A reader option.

    Attributes:
        choices: the values it may take.
        default: the value when not given; None leaves the choice to the reader.
        check: of an option without choices, says what is wrong with a value; None if nothing is.
    """

    choices: tuple[str, ...] = ()
    default: str | None = None
    check: Callable[[str], str | None] = lambda value: None


Asked = Literal["always", "last", "by name"]


@dataclass(frozen=True)
class Reader:
    """How one kind of dataset is recognised, listed and read.

    Attributes:
        looked_for: what `find` wants to see, for error messages.
        options: the options it takes, by name.
        find: a folder or file -> the dataset's root if the dataset is right there, else None.
        list_records: root and options -> what it holds.
        open_images: root -> its images, without listing them.
        separate_numbering: training and test ids are numbered apart, so equal numbers are different people.
        asked: when it is asked whether it knows a folder: always, only if no other reader does, or only by its name,
            where others' folders look alike.
    """

    looked_for: str
    options: Mapping[str, Option]
    find: Callable[[Path], Path | None]
    list_records: Callable[[Path, Mapping[str, str]], Listing]
    open_images: Callable[[Path], ImageSource]
    separate_numbering: bool = False
    asked: Asked = "always"


DIVIDING = ("train", "seed")
"""Options of readers that divide people into training and test (`reidprep.datasets.labels`)."""


def check_options(name: str, known: Mapping[str, Option], given: Mapping[str, str]) -> dict[str, str]:
    """The options to use: `given` checked against `known`, defaults filled in.

    Raises:
        ReidError: an option or value that the reader does not know.
    """
    for key, value in given.items():
        if key not in known and key in DIVIDING:
            raise ReidError(
                f"{name} says itself who trains and who is searched for; leave out --split-by-identity and --seed "
                "(train= and seed=)"
            )
        if key not in known:
            takes = f"its options are {', '.join(known)}" if known else "it has no options"
            raise ReidError(f"{name} has no option {key!r}{did_you_mean(key, known)}; {takes}")
        choices = known[key].choices
        if not choices and (wrong := known[key].check(value)):
            raise ReidError(f"{name}: {key}={value}: {wrong}")
        if choices and value not in choices:
            raise ReidError(
                f"{name}: {key}={value} is not possible{did_you_mean(value, choices)}; "
                f"{key} is one of {', '.join(choices)}"
            )
    defaults = {key: option.default for key, option in known.items() if option.default is not None}
    return {**defaults, **given}


def did_you_mean(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """A remark " (did you mean 'x'?)" for error messages, or nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
