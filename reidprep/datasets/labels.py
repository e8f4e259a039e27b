"""From what names, folders and tables say about images, as text, to records: numbers for names, splits by identity."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from reidprep.datasets.base import Listing, Option
from reidprep.errors import ReidError
from reidprep.records import JUNK_PID, Names, Record, Split
from reidprep.text import counted, printable, quoted

NUMBER = r"[0-9]{1,9}"
"""At most nine digits fit every integer column."""

UNKNOWN_CAMERA = 0
TEST = "test"
"""Stands for query or gallery where a dataset does not say which."""

DEFAULT_SHARE = "0.5"
"""Of the people that train where nobody says who does."""

_JUNK = str(JUNK_PID)
_AS_NAMES = "take all as names by --dataset-option ids=text, or correct them"


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is said about an image, as text.

    Attributes:
        path: relative POSIX path of the image.
        pid: the person; -1 is junk.
        camera: empty where cameras are not known.
        split: `train`, `query`, `gallery` or `test`; empty where the dataset does not say.
        tracklet: which of the tracklets of this person at this camera the image is of, empty where there are none.
        sequence: recording sequence, -1 where unknown.
        frame: frame number, -1 where unknown.
    """

    path: str
    pid: str
    camera: str = ""
    split: str = ""
    tracklet: str = ""
    sequence: int = -1
    frame: int = -1


def _wrong_share(value: str) -> str | None:
    try:
        share = float(value)
    except ValueError:
        share = -1
    return None if 0 <= share <= 1 else "is not a share of the people, from 0 to 1, such as 0.5"


def _wrong_seed(value: str) -> str | None:
    return None if re.fullmatch(NUMBER, value) else "is not a whole number from 0 to 999999999"


OPTIONS: Mapping[str, Option] = {
    "train": Option(check=_wrong_share),
    "seed": Option(check=_wrong_seed),
    "ids": Option(("numbers", "text")),
    "cameras": Option(("none",)),
    "tracklets": Option(("yes",)),
}
"""Of readers whose datasets may leave splits, numbers and cameras open; the last is settled by the reader."""


def is_number(text: str) -> bool:
    """Whether a person or camera is given as a number that records can hold."""
    return re.fullmatch(NUMBER, text) is not None


# As spreadsheets and data frames write whole numbers: 12.0, and -1.0 for junk.
_NO_NAME = re.compile(rf"{NUMBER}|-[0-9]+|-?[0-9]+\.[0-9]*")


def all_names(values: Iterable[str]) -> bool:
    """Whether there are people or cameras, and none of them is given as a number of any kind."""
    real = {value for value in values if value not in ("", _JUNK)}
    return bool(real) and not any(map(_NO_NAME.fullmatch, real))


def labelled_listing(
    images: Sequence[Labelled],
    options: Mapping[str, str],
    notes: Sequence[str] = (),
    settled: Mapping[str, str] | None = None,
) -> Listing:
    """Number what is named, divide what is not divided yet, and make records.

    Args:
        images: all of the dataset, in any order.
        options: of the reader; of these `OPTIONS` count.
        notes: remarks so far.
        settled: options that the reader settled itself.

    Raises:
        ReidError: numbers and names mixed; cameras of some images only; people who have splits already, and are to be
            divided.
    """
    as_text = options.get("ids") == "text"
    pids, people = _numbered([image.pid for image in images], "person ids", as_text)
    unknown = [image.path for image in images if not image.camera or options.get("cameras") == "none"]
    if 0 < len(unknown) < len(images):
        which = quoted(map(printable, unknown))
        raise ReidError(f"no camera is known of {len(unknown):,} of {counted(len(images), 'image')}: {which}")
    camids, cameras = (
        ([UNKNOWN_CAMERA] * len(images), ())
        if unknown
        else _numbered([image.camera for image in images], "cameras", as_text and not _numbers_apart(images))
    )
    tracklets = _tracklets(images)
    records = [
        Record(image.path, pid, camid, _SPLIT.get(image.split, "gallery"), sequence, image.frame)
        for image, pid, camid, sequence in zip(images, pids, camids, tracklets or _sequences(images), strict=True)
    ]
    division = _division(records, images, options, with_cameras=not unknown, with_tracklets=tracklets is not None)
    return Listing(
        [replace(record, split=split) for record, split in zip(records, division.splits, strict=True)],
        [*notes, *division.notes],
        {
            **(settled or {}),
            **division.options,
            **({"cameras": "none"} if unknown else {}),
            **({"tracklets": "yes"} if tracklets else {}),
        },
        Names(people, cameras),
    )


