"""The command in a headless Chromium: each control of its pages, at two widths."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from reidtrain.explore.explorer import Run
from reidtrain.explore.sources import Explored

from ...reidprep.inspect.browser.conftest import (  # noqa: F401
    Server,
    complaints,
    open_page,
    served,
    until,
)

pytestmark = pytest.mark.browser

COMMAND = [sys.executable, "-c", "from reid_cli.reidtrain.main import main; main()", "explore"]
OpenPage = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def exclude(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks") / "exclude.csv"


@pytest.fixture(scope="module")
def server(
    explored: Explored, two_runs: list[Run], contradictions_found: object, drawn: Path, exclude: Path
) -> Iterator[Server]:
    """The command, which finds all it needs in the folder where the tests' own is kept."""
    options = ("--out", explored.out, "--exclude-file", exclude, "--source", drawn, "--device", "cpu")
    with served(explored.shards, *options, command=[*COMMAND, str(explored.checkpoint.path)]) as running:
        yield running


def test_a_query_is_found_opened_and_left_by_keys(server: Server, open_page: OpenPage, a_run: Run) -> None:  # noqa: F811
    page = open_page(f"{server.url}/queries?sort=index")
    rows = [str(row) for row in a_run.rankings.rows]
    assert page.shown() == list(map(int, rows))
    page.select_option('select[name="order"]', "desc")
    page.wait_for_url("**/queries?sort=index&order=desc")
    assert page.shown() == list(map(int, rows))[::-1]
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/query/{rows[-1]}?*")
    page.keyboard.press("n")
    page.wait_for_url(f"**/query/{rows[-2]}?*")
    page.keyboard.press("p")
    page.wait_for_url(f"**/query/{rows[-1]}?*")
    failures = [row for row, rank in zip(rows[-2::-1], a_run.rankings.first_rank[-2::-1], strict=True) if rank > 1]
    page.keyboard.press("f")
    if failures:
        page.wait_for_url(f"**/query/{failures[0]}?*")
    page.keyboard.press("g")
    page.wait_for_url("**/queries?*#sample-*")


def test_images_show_joints_or_attention_and_open_their_sample(
    server: Server,
    open_page: OpenPage,  # noqa: F811
    a_run: Run,
) -> None:
    page = open_page(f"{server.url}/query/{a_run.rankings.rows[0]}")
    page.click("text=joints and boxes")
    page.wait_for_url("**show=source*")
    assert page.locator(".hit svg.overlay").count() == len(page.shown()) - 1
    page.click("text=attention")
    page.wait_for_url("**show=attention*")
    assert page.wait_for_images() > 0
    page.click('nav[aria-label="Images of a list"] >> text=10')
    page.wait_for_url("**top=10*")
    first = page.locator(".hit").first
    sample = first.get_attribute("data-index")
    first.locator(".open").click()
    page.wait_for_url(f"**/sample/{sample}")
    assert page.locator("h1").inner_text() != ""


def test_a_candidate_is_excluded_with_its_reason(
    server: Server,
    open_page: OpenPage,  # noqa: F811
    until: Until,  # noqa: F811
    exclude: Path,
) -> None:
    page = open_page(f"{server.url}/labels?of=train")
    for kind in ("twins", "halves", "strays"):
        page.click(f'nav[aria-label="What contradicts"] >> a[href*="{kind}"]')
        page.wait_for_url(f"**kind={kind}*")
    card = page.locator("article[data-reason]").first
    # Which labels a network without training contradicts is chance.
    for of, kind in product(("train", "test"), ("strays", "halves", "twins")):
        if not card.count():
            page.goto(f"{server.url}/labels?of={of}&kind={kind}")
    card.locator("button.exclude").click()
    until(exclude.exists)
    with exclude.open(newline="") as lines:
        assert [row["reason"] for row in csv.DictReader(lines)] == [card.get_attribute("data-reason")]
    page.click("#undo")
    until(lambda: len(exclude.read_text().splitlines()) == 1)


def test_people_are_filtered_by_camera(server: Server, open_page: OpenPage) -> None:  # noqa: F811
    page = open_page(f"{server.url}/confused")
    page.select_option('select[name="camera"]', "1")
    page.click("text=Apply")
    page.wait_for_url("**camera=1*")
    page.click(".chips a")
    page.wait_for_url("**/confused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(server: Server, open_page: OpenPage, a_run: Run, scheme: str) -> None:  # noqa: F811
    query = a_run.rankings.rows[0]
    page = open_page(f"{server.url}/queries", viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for path in ("/queries", f"/query/{query}", f"/query/{query}?show=attention", "/confused", "/labels"):
        page.goto(server.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
