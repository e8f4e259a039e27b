"""Every page answers, says what it should, and breaks on nothing that an address or the data can hold."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from reidprep.inspect import grid
from reidprep.shards.exclusions import write_exclusions
from reidprep.shards.reader import ShardSet

from .conftest import count, indices

PAGES = ("/", "/sample/3", "/identity/2", "/overview", "/excluded", "/run")


class Links(HTMLParser):
    """Collects what a page leads to and loads, and whether it carries style or script of its own."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name in ("href", "src", "action"):
                self.addresses.append(value)
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
        if tag == "style" or (tag == "script" and "src" not in dict(attributes)):
            self.inline.append(tag)


@pytest.mark.parametrize("path", PAGES)
def test_pages_answer_and_lead_only_to_pages_that_do(reader, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    links = Links(answer.text)
    assert not links.inline
    assert all(address.startswith(("/", "#")) for address in links.addresses)
    for address in set(links.addresses):
        if address.startswith("/"):
            assert reader.get(address).status_code == 200, address


def test_the_grid_shows_a_page_of_all_samples_with_their_pictures(reader, drawn_shards: Path) -> None:
    total = len(ShardSet.open(drawn_shards))
    page = reader.get("/?per_page=5&page=2").text
    assert count(page) == total and indices(page) == [5, 6, 7, 8, 9]
    assert page.count('<svg class="overlay"') == 5
    assert all(f"/image/7/{name}?" in page for name in ("source", "whole", "head", "lower_leg"))
    assert "/image/7/plain" not in page


@pytest.mark.parametrize(("show", "drawings", "pictures"), [("whole", 0, 1), ("source", 1, 0), ("parts", 0, 4)])
def test_what_cards_show(reader, show: str, drawings: int, pictures: int) -> None:
    page = reader.get(f"/?per_page=1&show={show}").text
    assert page.count('<svg class="overlay"') == drawings
    assert len(re.findall(r'<img[^>]* src="/image/0/', page)) == pictures


def test_a_page_beyond_the_last_is_the_last(reader, drawn_shards: Path) -> None:
    assert indices(reader.get("/?per_page=5&page=1000").text)[-1] == len(ShardSet.open(drawn_shards)) - 1


def test_a_sample_has_neighbours_of_the_filter_only(reader) -> None:
    chosen = indices(reader.get("/?camera=1&sort=score&order=desc").text)
    assert len(chosen) > 3
    page = reader.get(f"/sample/{chosen[1]}?camera=1&sort=score&order=desc").text
    ends = "?camera=1&amp;sort=score&amp;order=desc"
    assert f'rel="prev" href="/sample/{chosen[0]}{ends}"' in page
    assert f'rel="next" href="/sample/{chosen[2]}{ends}"' in page
    assert f"2 of {len(chosen)} that fit the filter" in page
    assert 'rel="prev"' not in reader.get(f"/sample/{chosen[0]}?camera=1&sort=score&order=desc").text


def test_excluded_samples_are_neighbours(browse, drawn_shards: Path, tmp_path: Path) -> None:
    paths = ShardSet.open(drawn_shards).column("paths")
    write_exclusions(tmp_path / "list.csv", {str(paths[index]): "" for index in (2, 7)})
    client = browse(drawn_shards, exclude=tmp_path / "list.csv")
    (address,) = re.findall(r'class="open" href="(/sample/2[^0-9"]*)"', client.get("/excluded").text)
    assert re.findall(r'rel="next" href="/sample/([0-9]+)', client.get(address).text) == ["7"]


def test_a_sample_outside_its_filter_says_so(reader) -> None:
    page = reader.get("/sample/0?flag=excluded").text
    assert "not in the filter" in page and 'rel="next"' not in page


def test_a_sample_shows_joints_facts_and_every_parameter(reader, drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    sample = shards[3]
    page = reader.get("/sample/3").text
    for joint in range(18):
        assert f"<td>{sample.joints[joint, 2]:.2f}</td><td>{sample.joints_filled[joint, 0]:.1f}</td>" in page
    assert page.count('<tr class="filled">') == int(sample.filled.sum())
    assert sample.path in page and f"<td>{sample.residual:.3f}</td>" in page
    for name in ("poses.estimator.weights_sha256", "canonical_sha256", "beta", "stored_sizes.whole", "border"):
        assert f'<th scope="row">{name}</th>' in page
    for layer in ("measured", "filled", "skeleton", "box-whole-body", "box-head", "box-lower-leg"):
        assert f'<input type="checkbox" name="{layer}" checked>' in page
        assert f'class="layer-{layer}"' in page


def test_a_person_by_camera(reader, drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    pid = int(shards.pids[shards.pids > 0][0])
    page = reader.get(f"/identity/{pid}").text
    mine = np.flatnonzero(shards.pids == pid)
    assert sorted(indices(page)) == mine.tolist() and count(page) == len(mine)
    cameras = [int(shards.camids[index]) for index in indices(page)]
    assert cameras == sorted(cameras)
    assert re.findall(r'id="camera-(\d+)"', page) == [str(camera) for camera in sorted(set(cameras))]


def test_the_pages_of_a_person_show_the_same(reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PER_PERSON", 2)
    for show in ("all", "parts", "whole"):
        (following,) = set(re.findall(r'rel="next" href="([^"]*)">Next<', reader.get(f"/identity/2?show={show}").text))
        assert f"show-{show}" in reader.get(unescape(following)).text


def test_junk_is_a_person_too(reader, drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    assert count(reader.get("/identity/-1").text) == int((shards.pids == -1).sum()) > 0


@pytest.mark.parametrize(
    "path", ["/identity/99999", "/identity/x", "/identity/1e3", "/sample/99999", "/sample/-1", "/sample/x", "/nothing"]
)
def test_what_is_not_there(reader, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 404 and "Show all samples" in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "split=test", "pid=x", "pid=1;2", "camera=1.5", "flag=ugly", "joint=tail", "min_score=a", "max_filled=nan",
        "min_height=inf", "sort=beauty", "order=up", "page=0", "page=-1", "page=1e9", "per_page=501", "per_page=0",
        "show=legs", "path=%00", "path=" + "x" * 501, "pid=" + "9" * 30, "pid=" + ",".join("1" * 101),
        "page=99999999999999999999999",
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["/", "/sample/0", "/overview"])
def test_an_address_that_makes_no_sense(reader, page: str, query: str) -> None:
    answer = reader.get(f"{page}?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.text


@pytest.mark.parametrize("query", ["nothing=1", "split=&pid=&min_score=", "pid=", "path=%20", "flag=", "x%5B%5D=1"])
def test_empty_and_unknown_parameters_do_nothing(reader, drawn_shards: Path, query: str) -> None:
    assert count(reader.get(f"/?{query}").text) == len(ShardSet.open(drawn_shards))


@pytest.mark.parametrize("query", ["", "flag=few_joints", "min_height={low}&max_height={high}"])
def test_bars_lead_to_as_many_samples_as_they_say(reader, drawn_shards: Path, query: str) -> None:
    top, bottom = ShardSet.open(drawn_shards).column("boxes")[:, 0, [1, 3]].T
    low, high = np.quantile(bottom - top, (0.3, 0.7))
    page = reader.get(f"/overview?{query.format(low=low, high=high)}").text
    bars = re.findall(r'<a href="(/[^"]*)" aria-label="[^"]*: ([\d,]+) samples"', page)
    bars += re.findall(r'<li><a href="(/[^"]*)">.*?<span class="value">([\d,]+) \(', page)
    assert len(bars) > 10
    for address, number in bars:
        found = reader.get(address.replace("&amp;", "&")).text
        assert count(found) == int(number.replace(",", "")), address


def test_the_overview_of_a_filter(reader) -> None:
    assert count(reader.get("/overview?camera=1").text) == count(reader.get("/?camera=1").text)
    assert "camera=1" in reader.get("/overview?camera=1").text


def test_an_empty_answer_and_its_overview(reader) -> None:
    assert count(reader.get("/?min_score=1e9").text) == 0
    assert reader.get("/overview?min_score=1e9").status_code == 200


def test_hostile_names_are_escaped(browse, by_hand) -> None:
    paths = [
        "<script>alert(1)</script>.jpg",
        '"><img src=x onerror=alert(1)>.jpg',
        "a' onmouseover='alert(1).jpg",
        "\u202egpj.exe\u2028\x1b[31m.jpg",
        "{{ 7 * 7 }}{% raw %}.jpg",
        "x" * 400 + ".jpg",
    ]
    client = browse(by_hand({"train": paths}))
    for page in ("/", "/excluded", *(f"/sample/{index}" for index in range(len(paths)))):
        answer = client.get(page)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text
        assert not Links(answer.text).inline
    assert "{{ 7 * 7 }}" in client.get("/sample/4").text
    assert "&lt;script&gt;" in client.get("/sample/0").text
    assert client.get("/", params={"path": '"><script>'}).text.count("<script>") == 0