_SPLIT: Mapping[str, Split] = {"train": "train", "query": "query", "gallery": "gallery"}


def _numbers_apart(images: Sequence[Labelled]) -> bool:
    """Whether all cameras are numbers, each written in one way."""
    return _all_apart({image.camera for image in images})


def _all_apart(given: Collection[str]) -> bool:
    return all(map(is_number, given)) and len({int(text) for text in given}) == len(given)


def _numbered(values: Sequence[str], what: str, as_text: bool) -> tuple[list[int], tuple[str, ...]]:
    """The numbers of people or cameras, and the names that were numbered."""
    real = set(values) - {_JUNK}
    numbers = {value for value in real if is_number(value)}
    if as_text or not numbers:
        names = tuple(sorted(real))
        known = {_JUNK: JUNK_PID} | {name: number for number, name in enumerate(names, start=1)}
        return [known[value] for value in values], names
    if numbers != real:
        shown = quoted(map(printable, sorted(real - numbers)))
        raise ReidError(f"{what}: {len(numbers):,} are numbers, {len(real - numbers):,} are not ({shown}); {_AS_NAMES}")
    alike = defaultdict(list)
    for value in sorted(real):
        alike[int(value)].append(value)
    for same in alike.values():
        if len(same) > 1:
            raise ReidError(f"{what}: {' and '.join(same)} would be the same number; {_AS_NAMES}")
    return [int(value) for value in values], ()


def _tracklets(images: Sequence[Labelled]) -> list[int] | None:
    """The tracklet of each image, as a number; of the names of tracklets the paths tell."""
    given = {image.tracklet for image in images} - {""}
    if not given:
        return None
    numbers = _all_apart(given)
    known = {name: int(name) if numbers else number for number, name in enumerate(sorted(given), start=1)}
    return [known.get(image.tracklet, -1) for image in images]


def _sequences(images: Sequence[Labelled]) -> list[int]:
    return [image.sequence for image in images]


@dataclass(frozen=True)
class _Division:
    """The split of each image, what is to be said about it, and the options that it follows from."""

    splits: Sequence[Split]
    notes: Sequence[str] = ()
    options: Mapping[str, str] = field(default_factory=dict)


def _division(
    records: Sequence[Record],
    images: Sequence[Labelled],
    options: Mapping[str, str],
    *,
    with_cameras: bool,
    with_tracklets: bool,
) -> _Division:
    said = {image.split for image in images}
    divided = f"the images are divided already, into {', '.join(sorted(said))}"
    if said == {""}:
        share = float(options.get("train", DEFAULT_SHARE))
        undecided, settled = list(range(len(records))), {"train": f"{share:.12g}"}
    elif "train" in options:
        raise ReidError(f"{divided}; leave out --split-by-identity (train=)")
    elif TEST in said and not said & {"query", "gallery"}:
        share = 0.0
        undecided, settled = [row for row, image in enumerate(images) if image.split == TEST], {}
    elif "seed" in options:
        raise ReidError(f"{divided}; leave out --seed (seed=)")
    else:
        return _Division([record.split for record in records])
    seed = int(options.get("seed", "0"))
    people: dict[str, list[_Unit]] = defaultdict(list)
    junk: list[int] = []
    units: dict[tuple[str, int, object], list[int]] = defaultdict(list)
    for row in undecided:
        record = records[row]
        if record.pid == JUNK_PID:
            junk.append(row)
        else:
            unit = record.sequence if with_tracklets and record.sequence >= 0 else record.path
            units[images[row].pid, record.camid, unit].append(row)
    for (person, camid, _), rows in units.items():
        people[person].append(_Unit(camid, min(records[row].path for row in rows), rows))
    splits: list[Split] = [record.split for record in records]
    notes = _divide(people, share, seed, splits, with_cameras)
    for row in junk:
        splits[row] = "gallery"
    return _Division(splits, notes, {**settled, "seed": str(seed)})


