"""All of it by the keyboard alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reidprep.shards.reader import ShardSet

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
Serve = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Listed = Callable[[Path], list[str]]


def test_the_keyboard_alone(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, until: Until, listed: Listed
) -> None:
    server = serve(shards, "--source", drawn)
    paths = ShardSet.open(shards).column("paths").tolist()
    page = open_page(server.url)
    page.keyboard.press("j")
    assert page.focused() == "0"
    for key in ("j", "ArrowRight", "k", "j"):
        page.keyboard.press(key)
    assert page.focused() == "2"
    page.keyboard.press("x")
    until(lambda: listed(shards) == [paths[2]])
    assert page.locator("article.sample[data-index='2'] [aria-pressed=true]").count() == 1
    page.keyboard.press("u")
    until(lambda: listed(shards) == [])
    assert page.locator("[aria-pressed=true]").count() == 0
    page.keyboard.press("Enter")
    page.wait_for_url("**/sample/2*")
    page.keyboard.press("j")
    page.wait_for_url("**/sample/3*")
    page.keyboard.press("k")
    page.wait_for_url("**/sample/2*")
    page.keyboard.press("x")
    until(lambda: listed(shards) == [paths[2]])
    page.keyboard.press("?")
    assert "next" in page.locator("dialog[open], [role=dialog]").first.inner_text().lower()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_keys_typed_into_a_field_are_text(server: Any, open_page: OpenPage, listed: Listed) -> None:
    page = open_page(server.url)
    page.click("#filter input[name=path]")
    page.keyboard.type("xjku?")
    assert page.input_value("#filter input[name=path]") == "xjku?"
    assert listed(server.path) == [] and page.shown()


def test_everything_is_reached_by_tab_and_seen_to_be(server: Any, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/?per_page=3")
    names = []
    ringed = """[document.activeElement, document.activeElement.closest('article')]
        .some(element => element && getComputedStyle(element).outlineStyle !== 'none')"""
    for _ in range(200):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if name.startswith("<body") or name in names[:1]:
            break
        assert page.evaluate(ringed), f"no sign of focus: {name}"
        names.append(name)
    everything = "\n".join(names)
    for needed in ('name="pid"', 'name="path"', "/sample/0", "exclude"):
        assert needed in everything


@pytest.mark.parametrize(
    "chosen", ["article.sample", "article.sample button.exclude", "#filter input[name=path]", "nav a", "#help-button"]
)
def test_the_focus_is_seen_all_around(server: Any, open_page: OpenPage, chosen: str) -> None:
    """As much of the picture changes as a line around it has (WCAG 2.2, focus appearance)."""
    page = open_page(f"{server.url}/?per_page=3", reduced_motion="reduce")  # no half-faded buttons
    page.wait_for_images()
    element = page.locator(chosen).first
    box = element.bounding_box()
    clip = {"x": box["x"] - 6, "y": box["y"] - 6, "width": box["width"] + 12, "height": box["height"] + 12}
    clip |= {side: max(0, clip[side]) for side in ("x", "y")}
    before = page.pixels(clip=clip)
    if chosen == "article.sample":
        page.keyboard.press("j")
    else:
        page.keyboard.press("Tab")  # so that the browser takes it for the keyboard's focus
        element.focus()
    changed = (abs(page.pixels(clip=clip) - before) > 30).any(axis=2)
    assert changed.sum() >= 2 * (box["width"] + box["height"]) * 0.9
    across, down = changed.sum(axis=0), changed.sum(axis=1)
    assert (across > 0).mean() > 0.7 and (down > 0).mean() > 0.7
