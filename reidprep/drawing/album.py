"""Cards of any kind -> PNG sheets and a page, in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from markupsafe import Markup
from PIL import Image

from reidprep.drawing.pages import templates
from reidprep.drawing.sheets import Mark, draw_sheet
from reidprep.errors import ReidError
from reidprep.files import TOOL, FolderKind, whole_folder
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet
from reidprep.synth.truth import is_drawn
from reidprep.text import utf8

MARKER = "preview.json"
"""Lists the files of an album, and so says which of them a later one may replace."""
PAGE = "index.html"
ALBUM = FolderKind("a preview", "reidprep.preview", MARKER, r"index\.html|sheet-\d+\.png", listed=True)

Card = TypeVar("Card")


@dataclass(frozen=True)
class Look(Generic[Card]):
    """What cards of a kind look like.

    Attributes:
        package: whose templates `<name>.html` and `<name>_card.html` are the page and a card on it.
        name: of the kind.
        legend: of a sheet, one mark or more.
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


def heading(shards: ShardSet, shown: str) -> str:
    """The title of an album: whose images, and what is shown of them.

    Drawn people have the layout of another dataset; where they are still at hand they are called what they are.
    """
    drawn = is_drawn((shards.path / shards.manifest.source).resolve())
    return f"{'drawn people' if drawn else shards.plan.poses.dataset.name}: {shown}"


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
        ReidError: what `make` raises; or an output folder that holds something else or cannot be written to. An earlier
            album is still there then.
    """
    if per_sheet < 1:
        raise ReidError(f"{per_sheet} on a sheet; give 1 or more")
    groups = [range(start, min(start + per_sheet, count)) for start in range(0, count, per_sheet)]
    names = [f"sheet-{number:03d}.png" for number in range(1, len(groups) + 1)]
    environment = templates(look.package)
    card_template = environment.get_template(f"{look.name}_card.html")
    articles: list[str] = []
    with whole_folder(out, ALBUM, overwrite=True) as folder:
        for number, (name, group) in enumerate(zip(names, groups, strict=True), start=1):
            cards = make(group)
            heading = f"{title}, {what} (sheet {number} of {len(groups)})"
            (folder / name).write_bytes(draw_sheet(heading, look.legend, [look.draw(card) for card in cards]))
            articles += [Markup(card_template.render(card=card)) for card in cards]
            progress(len(articles), count)
        page = environment.get_template(f"{look.name}.html")
        (folder / PAGE).write_bytes(utf8(page.render(title=title, what=what, articles=articles, **about)))
        marker = {"schema": ALBUM.schema, "version": 1, "tool": TOOL, "files": [PAGE, *names]}
        (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n", newline="\n")
    return Album(out / PAGE, tuple(out / name for name in names), count)
