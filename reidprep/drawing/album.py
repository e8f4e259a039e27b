"""Cards of any kind -> PNG sheets and a page, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from markupsafe import Markup
from PIL import Image

from reidprep.drawing.folder import PAGE, claim, sheet_name
from reidprep.drawing.pages import templates
from reidprep.drawing.sheets import Mark, draw_sheet
from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.progress import Progress, unseen

Card = TypeVar("Card")


@dataclass(frozen=True)
class Look(Generic[Card]):
    """What cards of a kind look like.

    Attributes:
        package: whose templates `<name>.html` and `<name>_card.html` are the page and a card on it.
        name: of the kind.
        legend: of a sheet.
        draw: a card on a sheet.
    """

    package: str
    name: str
    legend: Sequence[Mark]
    draw: Callable[[Card], Image.Image]


@dataclass(frozen=True)
class Album:
    """What was written: the page to open, the PNG sheets in order, and how many cards they show."""

    page: Path
    sheets: tuple[Path, ...]
    shown: int


def write_album(
    out: Path,
    look: Look[Card],
    count: int,
    make: Callable[[range], Sequence[Card]],
    *,
    title: str,
    what: str,
    about: Mapping[str, Any],
    per_sheet: int,
    progress: Progress = unseen,
) -> Album:
    """Write sheets and one self-contained page, making the cards of a sheet at a time.

    The same input gives the same files.

    Args:
        out: an empty folder, or one with an earlier album, which is replaced.
        look: what the cards look like.
        count: cards in all, 1 or more.
        make: the cards of some numbers, from 0 to `count` - 1.
        title: heading of page and sheets.
        what: which cards are shown, in words.
        about: what else the template of the page takes.
        per_sheet: cards on a sheet.
        progress: called with cards done and in total.

    Raises:
        ReidError: what `make` raises; or an output folder that holds something else or cannot be written to.
    """
    if per_sheet < 1:
        raise ReidError(f"{per_sheet} on a sheet; give 1 or more")
    groups = [range(start, min(start + per_sheet, count)) for start in range(0, count, per_sheet)]
    names = [sheet_name(number + 1) for number in range(len(groups))]
    environment = templates(look.package)
    card_template = environment.get_template(f"{look.name}_card.html")
    articles: list[str] = []
    for number, (name, group) in enumerate(zip(names, groups, strict=True), start=1):
        cards = make(group)
        if number == 1:
            # What cannot be shown at all leaves the earlier album.
            claim(out, [PAGE, *names])
        heading = f"{title}, {what} (sheet {number} of {len(groups)})"
        write_file(out / name, draw_sheet(heading, look.legend, [look.draw(card) for card in cards]))
        articles += [Markup(card_template.render(card=card)) for card in cards]
        progress(len(articles), count)
    page = environment.get_template(f"{look.name}.html")
    write_file(out / PAGE, page.render(title=title, what=what, articles=articles, **about).encode())
    return Album(out / PAGE, tuple(out / name for name in names), count)
