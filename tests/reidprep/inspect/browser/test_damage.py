"""Shards that are damaged, or made to do harm."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from reidprep.shards.reader import ShardSet

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
Serve = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Listed = Callable[[Path], list[str]]


def test_a_corrupt_shard_shows_as_such_and_the_rest_is_fine(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, complaints: list[str]
) -> None:
    samples = ShardSet.open(shards)
    damaged, torn = samples.files[0], samples.files[1]
    with h5py.File(shards / torn.name) as file:
        start = file["images"].id.get_offset()
    data = bytearray((shards / torn.name).read_bytes())
    data[start + 300] ^= 4  # one sample
    (shards / torn.name).write_bytes(bytes(data))
    (shards / damaged.name).write_bytes(b"\x89HDF no more")

    server = serve(shards, "--source", drawn)
    page = open_page(server.url)
    assert page.count() == len(samples)
    assert page.shown() == list(range(len(samples)))
    assert "damaged" in page.locator("article.sample").first.locator("a.open").get_attribute("aria-label")
    good = damaged.rows + torn.rows
    assert page.evaluate(
        "from => [...document.querySelectorAll('article.sample')].slice(from)"
        ".every(a => [...a.querySelectorAll('img')].every(i => !i.complete || i.naturalWidth > 0))",
        good,
    )
    for index in (0, damaged.rows, good):
        page.goto(f"{server.url}/sample/{index}")
        if index < good:
            assert re.search("damaged|checksum|cannot", page.inner_text("main"))
    page.goto(f"{server.url}/overview")
    page.goto(f"{server.url}/?flag=damaged")
    assert page.count() >= damaged.rows
    assert server.process.poll() is None
    assert all("Failed to load resource" in line for line in complaints)
    complaints.clear()


def test_paths_that_look_like_code_are_text(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, complaints: list[str], until: Until, listed: Listed
) -> None:
    hostile = [
        "<img src=x onerror=alert(1)>.jpg",
        '"><script>alert(1)</script>.jpg',
        "' onmouseover='alert(1).jpg",
        "javascript:alert(1)",
        "{{7*7}}${7*7}.jpg",
        "</title><svg onload=alert(1)>.jpg",
        "a\u202egpj.exe\u0007\n.jpg",
        "=cmd|' /C calc'!A0,\"x\".jpg",
    ]
    file = sorted(shards.glob("train-*.h5"))[0]
    with h5py.File(file, "r+") as content:
        names = [name.encode() for name in hostile][: len(content["paths"])]
        names += list(content["paths"][len(names) :])
        del content["paths"]
        content.create_dataset("paths", data=names, dtype=h5py.string_dtype("utf-8", max(map(len, names))))
    server = serve(shards, "--source", drawn)
    page = open_page(server.url)
    for index in range(len(hostile)):
        page.click(f"article.sample[data-index='{index}'] button.exclude")
        page.wait_for_selector(f"article.sample[data-index='{index}'] button.exclude[aria-pressed=true]")
    until(lambda: sorted(listed(shards)) == sorted(hostile))
    for address in ("", "excluded", "sample/0", "sample/1", "sample/2", f"identity/{ShardSet.open(shards).pids[0]}"):
        page.goto(f"{server.url}/{address}")
        assert page.locator("main script, main [onerror], main [onload], main [onmouseover]").count() == 0
        assert page.locator("a[href^='javascript']").count() == 0
    assert hostile[0] in open_page(f"{server.url}/excluded").inner_text("main")
    # Such images are not there: that is all there is to complain about.
    assert all("Failed to load resource" in line and "404" in line for line in complaints), complaints
    complaints.clear()
