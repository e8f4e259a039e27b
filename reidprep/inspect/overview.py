"""The page of counts and distributions; each bar leads to the samples behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.alignment.align import Flag
from reidprep.inspect.charts import Bar, Histogram, Link, counted, histogram
from reidprep.inspect.grid import address, chips
from reidprep.inspect.index import UNKNOWN
from reidprep.inspect.query import FLAGS, View, shortest, within
from reidprep.inspect.site import Site
from reidprep.records import JUNK_PID, SPLITS
from reidprep.skeleton import JOINTS

_MEASURES = {
    "filled": ("Joints filled", True),
    "score": ("Mean score", False),
    "residual": ("Fit residual, body heights", False),
    "height": ("Box height, source pixels", False),
    "outside": ("Share of the box outside the image", False),
}


class OverviewPage:
    """Shows what all samples of a filter have in common.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def overview(self, request: Request) -> Response:
        """Counts and distributions."""
        site, view = self.site, self.site.view(request)
        rows = site.selector.rows(view.filter, site.exclusions.excluded)
        good = rows[~site.samples.index.damaged[rows]]

        def link(**changes: object) -> str:
            return address("/", view.text(changes))

        poses = not site.samples.crops
        return site.page(
            "overview.html",
            count=len(rows),
            chips=[(text, href.replace("/", "/overview", 1)) for text, href in chips(view)],
            splits=self._splits(view, rows),
            joints=self._joints(good, link),
            fill_by_camera=self._fill_by_camera(good, link),
            cameras=self._cameras(good, link),
            flags=[] if poses else self._flags(view, rows, link),
            histograms=[
                (name, title, self._histogram(name, view, good, whole, link))
                for name, (title, whole) in _MEASURES.items()
                if not poses or name in ("filled", "score")
            ],
            per_person=self._per_person(view, good, link),
            samples_link=link(),
        )

    def _splits(self, view: View, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
        index, excluded = self.site.samples.index, self.site.exclusions.excluded.mask
        found = []
        for number, split in enumerate(SPLITS):
            of_split = rows[index.splits[rows] == number]
            pids, camids = index.pids[of_split], index.camids[of_split]
            if len(of_split):
                found.append(
                    {
                        "name": split,
                        "href": address("/overview", view.text({"split": split})),
                        "images": len(of_split),
                        "identities": len(set(pids.tolist()) - {JUNK_PID, UNKNOWN}),
                        "cameras": len(set(camids.tolist()) - {UNKNOWN}),
                        "junk": int((pids == JUNK_PID).sum()),
                        "excluded": int(excluded[of_split].sum()),
                    }
                )
        return found

    def _joints(self, rows: NDArray[np.intp], link: Callable[..., str]) -> list[tuple[str, Bar, Bar]]:
        index = self.site.samples.index
        scores = index.scores[rows].mean(axis=0).tolist() if len(rows) else [0.0] * len(JOINTS)
        filled = index.filled[rows].mean(axis=0).tolist() if len(rows) else [0.0] * len(JOINTS)
        # Scores of some estimators go beyond 1.
        most = max(1.0, *scores)
        return [
            (
                name,
                Bar(name, f"{score:.2f}", max(0.0, score / most), link(sort=f"score-{name}", order=None)),
                Bar(name, f"{share:.1%}", share, link(joint=name)),
            )
            for name, score, share in zip(JOINTS, scores, filled, strict=True)
        ]

    def _fill_by_camera(self, rows: NDArray[np.intp], link: Callable[..., str]) -> list[Bar]:
        index = self.site.samples.index
        shares = index.filled[rows].mean(axis=1)
        camids = index.camids[rows]
        means = [(camera, float(shares[camids == camera].mean())) for camera in np.unique(camids).tolist()]
        return [
            Bar(f"camera {camera}", f"{share:.1%}", share, link(camera=camera, sort="filled", order="desc"))
            for camera, share in means
        ]

    def _cameras(self, rows: NDArray[np.intp], link: Callable[..., str]) -> list[Bar]:
        cameras, counts = np.unique(self.site.samples.index.camids[rows], return_counts=True)
        pairs = zip(cameras.tolist(), counts.tolist(), strict=True)
        return counted([(f"camera {camera}", count, link(camera=camera)) for camera, count in pairs], len(rows))

    def _flags(self, view: View, rows: NDArray[np.intp], link: Callable[..., str]) -> list[Bar]:
        flags = self.site.samples.index.flags[rows]
        damaged = self.site.samples.index.damaged[rows]
        found = [(name, flags & flag > 0) for flag in Flag for name in (str(flag.name).lower(),)]
        found.append(("none", (flags == 0) & ~damaged))
        if damaged.any():
            found.append(("damaged", damaged))
        entries = [
            (FLAGS[name], int(which.sum()), link(flag=list(dict.fromkeys((*view.filter.flags, name)))))
            for name, which in found
        ]
        return counted(entries, len(rows))

    def _histogram(
        self, name: str, view: View, rows: NDArray[np.intp], whole: bool, link: Callable[..., str]
    ) -> Histogram:
        values = self.site.selector.measures[name][rows]
        return histogram(values, _between(name, view, link), whole=whole)

    def _per_person(self, view: View, rows: NDArray[np.intp], link: Callable[..., str]) -> Histogram:
        index = self.site.samples.index
        _, first = np.unique(index.pids[rows], return_index=True)
        people = rows[first]
        values = self.site.selector.measures["images"][people[index.pids[people] != JUNK_PID]]
        return histogram(values, _between("images", view, link), unit="people", whole=True)


def _between(name: str, view: View, link: Callable[..., str]) -> Link:
    def between(low: float | None, high: float | None) -> str:
        low, high = within(view.filter.bounds(name), low, high)
        return link(**{f"min_{name}": shortest(low), f"max_{name}": shortest(high), "sort": name, "order": None})

    return between
