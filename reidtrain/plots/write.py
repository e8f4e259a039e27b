"""Cards of any kind -> PNG sheets and a page, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.preview.folder import PAGE, claim, sheet_name
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet

Card = TypeVar("Card")


@dataclass(frozen=True)
class Pictures:
    """What was written: the page to open, the PNG sheets in order, and how many cards they show."""

    page: Path
    sheets: tuple[Path, ...]
    shown: int


def write_pictures(
    out: Path,
    count: int,
    make: Callable[[range], Sequence[Card]],
    *,
    title: str,
    draw_sheet: Callable[[Sequence[Card], str], bytes],
    article: Callable[[Card], str],
    page: Callable[[Sequence[str]], str],
    per_sheet: int,
    progress: Progress = unseen,
) -> Pictures:
    """Write sheets and one page, making the cards of a sheet at a time. The same input gives the same files.

    Args:
        out: an empty folder, or one with earlier pictures or previews, which are replaced.
        count: cards in all.
        make: the cards of some numbers, from 0 to `count` - 1.
        title: what stands at the top of each sheet.
        draw_sheet: a PNG of some cards under a title.
        article: a card as HTML.
        page: the document of all articles.
        per_sheet: cards on a sheet.
        progress: called with cards done and in total.

    Raises:
        ReidError: what `make` raises; or an output folder that holds something else or cannot be written to.
    """
    if per_sheet < 1:
        raise ReidError(f"{per_sheet} on a sheet; give 1 or more")
    groups = [range(start, min(start + per_sheet, count)) for start in range(0, count, per_sheet)]
    names = [sheet_name(number + 1) for number in range(len(groups))]
    articles: list[str] = []
    for number, (name, group) in enumerate(zip(names, groups, strict=True), start=1):
        cards = make(group)
        if number == 1:
            # What cannot be shown at all leaves the earlier pictures.
            claim(out, [PAGE, *names])
        write_file(out / name, draw_sheet(cards, f"{title} (sheet {number} of {len(groups)})"))
        articles += map(article, cards)
        progress(len(articles), count)
    write_file(out / PAGE, page(articles).encode())
    return Pictures(out / PAGE, tuple(out / name for name in names), count)


def dataset_name(shards: ShardSet) -> str:
    """Name of the dataset the shards were built from."""
    return shards.plan.poses.dataset.name
