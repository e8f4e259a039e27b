"""Ranked lists as PNG sheets and a page: each query, then the nearest gallery images, a row for each model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reidprep.drawing.album import Album, Look, heading, write_album
from reidprep.drawing.palette import FAINT, FRAME, PAPER, Colour
from reidprep.drawing.raster import font
from reidprep.drawing.sheets import Canvas, Mark
from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet
from reidprep.text import counted
from reidtrain.evaluation.lists import FoundList, Known, Shown, found_lists
from reidtrain.evaluation.scoring import Scoring, score
from reidtrain.features.files import EMBEDDING, Features
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.protocols import Protocol
from reidtrain.metrics.ranked_lists import rank_lists
from reidtrain.plots.ranked_cards import Hit, ListRow, QueryCard, Ranking, Shot, choose_queries, query_card

QUERIES = 24
PER_SHEET = 6

RIGHT: Colour = (20, 130, 75)
WRONG: Colour = (200, 40, 40)
"""The red is the darker of the two, for those who cannot tell them apart."""
BADGE = 20
JUNK_TEXT = "junk: nobody of the set, or the query's person at the query's camera"

_WIDTH, _HEIGHT, _EDGE = 96, 192, 4
_CELL = _WIDTH + 2 * _EDGE
_GAP, _LINE = 8, 16
_HEAD = 2 * _LINE + 6
_ROW = _LINE + 4 + _HEIGHT + 2 * _EDGE + 4 + 3 * _LINE + 6
_ASIDE = 24
"""Between a query and its lists."""


@dataclass(frozen=True, eq=False)
class RankedQueries:
    """The ranked lists of some queries of shards.

    Attributes:
        queries: the query split.
        gallery: the gallery split.
        rankings: what each model makes of them.
        how: how the queries were chosen, in words.
        protocol: by which images count.
    """

    queries: ShardSet
    gallery: ShardSet
    rankings: Sequence[Ranking]
    how: str
    protocol: Protocol

    @property
    def chosen(self) -> NDArray[np.int64]:
        """(q,) which queries, in order."""
        return self.rankings[0].lists.queries

    def found(self) -> list[FoundList]:
        """The lists by names; each model's one after the other where there are several."""
        queries, gallery = (
            Known([len(shards)], [shards.column("paths")], [shards.pids], [shards.camids])
            for shards in (self.queries, self.gallery)
        )
        cameras = self.protocol != "no-cameras"
        found = []
        for ranking in self.rankings:
            lists = ranking.lists
            numbers = lists.queries.tolist()
            of_model = found_lists(queries, gallery, lists.gallery, lists.distances, numbers, cameras=cameras)
            found += [replace(each, model=ranking.label) if len(self.rankings) > 1 else each for each in of_model]
        return found


def rank_queries(
    features: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    shards_path: Path,
    *,
    count: int = QUERIES,
    top: int = 10,
    worst: bool = False,
    seed: int | None = None,
    metric: Metric = "euclidean",
    protocol: Protocol = "market1501",
) -> RankedQueries:
    """Rank the gallery for some queries, by each model.

    Without `worst` and `seed` the queries are spread evenly.

    Args:
        features: label of a model -> features of the query and of the gallery split, (images, dimension) each, in
            the order of the shards.
        shards_path: a complete shard directory.
        count: queries to take, at most.
        top: gallery images of each list.
        worst: those queries that the first model ranks worst (lowest average precision), worst first.
        seed: choose queries at random.
        metric: `euclidean` or `cosine`.
        protocol: `market1501` or `no-cameras`.

    Raises:
        ReidError: unusable shards or features, no query with a match, or choices that exclude each other.
    """
    queries, gallery = (ShardSet.open(shards_path, split) for split in ("query", "gallery"))
    for split, shards in (("query", queries), ("gallery", gallery)):
        if not len(shards):
            raise ReidError(f"{shards_path}: no sample in the {split} split, so there is nothing to rank")
    labels = (queries.pids, gallery.pids, queries.camids, gallery.camids)
    metrics = {
        # Lists are of images, so images are scored, of tracklets too.
        name: score(
            replace(Features.of(queries, None, {EMBEDDING: theirs}), tracklets=None),
            replace(Features.of(gallery, None, {EMBEDDING: others}), tracklets=None),
            Scoring(protocol, metric),
        )
        for name, (theirs, others) in features.items()
    }
    precision = next(iter(metrics.values())).average_precision
    generator = None if seed is None else np.random.default_rng(seed)
    chosen = choose_queries(precision, count, worst=worst, generator=generator)
    rankings = [
        Ranking(
            name, rank_lists(*both, *labels, queries=chosen, top=top, metric=metric, protocol=protocol), metrics[name]
        )
        for name, both in features.items()
    ]
    how = "the worst first" if worst else "spread evenly" if seed is None else f"at random (seed {seed})"
    if worst and len(features) > 1:
        how += f" by {rankings[0].label}"
    return RankedQueries(queries, gallery, rankings, how, protocol)


