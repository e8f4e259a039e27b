"""The page of one sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from reidprep.alignment.align import Flag
from reidprep.errors import ImageError, ReidError
from reidprep.inspect.cards import joint_rows, known
from reidprep.inspect.grid import address
from reidprep.inspect.query import View
from reidprep.inspect.samples import Geometry
from reidprep.inspect.site import Fact, Site, number_in
from reidprep.records import JUNK_PID
from reidprep.skeleton import PARTS
from reidprep.text import counted, flatten

# Pixels of the screen that the drawings are about high.
_LARGE, _PART = 640, 152


class DetailPage:
    """Shows one sample.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def sample(self, request: Request) -> Response:
        """One sample, its neighbours being those of the filter in the address."""
        site, view = self.site, self.site.view(request)
        samples, row = site.samples, number_in(request, "index")
        if row >= len(samples.index):
            return site.problem(
                404, "No such sample", f"The folder has {counted(len(samples.index), 'sample')}, counted from 0."
            )
        excluded = site.exclusions.excluded
        path = samples.index.paths[row]
        problems = []
        geometry = None
        try:
            geometry = samples.geometry(row)
            if samples.crops:
                samples.crop(row, "whole")
        except ReidError as error:
            problems.append(str(error))
        source = ""
        try:
            height, width = samples.source(row).shape[:2]
            source = f"{width} x {height}"
        except ImageError as error:
            problems.append(f"source image: {error}")
        return site.page(
            "sample.html",
            index=row,
            path=path,
            problems=problems,
            excluded=bool(excluded.mask[row]),
            reason=site.exclusions.reasons.get(path, "") if path else "",
            flags=Flag(int(samples.index.flags[row])).words,
            facts=self._facts(row, source),
            joints=joint_rows(geometry) if geometry else [],
            parameters=list(flatten({"tool": samples.manifest.tool, **samples.manifest.parameters})),
            **self._drawings(row, geometry),
            **self._neighbours(view, row),
        )

    def _facts(self, row: int, source: str) -> list[Fact]:
        index, measures = self.site.samples.index, self.site.selector.measures
        file, file_row = self.site.samples.place(row)
        pid, camera = known(index, row, "pids"), known(index, row, "camids")
        facts: list[Fact] = [("sample", f"{row}", None)]
        if pid is not None and camera is not None:
            person = f"junk (id {pid})" if pid == JUNK_PID else str(pid)
            facts += [("person", person, f"/identity/{pid}"), ("camera", str(camera), f"/?camera={camera}")]
        facts.append(("split", index.split(row), f"/?split={index.split(row)}" if index.splits[row] >= 0 else None))
        for name, values in (("sequence", index.sequences), ("frame", index.frames)):
            if values[row] >= 0:
                facts.append((name, str(values[row]), None))
        if source:
            facts.append(("source image", f"{source} pixels", None))
        for text, name, digits in (
            ("joints filled", "filled", 0),
            ("mean score", "score", 3),
            ("fit residual", "residual", 3),
            ("box height", "height", 1),
            ("outside the image", "outside", 3),
        ):
            value = float(measures[name][row])
            if np.isfinite(value):
                facts.append((text, f"{value:.{digits}f}", None))
        facts.append(("file", f"{file}, row {file_row}", None))
        return [*facts, *(fact for section in self.site.sections for fact in section.facts(row))]

    def _drawings(self, row: int, geometry: Geometry | None) -> dict[str, Any]:
        cards = self.site.cards
        if geometry is None:
            return {"overlay": None, "whole": None, "parts": [], "plain": ()}
        crops = self.site.samples.crops
        return {
            "overlay": cards.overlay(row, geometry, height=_LARGE, tooltips=True),
            "whole": cards.crop_overlay(row, geometry, 0, height=_LARGE) if crops else None,
            "parts": [
                (name, name.replace("_", " "), cards.crop_overlay(row, geometry, 1 + number, height=_PART))
                for number, name in enumerate(PARTS)
                if crops
            ],
            "plain": cards.crops(row, ("plain",)),
        }

    def _neighbours(self, view: View, row: int) -> dict[str, Any]:
        rows = self.site.selector.rows(view.filter, self.site.exclusions.excluded)
        found = np.flatnonzero(rows == row)
        at = int(found[0]) if len(found) else None
        query = view.text()

        def to(position: int | None) -> str | None:
            if position is None or not 0 <= position < len(rows):
                return None
            return address(f"/sample/{rows[position]}", query)

        page = 1 if at is None else at // view.per_page + 1
        return {
            "position": at,
            "count": len(rows),
            "previous": to(None if at is None else at - 1),
            "following": to(None if at is None else at + 1),
            "back": address("/", view.text(page=page)) + f"#sample-{row}",
            "filtered": view.filter.restricts,
        }
