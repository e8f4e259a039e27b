"""Marking: what a page asks to be excluded or taken back in."""

from __future__ import annotations

from itertools import count
from secrets import randbits
from threading import Lock

import msgspec
import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reidprep.errors import ReidError
from reidprep.inspect.exclusions import Change
from reidprep.inspect.query import BadQuery
from reidprep.inspect.security import why_foreign
from reidprep.inspect.site import Site

_MAX_BODY = 16 * 1024
_MAX_REASON = 500
_KEPT = 50
"""Changes to many samples that can be undone."""


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What the body of a request may hold: one of `index`, `filter` and `undo`.

    Attributes:
        index: a sample.
        filter: the query of an address, for all samples that fit it.
        undo: number of a change to many samples that is to be taken back.
        excluded: whether they are to be on the list; not with `undo`.
        reason: why; without it a sample keeps the reason that it has.
    """

    index: int | None = None
    filter: str | None = None
    undo: int | None = None
    excluded: bool | None = None
    reason: str | None = None


class Marking:
    """Answers requests that change the list.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._changes: dict[int, Change] = {}
        # Pages keep them: they must not stand for the changes of a later start.
        self._numbers = count(randbits(40))
        self._lock = Lock()

    async def answer(self, request: Request) -> Response:
        """Mark samples as the JSON in the body says."""
        foreign = why_foreign(request, self.site.token)
        if foreign is not None:
            return _refusal(403, foreign)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _refusal(415, "send JSON")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                return _refusal(413, f"the request is larger than {_MAX_BODY} bytes")
        try:
            asked = msgspec.json.decode(body, type=Asked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _refusal(400, 'send {"index": number, "excluded": true or false, "reason": text}')
        reason = None if asked.reason is None else asked.reason.strip()
        if reason is not None and (len(reason) > _MAX_REASON or not all(c.isprintable() for c in reason)):
            return _refusal(400, f"the reason is one line of up to {_MAX_REASON} characters")
        try:
            return await run_in_threadpool(self._mark, asked, reason)
        except BadQuery as error:
            return _refusal(400, str(error))
        except ReidError as error:
            return _refusal(409, str(error))

    def _mark(self, asked: Asked, reason: str | None) -> Response:
        given = [name for name in ("index", "filter", "undo") if getattr(asked, name) is not None]
        if len(given) != 1 or (asked.excluded is None) != (given == ["undo"]):
            return _refusal(400, "send index or filter with excluded, or undo")
        if asked.undo is not None:
            return self._undo(asked.undo)
        excluded = bool(asked.excluded)
        if asked.filter is not None:
            return self._mark_all(asked.filter, excluded, reason or "")
        assert asked.index is not None
        paths = self.site.samples.index.paths
        if not 0 <= asked.index < len(paths):
            return _refusal(404, f"there is no sample {asked.index}")
        if not paths[asked.index]:
            return _refusal(409, "the sample is damaged, and its path not known")
        listed, before = self.site.exclusions.mark(paths[asked.index], excluded, reason)
        return JSONResponse({"excluded": listed, "reason": before})

    def _mark_all(self, query: str, excluded: bool, reason: str) -> Response:
        view = self.site.view_of(QueryParams(query))
        index, exclusions = self.site.samples.index, self.site.exclusions
        rows = self.site.selector.rows(view.filter, exclusions.excluded)
        paths = [index.paths[row] for row in np.sort(rows).tolist() if index.paths[row]]
        change = exclusions.mark_all(paths, excluded, reason)
        with self._lock:
            number = next(self._numbers)
            self._changes[number] = change
            while len(self._changes) > _KEPT:
                del self._changes[min(self._changes)]
        return JSONResponse({"excluded": change.listed, "samples": len(change.before), "undo": number})

    def _undo(self, number: int) -> Response:
        with self._lock:
            change = self._changes.pop(number, None)
        if change is None:
            return _refusal(410, "these marks are from an earlier start of the server; 'Excluded' shows them")
        listed, samples = self.site.exclusions.take_back(change)
        return JSONResponse({"excluded": listed, "samples": samples})


def _refusal(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