@dataclass(frozen=True)
class _Unit:
    """What is searched for or found at once: an image, or a tracklet.

    Attributes:
        camid: its camera.
        name: path of its first image.
        rows: of its images.
    """

    camid: int
    name: str
    rows: Sequence[int]


def _divide(
    people: Mapping[str, Sequence[_Unit]], share: float, seed: int, splits: list[Split], with_cameras: bool
) -> list[str]:
    """Set the splits of some people's images, and say what is odd.

    Who trains follows from the hashes of the names: the order of files does not matter, and who joins later hardly
    moves the others.
    """

    def order(name: str) -> bytes:
        return sha256(f"{seed} {name}".encode()).digest()

    def found(units: Sequence[_Unit]) -> bool:
        """Whether somebody can be searched for: two images, at two cameras if these are known."""
        return len({unit.camid for unit in units} if with_cameras else units) > 1

    def images(units: Sequence[_Unit]) -> int:
        return sum(len(unit.rows) for unit in units)

    alone = [] if share == 1 else sorted(name for name, units in people.items() if images(units) == 1)
    # Those who cannot be searched for are of most use in training.
    others = sorted(people.keys() - set(alone), key=lambda name: (found(people[name]), order(name)))
    border = int(share * len(others) + 0.5)
    trained = set(others[:border])
    for name, units in people.items():
        _set(splits, units, "train" if name in trained else "gallery")
    unsearched = []
    searched = 0
    for name in others[border:]:
        if not found(people[name]):
            unsearched.append(name)
            continue
        searched += 1
        _set(splits, _queries(people[name], order), "query")
    who = counted(searched, "person is", "people are") + " searched for"
    trains = counted(len(trained), "person trains", "people train")
    notes = [f"divided by identity, seed {seed}: {trains}, {who}" if share else f"queries chosen, seed {seed}: {who}"]
    if alone:
        notes.append(_unsearched(alone, "one image only") + ": they are in the gallery")
    only = "one camera only" if with_cameras else "one tracklet only"
    if unsearched:
        notes.append(_unsearched(sorted(unsearched), only) + ": they are in the gallery")
    unsearched = sorted(name for name in trained if not found(people[name]))
    if unsearched and share < 1:
        notes.append(_unsearched(unsearched, only) + ": they train")
    return notes


def _set(splits: list[Split], units: Sequence[_Unit], split: Split) -> None:
    for unit in units:
        for row in unit.rows:
            splits[row] = split


def _queries(units: Sequence[_Unit], order: Callable[[str], bytes]) -> list[_Unit]:
    """Of one at each camera those that leave something there; of someone seen once at each, one."""
    cameras: dict[int, list[_Unit]] = defaultdict(list)
    for unit in units:
        cameras[unit.camid].append(unit)
    chosen = [min(some, key=lambda unit: order(unit.name)) for some in cameras.values() if len(some) > 1]
    return chosen or [min(units, key=lambda unit: order(unit.name))]


def _unsearched(names: Sequence[str], why: str) -> str:
    who = counted(len(names), "person has", "people have")
    return f"{who} {why} and cannot be searched for ({quoted(map(printable, names))})"