def draw_ranked_lists(
    ranked: RankedQueries, out: Path, *, per_sheet: int = PER_SHEET, progress: Progress = unseen
) -> Album:
    """Draw ranked lists, a list for each model.

    Args:
        ranked: the lists.
        out: an empty folder, or one with earlier pictures, which are replaced.
        per_sheet: queries on one sheet.
        progress: called with queries drawn, and all that will be.

    Raises:
        ReidError: a damaged sample, or an unusable output folder.
    """
    queries, gallery, rankings = ranked.queries, ranked.gallery, ranked.rankings
    return write_album(
        out,
        Look("reidtrain.plots", "ranked", _legend(), draw_card),
        len(ranked.chosen),
        lambda rows: [query_card(rankings, row, queries, gallery) for row in rows],
        title=heading(queries, "ranked lists"),
        what=f"{len(ranked.chosen):,} of {counted(len(queries), 'query', 'queries')}, {ranked.how}",
        about={
            **{"rankings": rankings, "protocol": ranked.protocol, "judged": True, "right": RIGHT, "wrong": WRONG},
            "junk": "",
        },
        per_sheet=per_sheet,
        progress=progress,
    )


Picture = Callable[[int], NDArray[np.uint8]]
"""Gives the picture of an image, (h, w, 3) uint8 RGB, by its position."""


def write_found(
    lists: Sequence[FoundList],
    query: Picture,
    gallery: Picture,
    out: Path,
    *,
    title: str,
    what: str,
    per_sheet: int = PER_SHEET,
    progress: Progress = unseen,
) -> Album:
    """Draw what was found for some queries, one or more.

    Args:
        lists: what was found.
        query: reads the queries.
        gallery: reads the gallery.
        out: an empty folder, or one with earlier pictures, which are replaced.
        title: heading of page and sheets.
        what: which queries are shown, in words.
        per_sheet: queries on one sheet.
        progress: called with queries drawn, and all that will be.

    Raises:
        ReidError: an image that cannot be read, or an unusable output folder.
    """

    def card(found: FoundList) -> QueryCard:
        hits = tuple(
            Hit(
                _known_shot(gallery, entry.index, entry.image),
                entry.rank,
                entry.distance,
                {"right": True, "wrong": False}.get(entry.verdict or ""),
                entry.verdict == "junk",
            )
            for entry in found.entries
        )
        count = f"{len(hits)} nearest" if len(hits) > 1 else "the nearest" if hits else "nothing found"
        return QueryCard(_known_shot(query, found.query, found.image), (ListRow(found.model or "", count, hits),))

    verdicts = {entry.verdict for found in lists for entry in found.entries}
    judged, junk = bool(verdicts - {None}), "junk" in verdicts
    query_mark, *others = _legend()
    legend = [query_mark, *(others if judged else []), *([Mark(query_mark.picture, JUNK_TEXT)] if junk else [])]
    return write_album(
        out,
        Look("reidtrain.plots", "ranked", legend, draw_card),
        len(lists),
        lambda rows: [card(lists[row]) for row in rows],
        title=title,
        what=what,
        about={
            **{"rankings": (), "protocol": None, "judged": judged, "right": RIGHT, "wrong": WRONG},
            "junk": JUNK_TEXT if junk else "",
        },
        per_sheet=per_sheet,
        progress=progress,
    )


