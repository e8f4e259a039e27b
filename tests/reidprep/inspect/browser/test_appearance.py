"""Readable on a laptop and a phone, light and dark, with and without scripts, by eye and by screen reader."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest

from .conftest import Complaints

pytestmark = pytest.mark.browser

LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
VIEWS = ("", "?show=parts", "?min_score=0.99999&max_score=0", "sample/0", "identity/{pid}", "overview", "excluded")

OpenPage = Callable[..., Any]

# For each element with text of its own: the contrast of WCAG 2.1 between its colour and what lies behind it.
CONTRASTS = """() => {
    const rgb = text => { const n = text.match(/[0-9.]+/g).map(Number); return [...n.slice(0, 3), n[3] ?? 1] };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
    const behind = element => {
        const layers = [];
        for (let e = element; e; e = e.parentElement) layers.push(rgb(getComputedStyle(e).backgroundColor));
        const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
        return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
    };
    const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    return [...document.querySelectorAll('body *')]
        .filter(e => own(e) && !e.closest('svg, script, [hidden], dialog:not([open])'))
        .filter(e => e.checkVisibility() && e.offsetWidth > 2)
        .map(e => {
            const below = behind(e), above = over(rgb(getComputedStyle(e).color), below);
            const [high, low] = [light(above), light(below)].sort((a, b) => b - a);
            return [(high + 0.05) / (low + 0.05), e.outerHTML.slice(0, 120)];
        });
}"""


@pytest.fixture(scope="module")
def views(server: Any) -> list[str]:
    from reidprep.shards.reader import ShardSet

    pid = int(ShardSet.open(server.path).pids[0])
    return [f"{server.url}/{view.format(pid=pid)}" for view in VIEWS]


@pytest.fixture(scope="module", params=range(len(VIEWS)), ids=[view or "grid" for view in VIEWS])
def view(request: pytest.FixtureRequest, views: list[str]) -> str:
    """The address of a view."""
    return views[request.param]


@pytest.fixture(scope="module")
def phone(browser: Any) -> Iterator[Any]:
    """A window of a phone: these pages keep nothing that the next one could see."""
    with closing(browser.new_context(**PHONE)) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def laptop(browser: Any) -> Iterator[Any]:
    with closing(browser.new_context(color_scheme="light", **LAPTOP)) as context:
        yield context.new_page()


def test_a_phone_needs_no_scrolling_sideways(phone: Any, view: str, complaints: Complaints) -> None:
    page = phone
    complaints.watch(page, view)
    page.goto(view)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert page.evaluate("innerWidth") == 390  # nothing made the phone zoom out
    assert page.locator("meta[name=viewport]").count() == 1
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, input:not([type=hidden]), nav a')]"
        ".filter(e => e.checkVisibility() && (e.closest('label') ?? e).getBoundingClientRect().height < 24)"
        ".map(e => e.outerHTML.slice(0, 120))"
    )
    assert small == []  # WCAG 2.2, target size


def test_text_is_readable_and_a_screen_reader_finds_its_way(laptop: Any, view: str, complaints: Complaints) -> None:
    page = laptop
    complaints.watch(page, view)
    page.goto(view)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number)")
        assert (sum(ground[:3]) < 3 * 80) == (scheme == "dark")
        found = page.evaluate(CONTRASTS)
        assert len(found) > 5
        assert [entry for entry in found if entry[0] < 4.5] == []

    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title()
    for landmark in ("main", "nav", "h1"):
        assert page.locator(landmark).count() >= 1, landmark
    assert page.locator("main").count() == page.locator("h1").count() == 1
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a, svg, img')]
            .filter(e => e.checkVisibility() && !e.closest('[aria-hidden=true]') && !(
                e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title ||
                (e.labels && [...e.labels].some(l => l.innerText.trim())) ||
                (e.tagName === 'IMG' && e.hasAttribute('alt')) ||
                (e.tagName === 'svg' && e.querySelector(':scope > title')) ||
                (['A', 'BUTTON'].includes(e.tagName) &&
                    (e.innerText.trim() || e.querySelector('img[alt]:not([alt=""]), svg title')))
            )).map(e => e.outerHTML.slice(0, 160))"""
    )
    assert unnamed == []
    repeated = page.evaluate(
        "(ids => ids.filter((id, i) => ids.indexOf(id) !== i))([...document.querySelectorAll('[id]')].map(e => e.id))"
    )
    assert repeated == []
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => +h.tagName[1])")
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels
    for table in page.locator("table").all():
        assert table.locator("th").count() > 0


def test_without_scripts_the_grid_can_be_browsed(server: Any, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/?per_page=4", java_script_enabled=False)
    assert page.locator("article.sample").count() == 4
    page.locator("a[rel=next]").first.click()
    assert page.locator("article.sample").first.get_attribute("data-index") == "4"
    page.fill("#filter input[name=path]", "query")
    page.press("#filter input[name=path]", "Enter")
    page.wait_for_url("**/*path=query*")
    assert page.locator("article.sample").count() > 0
    page.locator("article.sample a").first.click()
    page.wait_for_url("**/sample/*")
    assert page.locator("main img, main image").count() > 0
    for view in ("overview", "excluded"):
        page.goto(f"{server.url}/{view}")
        assert page.locator("h1").count() == 1


def test_who_wants_no_motion_gets_none(server: Any, open_page: OpenPage) -> None:
    page = open_page(server.url, reduced_motion="reduce")
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].map(e => getComputedStyle(e))"
        ".filter(s => parseFloat(s.transitionDuration) > 0.01 || parseFloat(s.animationDuration) > 0.01).length"
    )
    assert moving == 0
