"""The page of labels that the features contradict, each with its neighbours: candidates for the list of exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.inspect import query as addresses
from reidprep.inspect.cards import Card
from reidprep.inspect.grid import address
from reidprep.inspect.query import BadQuery, View
from reidtrain.explore.contradictions import Contradictions, halves, strays, twins
from reidtrain.explore.explorer import Explorer, of_page, pager

KINDS = {
    "strays": "near only to others",
    "twins": "one person, two labels",
    "halves": "one label, two people",
}
"""Ways in which features contradict labels, and what they are called."""
IMAGES = {"test": "queries and gallery", "train": "train"}
_PER_PAGE, _SHOWN = 12, 5


@dataclass(frozen=True)
class Group:
    """Some images of a candidate: what they are, and their cards with their distances."""

    caption: str
    cards: Sequence[tuple[Card, str]]


@dataclass(frozen=True)
class Candidate:
    """A contradiction.

    Attributes:
        title: what it is, in words.
        score: how clear it is.
        reason: to exclude an image of the first group.
        groups: its images and their neighbours.
    """

    title: str
    score: float
    reason: str
    groups: tuple[Group, ...]


class LabelsPage:
    """Shows contradictions, the clearest first.

    Args:
        explorer: what the pages share.
        found: of each kind of images that there are features of.
    """

    def __init__(self, explorer: Explorer, found: Mapping[str, Contradictions]) -> None:
        self.explorer = explorer
        self.found = found
        ways = {"strays": strays, "twins": twins, "halves": halves}
        self._ranked = {(of, kind): way(some) for of, some in found.items() for kind, way in ways.items()}
        """What each kind is of, samples or labels, and the scores."""

    def labels(self, request: Request) -> Response:
        """Candidates of a kind."""
        site = self.explorer.site
        given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
        kind = addresses.choice(given, "kind", KINDS) or next(iter(KINDS))
        of = addresses.choice(given, "of", IMAGES) or next(iter(self.found))
        if of not in self.found:
            raise BadQuery("the images trained on have no features here; start with --train")
        view = View(page=addresses.parse({"page": given.get("page", "1")}).page, per_page=_PER_PAGE)

        def to(page: int = 1, **changes: str) -> str:
            parameters: dict[str, object] = {"kind": kind, "of": of, **changes}
            return address("/labels", View().text(parameters, page))

        subjects, scores = self._ranked[of, kind]
        page, pages, shown = of_page(len(subjects), view)
        pairs = zip(subjects[shown].tolist(), scores[shown].tolist(), strict=True)
        make = {"strays": self._stray, "twins": self._twins, "halves": self._halves}[kind]
        return site.page(
            "labels.html",
            kinds=[
                (f"{text} ({len(self._ranked[of, name][0]):,})", to(kind=name), name == kind)
                for name, text in KINDS.items()
            ],
            images=[(text, to(of=name), name == of) for name, text in IMAGES.items() if name in self.found],
            way=kind,
            candidates=[make(self.found[of], subject, score) for subject, score in pairs],
            count=len(subjects),
            first=shown.start + 1,
            page=page,
            pages=pages,
            pager=pager(to, page, pages),
        )

    def _group(
        self, found: Contradictions, caption: str, positions: Sequence[int], distances: Sequence[float] = ()
    ) -> Group:
        site = self.explorer.site
        cards = site.cards.of(found.rows[list(positions)], View(), site.exclusions.excluded, "whole")
        words = [f"{distance:.3f}" for distance in distances] or [""] * len(cards)
        return Group(caption, list(zip(cards, words, strict=True)))

    def _stray(self, found: Contradictions, at: int, score: float) -> Candidate:
        own, other = (int(each[at]) for each in (found.own, found.other))
        pid, theirs = int(found.pids[at]), int(found.pids[other])
        # A stray's nearest is one of them.
        others = [int(i) for i in found.near[at] if found.pids[i] != pid][:_SHOWN]
        distance = dict(zip(found.near[at].tolist(), found.near_distances[at].tolist(), strict=True))
        return Candidate(
            f"labelled person {pid}, near to person {theirs}",
            score,
            f"label: looks like person {theirs}",
            (
                self._group(found, f"labelled {pid}", [at]),
                self._group(found, "nearest of others", others, [distance[i] for i in others]),
                self._group(found, f"nearest of {pid}", [own], [float(found.own_distances[at])]),
            ),
        )

    def _twins(self, found: Contradictions, at: int, score: float) -> Candidate:
        other = int(found.other[at])
        pid, theirs = int(found.pids[at]), int(found.pids[other])
        rest = [self._some(found, np.flatnonzero(found.pids == who), (at, other)) for who in (pid, theirs)]
        return Candidate(
            f"persons {pid} and {theirs} may be one",
            score,
            f"label: the same as person {theirs}",
            (
                self._group(found, f"labelled {pid}", [at]),
                self._group(found, f"labelled {theirs}", [other], [float(found.other_distances[at])]),
                self._group(found, f"more of {pid}", rest[0]),
                self._group(found, f"more of {theirs}", rest[1]),
            ),
        )

    def _halves(self, found: Contradictions, pid: int, score: float) -> Candidate:
        members = np.flatnonzero(found.pids == pid)
        small, large = (members[found.group[members] == number] for number in (2, 1))
        nearest = int(small[found.other_distances[small].argmin()])
        return Candidate(
            f"person {pid} falls into {len(small)} and {len(large)} images",
            score,
            f"label: not person {pid}",
            (
                self._group(found, "smaller group", self._some(found, small)),
                self._group(found, "larger group", self._some(found, large)),
                self._group(
                    found, "nearest of others", [int(found.other[nearest])], [float(found.other_distances[nearest])]
                ),
            ),
        )

    def _some(self, found: Contradictions, positions: NDArray[np.intp], but: Sequence[int] = ()) -> list[int]:
        """A few of some images, spread over the cameras."""
        cameras = self.explorer.index.camids[found.rows[positions]]
        left = [int(i) for i in positions[np.argsort(cameras, kind="stable")] if int(i) not in but]
        few = min(len(left), _SHOWN)
        return [left[number * len(left) // few] for number in range(few)]
