"""Images whose paths tell person, camera and the like in a form that the user gives: `{pid}_c{cam}_{frame}`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reidprep.datasets.base import Listing, Option, Reader, did_you_mean
from reidprep.datasets.images import FolderImages, ignored_notes, scan_tree
from reidprep.datasets.labels import NUMBER, OPTIONS, TEST, Labelled, labelled_listing
from reidprep.errors import ReidError
from reidprep.text import printable, quoted

FIELDS = ("pid", "cam", "frame", "split", "tracklet")

SUFFIX = r"(?:\.(?:jpe?g|png|bmp|tiff?|webp))+"
"""Of image files; Market-1501 has names that end .jpg.jpg."""

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train", "training": "train", "bounding_box_train": "train", "bbox_train": "train",
    "query": "query", "probe": "query", "occluded_body_images": "query",
    "gallery": "gallery", "whole_body_images": "gallery",
    "test": TEST, "testing": TEST, "bounding_box_test": TEST, "bbox_test": TEST,
}  # fmt: skip
"""What folders are called, and what is in them: `test` is the gallery beside queries, else of both."""

_LEAST_MATCHED = 0.9
_FORMS = {"frame": NUMBER, "split": "|".join(map(re.escape, SPLIT_NAMES))}
_TOKEN = re.compile(r"\{([^{}]*)\}|\*+|[^{*]+|\{")


class AmbiguousError(ReidError):
    """A path that a pattern reads in two ways."""


@dataclass(frozen=True)
class PathPattern:
    """A form of paths.

    Attributes:
        text: as the user wrote it: the path below the dataset's folder, with or without the suffix, in which `{pid}`,
            `{cam}`, `{tracklet}` and `*` stand for any text without a slash, `{frame}` for a number, `{split}` for
            one of `SPLIT_NAMES`.
    """

    text: str

    def __post_init__(self) -> None:
        wrong = wrong_pattern(self.text)
        if wrong:
            raise ReidError(f"pattern {self.text}: {wrong}")

    def _compiled(self, lazy: str) -> re.Pattern[str]:
        parts: list[str] = []
        seen: set[str] = set()
        for token in _TOKEN.finditer(self.text):
            name = token[1]
            if name is not None:
                form = _FORMS.get(name, f"[^/]+{lazy}")
                parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{form})")
                seen.add(name)
            else:
                parts.append(f"[^/]*{lazy}" if token[0].startswith("*") else re.escape(token[0]))
        end = "" if re.search(SUFFIX + "$", self.text, re.IGNORECASE) else SUFFIX
        return re.compile("".join(parts) + end, re.IGNORECASE)

    def read(self, paths: Iterable[str]) -> tuple[list[Labelled], list[str]]:
        """What the paths say, and those that are of another form.

        Raises:
            AmbiguousError: a path that fits in two ways which say different things.
        """
        shortest, longest = self._compiled("?"), self._compiled("")
        images: list[Labelled] = []
        others: list[str] = []
        for path in paths:
            match, other = shortest.fullmatch(path), longest.fullmatch(path)
            if match is None or other is None:
                others.append(path)
                continue
            said = match.groupdict()
            if said != other.groupdict():
                ways = " or ".join(
                    ", ".join(f"{name} {printable(value)}" for name, value in way.items())
                    for way in (said, other.groupdict())
                )
                raise AmbiguousError(
                    f"pattern {self.text}: {printable(path)} could be {ways}; say more of what stands between them"
                )
            images.append(
                Labelled(
                    path,
                    said["pid"],
                    said.get("cam", ""),
                    SPLIT_NAMES[said["split"].lower()] if "split" in said else "",
                    said.get("tracklet", ""),
                    frame=int(said.get("frame", "-1")),
                )
            )
        return images, others


def wrong_pattern(text: str) -> str | None:
    """What is wrong with a pattern; None if nothing is."""
    names = [token[1] for token in _TOKEN.finditer(text) if token[1] is not None]
    for name in names:
        if name not in FIELDS:
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            return f"{{{name}}} is not known{did_you_mean(name, FIELDS)}; there are {known} and *"
    if any(token[0] == "{" for token in _TOKEN.finditer(text)):
        return "a brace is not closed"
    if "pid" not in names:
        return "says no {pid}, the person"
    if text.startswith("/") or ".." in text.split("/") or "\\" in text:
        return "is not a path below the dataset's folder; separate folders by /"
    return None


def list_pattern(root: Path, pattern: PathPattern, options: Mapping[str, str]) -> Listing:
    """The images below a folder whose paths have a form.

    Args:
        root: the dataset's folder.
        pattern: the form.
        options: `unmatched=skip` leaves out what is of another form, however much it is; others as `labelled_listing`.

    Raises:
        ReidError: no image there; more than a tenth of them of another form; as `labelled_listing`.
    """
    found = scan_tree(root, follow=True)
    paths = found.images
    images, others = pattern.read(paths)
    check_matched(root, pattern.text, paths, others, skip=options.get("unmatched") == "skip")
    notes = [f"{len(images):,} of {len(paths):,} images are named like {pattern.text}"]
    if others:
        notes.append(f"ignored {len(others):,} that are not: {quoted(map(printable, others))}")
    notes += ignored_notes(found.others)
    try:
        return labelled_listing(images, options, notes)
    except ReidError as error:
        raise ReidError(f"{root}: {error}") from None


def check_matched(root: Path, text: str, paths: Sequence[str], others: Sequence[str], *, skip: bool) -> None:
    """Raise if a pattern does not fit the names, or not enough of them."""
    if not paths:
        raise ReidError(f"{root}: holds no image")
    matched = len(paths) - len(others)
    if matched >= _LEAST_MATCHED * len(paths) or (matched and skip):
        return
    found = f"{root}: of {len(paths):,} images {matched or 'none'} {'is' if matched == 1 else 'are'} named like {text}"
    remedy = (
        "mend the pattern, which is of the whole path below SOURCE, folders included"
        if not matched
        else "mend the pattern, or leave them out by --dataset-option unmatched=skip"
    )
    if "{frame}" in text:
        remedy += " ({frame} is a number of up to 9 digits, * is anything)"
    raise ReidError(f"{found}; not so: {quoted(map(printable, others))}; {remedy}")


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    if "pattern" not in options:
        raise ReidError(f"{root}: dataset pattern needs the form of the names: --pattern '{{pid}}_c{{cam}}_{{frame}}'")
    return list_pattern(root, PathPattern(options["pattern"]), options)


READER = Reader(
    looked_for="a folder with images whose paths are of the form given by --pattern '{pid}_c{cam}_{frame}'",
    options={
        "pattern": Option(check=wrong_pattern),
        "unmatched": Option(("fail", "skip")),
        **OPTIONS,
    },
    find=lambda source: source if source.is_dir() else None,
    list_records=_list,
    open_images=FolderImages,
    asked="by name",
)
