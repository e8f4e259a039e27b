"""The application: addresses and what answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from reidprep.errors import ReidError
from reidprep.inspect.detail import DetailPage
from reidprep.inspect.exclusions import Exclusions
from reidprep.inspect.grid import GridPages
from reidprep.inspect.marking import Marking
from reidprep.inspect.overview import OverviewPage
from reidprep.inspect.pictures import picture_response, placeholder
from reidprep.inspect.pose_samples import PoseSamples
from reidprep.inspect.query import BadQuery
from reidprep.inspect.runs import RunPictures
from reidprep.inspect.samples import CROPS, Samples
from reidprep.inspect.security import Guard, Hosts
from reidprep.inspect.shard_samples import ShardSamples
from reidprep.inspect.site import Section, Site, number_in
from reidprep.poses.format import POSES
from reidprep.shards.format import SHARDS
from reidprep.store.manifest import read_manifest


def open_samples(path: Path, source: Path | None = None) -> Samples:
    """Open a shard or pose directory.

    Args:
        path: the directory.
        source: where the source images are now, None for where they were.

    Raises:
        ReidError: neither kind of directory, an incomplete one, or `source` holds other images.
    """
    is_poses = read_manifest(path, SHARDS, POSES).schema == POSES.schema
    return PoseSamples(path, source) if is_poses else ShardSamples(path, source)


def create_app(
    samples: Samples,
    exclusions: Exclusions,
    token: str,
    hosts: Hosts,
    runs: Sequence[RunPictures] = (),
    sections: Sequence[Section] = (),
) -> ASGIApp:
    """The application.

    Args:
        samples: what it shows.
        exclusions: the list that it changes.
        token: what a request that changes something has to bring; pages carry it.
        hosts: the names it answers under.
        runs: pictures of training runs.
        sections: pages that other packages add.
    """
    site = Site(samples, exclusions, runs, token, sections)
    grid = GridPages(site)

    def image(request: Request) -> Response:
        index, name = number_in(request, "index"), request.path_params["name"]
        if index >= len(samples.index) or name not in ("source", *CROPS):
            return site.problem(404, "No such picture", "There is no such sample, or no such picture of it.")
        return picture_response(request, samples, index, name)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in site.static:
            return site.problem(404, "No such page", "Nothing is at this address.")
        media_type, data = site.static[name]
        lasting = request.query_params.get("v") == site.static_version
        headers = {"Cache-Control": "public, max-age=31536000, immutable" if lasting else "no-cache"}
        return Response(data, media_type=media_type, headers=headers)

    def run(request: Request) -> Response:
        return site.page("run.html", runs=runs)

    def run_picture(request: Request) -> Response:
        number = number_in(request, "number")
        try:
            if number >= len(runs):
                raise ReidError("there is no such picture")
            data = runs[number].read(request.path_params["name"])
        except ReidError as error:
            return Response(placeholder(str(error)), 404, media_type="image/svg+xml")
        return Response(data, media_type="image/png", headers={"Cache-Control": "private, no-cache"})

    routes = [
        Route("/", _plain(site, grid.grid)),
        Route("/sample/{index}", _plain(site, DetailPage(site).sample)),
        Route("/identity/{pid}", _plain(site, grid.identity)),
        Route("/overview", _plain(site, OverviewPage(site).overview)),
        Route("/excluded", _plain(site, grid.excluded)),
        Route("/run", _plain(site, run)),
        Route("/run/{number}/{name}", run_picture),
        Route("/image/{index}/{name}", image),
        Route("/exclude", Marking(site).answer, methods=["POST"]),
        Route("/static/{name}", static),
        *(Route(path, _plain(site, page)) for section in sections for path, page in section.pages(site).items()),
    ]

    async def http_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        texts = {404: ("No such page", "Nothing is at this address."), 405: ("Not possible", "Nothing does that here.")}
        title, reason = texts.get(error.status_code, ("Not possible", error.detail))
        return site.problem(error.status_code, title, reason)

    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: http_problem}), hosts)


def _plain(site: Site, page: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A page whose errors are said in plain words."""

    def answer(request: Request) -> Response:
        try:
            site.samples.check_unchanged()
            return page(request)
        except BadQuery as error:
            return site.problem(400, "This address makes no sense", f"{error}.")
        except ReidError as error:
            return site.problem(409, "This cannot be shown now", str(error))

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return endpoint