def _known_shot(picture: Picture, index: int, image: Shown) -> Shot:
    return Shot(picture(index), index, image.path or f"#{index}", image.pid, image.camid)


def _legend() -> list[Mark]:
    frame = Canvas(BADGE, BADGE)
    frame.draw.rectangle((0, 0, BADGE - 1, BADGE - 1), outline=FRAME, width=_EDGE)
    return [
        Mark(frame.image, "query"),
        Mark(badge(True), "right: the query's person"),
        Mark(badge(False), "wrong: somebody else"),
    ]


@lru_cache
def badge(right: bool) -> Image.Image:
    """A disc with a white tick or cross: `BADGE` x `BADGE`, RGBA."""
    side = 8 * BADGE  # drawn large, then averaged
    large = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(large)
    draw.ellipse((0, 0, side - 1, side - 1), RIGHT if right else WRONG)
    tick = [[(0.26, 0.52), (0.44, 0.70), (0.76, 0.32)]]
    cross = [[(0.30, 0.30), (0.70, 0.70)], [(0.30, 0.70), (0.70, 0.30)]]
    for stroke in tick if right else cross:
        draw.line([(x * side, y * side) for x, y in stroke], PAPER, round(0.12 * side), joint="curve")
    return large.resize((BADGE, BADGE), Image.Resampling.BOX)


def draw_card(card: QueryCard) -> Image.Image:
    """Draw a query and its lists."""
    query, left = card.query, _CELL + _ASIDE
    longest = max((len(row.hits) for row in card.rows), default=0)
    # Room for a name and for a score, however short the lists.
    width = max(left + longest * (_CELL + _GAP) - _GAP, 480)
    canvas = Canvas(width, _HEAD + len(card.rows) * _ROW)
    canvas.write(0, _LINE // 2, query.path, 14, room=width)
    about = ", ".join(word for word in (f"query #{query.index}", query.who) if word)
    canvas.write(0, _LINE + _LINE // 2, about, 13, FAINT)
    _show(canvas, 0, _HEAD + _LINE + 4, query.picture, FRAME)
    for number, row in enumerate(card.rows):
        y = _HEAD + number * _ROW
        room = width - left - font(13).getlength(row.score) - 12
        x = left + canvas.write(left, y + _LINE // 2, row.label, room=room) + 12
        canvas.write(x, y + _LINE // 2, row.score, colour=FAINT)
        for position, hit in enumerate(row.hits):
            _show_hit(canvas, left + position * (_CELL + _GAP), y + _LINE + 4, hit)
    return canvas.image


def _show_hit(canvas: Canvas, x: int, y: int, hit: Hit) -> None:
    colour = FRAME if hit.right is None else RIGHT if hit.right else WRONG
    _show(canvas, x, y, hit.shot.picture, colour)
    if hit.right is not None:
        canvas.put(x + _EDGE, y + _EDGE, badge(hit.right))
    y += _HEIGHT + 2 * _EDGE + 4 + _LINE // 2
    canvas.write(x, y, f"{hit.rank}  {hit.verdict}", 12, FAINT if hit.right is None else colour)
    camera = "" if hit.shot.camid is None else f", cam {hit.shot.camid}"
    canvas.write(x, y + _LINE, f"d {hit.distance:.3f}{camera}", 12)
    named = hit.shot.name if hit.shot.pid is None else f"person {hit.shot.pid}"
    canvas.write(x, y + 2 * _LINE, named, 12, FAINT, room=_CELL)


def _show(canvas: Canvas, x: int, y: int, picture: NDArray[np.uint8], frame: Colour) -> None:
    canvas.draw.rectangle((x, y, x + _CELL - 1, y + _HEIGHT + 2 * _EDGE - 1), frame)
    canvas.show(x + _EDGE, y + _EDGE, picture, _WIDTH, _HEIGHT)
