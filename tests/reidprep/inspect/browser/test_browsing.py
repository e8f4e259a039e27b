"""Load, filter, open, toggle: what a person does with the pointer."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidprep.drawing.album import MARKER
from reidprep.shards.reader import ShardSet

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
Serve = Callable[..., Any]


def test_the_grid_shows_all_samples(server: Any, open_page: OpenPage) -> None:
    page = open_page(server.url)
    assert page.count() == server.samples
    assert page.shown() == list(range(server.samples))
    assert page.wait_for_images() >= 6 * server.samples  # source, whole body, four parts


def test_filters_are_in_the_address(server: Any, open_page: OpenPage) -> None:
    shards = ShardSet.open(server.path)
    pid, camera = int(shards.pids[0]), int(shards.camids[0])
    expected = np.flatnonzero((shards.pids == pid) & (shards.camids == camera)).tolist()
    page = open_page(server.url)
    page.fill("#filter input[name=pid]", str(pid))
    page.press("#filter input[name=pid]", "Enter")
    page.wait_for_url("**/*pid=*")
    page.select_option("#filter select[name=camera]", str(camera))  # submits by itself
    page.wait_for_url("**/*camera=*")
    assert page.shown() == expected and page.count() == len(expected)
    assert page.input_value("#filter input[name=pid]") == str(pid)
    other = open_page(page.url)
    assert other.shown() == expected
    page.go_back()
    page.go_back()
    assert page.count() == server.samples


def test_orders_and_pages(server: Any, open_page: OpenPage) -> None:
    shards = ShardSet.open(server.path)
    expected = np.argsort(-shards.column("residuals"), kind="stable").tolist()
    page = open_page(f"{server.url}/?sort=residual&order=desc&per_page=5")
    seen = page.shown()
    while page.locator("a[rel=next]").count():
        page.locator("a[rel=next]").first.click()
        page.wait_for_load_state()
        seen += page.shown()
    assert seen == expected
    page.locator("a[rel=prev]").first.click()
    page.wait_for_load_state()
    last = len(expected) - len(expected) % 5
    assert page.shown() == expected[last - 5 : last]


def test_a_filter_that_makes_no_sense_says_why(server: Any, open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page(f"{server.url}/?min_score=lots")
    assert "min_score" in page.inner_text("main") and "lots" in page.inner_text("main")
    complaints[:] = [line for line in complaints if "Failed to load resource" not in line]  # the page's own status


def test_a_sample_opens_with_all_that_shaped_it(server: Any, open_page: OpenPage) -> None:
    shards = ShardSet.open(server.path)
    page = open_page(server.url)
    page.locator("article.sample").nth(3).locator("a").first.click()
    page.wait_for_url("**/sample/3*")
    page.wait_for_images()
    text = page.inner_text("main")
    sample = shards[3]
    assert sample.path in text and str(sample.pid) in text
    for joint in ("nose", "l_ankle"):
        assert joint in text or joint.replace("l_", "left ") in text
    for score in sample.joints[:, 2]:
        assert f"{score:.2f}" in text
    for name in ("beta", "confidence", "alignment", "border"):
        assert name in text.lower()
    page.go_back()
    page.wait_for_selector("article.sample")


def test_overlays_are_toggled(server: Any, open_page: OpenPage) -> None:
    shards = ShardSet.open(server.path)
    filled = shards.column("filled")
    sample = int(np.argmax((filled.sum(axis=1) > 0) & (filled.sum(axis=1) < 18)))
    assert filled[sample].any()
    page = open_page(f"{server.url}/sample/{sample}")
    page.wait_for_images()
    overlay = page.locator("figure.source svg")
    before = page.pixels(overlay)
    for name in ("measured", "filled", "skeleton", "box-whole-body", "box-head", "box-lower-leg"):
        box = page.locator(f"input[name={name}]").first
        assert box.is_checked(), name
        box.uncheck()
        assert (abs(page.pixels(overlay) - before) > 40).sum() > 30, name
        box.check()
        assert (abs(page.pixels(overlay) - before) > 40).sum() <= 8, name  # edges are not painted twice alike


def test_toggles_last(server: Any, open_page: OpenPage) -> None:
    """From one sample to the next: whoever looks for a box looks for it on all."""
    page = open_page(f"{server.url}/sample/0")
    page.locator("input[name=skeleton]").first.uncheck()
    page.keyboard.press("j")
    page.wait_for_url("**/sample/1*")
    assert not page.locator("input[name=skeleton]").first.is_checked()


def test_the_identity_view_has_all_images_of_a_person(server: Any, open_page: OpenPage) -> None:
    shards = ShardSet.open(server.path)
    pid = int(shards.pids[0])
    page = open_page(f"{server.url}/identity/{pid}")
    page.wait_for_images()
    indices = set(page.eval_on_selector_all("[data-index]", "all => all.map(a => +a.dataset.index)"))
    assert indices == set(np.flatnonzero(shards.pids == pid).tolist())
    for camera in set(shards.camids[shards.pids == pid].tolist()):
        assert re.search(rf"camera\s*{camera}", page.inner_text("main"), re.IGNORECASE)


def test_bars_of_the_overview_lead_to_their_samples(server: Any, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/overview")
    links = page.eval_on_selector_all(
        "main a[href^='/?']", "all => all.map(a => [a.getAttribute('href'), a.innerText])"
    )
    assert len(links) > 18
    for href, _ in links[:: max(1, len(links) // 6)]:
        page.goto(server.url + href)
        assert page.count() == len(page.shown()) or page.locator("a[rel=next]").count()


def test_the_pictures_of_a_run(serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "ranked"
    folder.mkdir(parents=True)
    for name in ("sheet-001.png", "sheet-002.png", "private.png"):
        Image.new("RGB", (40, 30), (0, 90, 200)).save(folder / name)
    (folder / MARKER).write_text(json.dumps({"files": ["sheet-001.png", "sheet-002.png", "../../secret.png"]}))
    Image.new("RGB", (40, 30)).save(tmp_path / "secret.png")
    server = serve(shards, "--source", drawn, "--run", tmp_path / "run")
    page = open_page(server.url)
    page.click("nav a[href='/run']")
    page.wait_for_url("**/run")
    page.wait_for_images()
    found = page.eval_on_selector_all("main img", "all => all.map(image => image.src.split('/').at(-1))")
    assert found == ["sheet-001.png", "sheet-002.png"]
