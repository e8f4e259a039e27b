"""Every page answers, says what the rankings say, and breaks on nothing that an address can hold."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape

import numpy as np
import pytest

from reidprep.shards.reader import ShardSet
from reidtrain.explore.explorer import Run, between
from reidtrain.explore.identities import Confusion
from reidtrain.explore.rankings import RIGHT, WRONG

from ...reidprep.inspect.test_pages import Links

LABELS = tuple(f"/labels?kind={kind}&of={of}" for kind in ("strays", "twins", "halves") for of in ("test", "train"))
PAGES = (
    "/queries",
    "/queries?min_first=1&to=2&sort=first&order=desc",
    "/sample/{query}",
    "/query/{query}",
    "/confused",
    "/runs",
    *LABELS,
)


ANSWERED: set[str] = set()
"""Addresses that did, so that none is asked for by every page that leads to it."""


def shown(page: str) -> list[int]:
    return [int(row) for row in re.findall(r'<article class="sample[^"]*" id="sample-\d+" data-index="(\d+)"', page)]


@pytest.mark.parametrize("path", PAGES)
def test_pages_answer_and_lead_only_to_pages_that_do(client, a_run: Run, path: str) -> None:
    answer = client.get(path.format(query=a_run.rankings.rows[0]))
    assert answer.status_code == 200
    links = Links(answer.text)
    assert not links.inline
    for address in set(links.addresses) - ANSWERED:
        assert address.startswith(("/", "#"))
        assert address.startswith("#") or client.get(address).status_code == 200, address
        ANSWERED.add(address)


def test_queries_come_worst_first_and_by_what_is_asked(client, a_run: Run) -> None:
    rankings = a_run.rankings
    order = rankings.rows[np.argsort(rankings.average_precision, kind="stable")].tolist()
    assert shown(client.get("/queries").text) == order
    assert shown(client.get("/queries?sort=index&order=desc").text) == rankings.rows[::-1].tolist()
    some = float(100 * rankings.average_precision[1])
    expected = rankings.rows[100 * rankings.average_precision <= some].tolist()
    assert sorted(shown(client.get(f"/queries?max_ap={some!r}").text)) == expected


def test_a_list_has_ranks_verdicts_and_distances(client, a_run: Run) -> None:
    rankings = a_run.rankings
    page = client.get(f"/query/{rankings.rows[1]}").text
    mine, others = page.split('id="list-2"')
    assert shown(mine)[1:] == rankings.lists[1][:20].tolist()
    assert "the other run" in others
    words = re.findall(r'</svg>(\d* \w+)</b> <span class="value" title="distance">([\d.]+)', mine)
    names = ["right", "wrong", "junk"]
    assert [word.split()[-1] for word, _ in words] == [names[v] for v in rankings.verdicts[1][:20]]
    assert [distance for _, distance in words] == [f"{d:.3f}" for d in rankings.distances[1][:20]]
    assert mine.count('<ul class="nearness">') == len(words)


def test_people_are_confused_with_those_that_come_before_the_first_right_image(
    client, a_run: Run, drawn_shards
) -> None:
    rankings, pids = a_run.rankings, ShardSet.open(drawn_shards).pids
    expected = Counter()
    for query, row in enumerate(rankings.rows):
        before = []
        for image, verdict in zip(rankings.lists[query], rankings.verdicts[query], strict=True):
            if verdict == RIGHT:
                break
            before += [int(pids[image])] if verdict == WRONG else []
        expected.update((int(pids[row]), other) for other in set(before))
    page = client.get("/confused").text
    found = re.findall(r'Person (\d+)</a> taken for <a href="/identity/\d+">(\d+)</a> by <a[^>]*>(\d+) of', page)
    assert {(int(a), int(b)): int(n) for a, b, n in found} == expected and expected
    nobody = client.get("/confused?pid=999999").text
    assert "Nobody is confused" in nobody


def test_people_confused_between_two_cameras_are_shown_there() -> None:
    confusion = Confusion(7, 8, [0, 1, 2], [10, 11, 12], [(1, 2), (3, 2), (1, 3)])
    some = confusion.between((1,), (2, 3))
    assert (some.queries, some.images, some.cameras) == ([0, 2], [10, 12], [(1, 2), (1, 3)])
    assert not confusion.between((2,), ()).queries and confusion.between((), ()) is confusion


@pytest.mark.parametrize("path", ["/queries", "/queries?min_first=2", "/queries?min_first=2&to=2", "/runs?min_gain=1"])
def test_numbers_lead_to_as_many_queries(client, path: str) -> None:
    page = client.get(path).text
    found = re.findall(r'<a href="([^"]*)" title="(\d+) queries"', page)
    found += re.findall(r'<a href="([^"]*)" aria-label="[^"]*: (\d+) queries"', page)
    found += re.findall(r'<a href="(/runs[^"]*)"[^>]*>[^<(]*\((\d+)\)', page)
    assert found
    for address, number in found:
        assert f'data-count="{number}"' in client.get(unescape(address)).text, address


def test_bars_lead_to_nothing_beyond_the_filter(client, two_runs: list[Run]) -> None:
    first, second = (100 * run.rankings.average_precision for run in two_runs)
    for page, name, values in (("/queries", "ap", first), ("/runs", "gain", second - first)):
        least, most = np.sort(values)[[0, -1]] + [-0.01, 0.01]
        text = client.get(f"{page}?min_{name}={least}&max_{name}={most}").text
        bars = [unescape(href) for href in re.findall(r'<a href="([^"]*)" aria-label="[^"]*: \d+ queries"', text)]
        lows = [float(low) for bar in bars for low in re.findall(rf"min_{name}=([^&]+)", bar)]
        highs = [float(high) for bar in bars for high in re.findall(rf"max_{name}=([^&]+)", bar)]
        assert len(lows) == len(highs) == len(bars) > 0
        assert min(lows) >= least - 1e-4 and max(highs) <= most + 1e-4


def test_bounds_are_those_of_the_bars() -> None:
    values = np.array([29, 55, 100]) * 0.01 * 100  # 28.999999999999996, 55.00000000000001, 100
    assert between(values.astype(np.float32), 29, 55).tolist() == [True, True, False]


def test_two_runs_are_compared_by_query(client, two_runs: list[Run]) -> None:
    rows = two_runs[0].rankings.rows
    gains = two_runs[1].rankings.average_precision - two_runs[0].rankings.average_precision
    order = np.argsort(-np.abs(gains), kind="stable")
    assert shown(client.get("/runs").text) == rows[order].tolist()
    assert shown(client.get("/runs?wins=second").text) == rows[order[gains[order] > 0]].tolist()
    assert shown(client.get("/runs?wins=first").text) == rows[order[gains[order] < 0]].tolist()
    assert shown(client.get("/runs?min_gain=0&max_gain=0").text) == rows[gains == 0].tolist()


def test_attention_is_computed_once_and_kept(client, a_run: Run, monkeypatch) -> None:
    address = f"/attention/0/{a_run.rankings.rows[0]}/"
    first = client.get(address + "0")
    assert first.headers["content-type"] == "image/jpeg" and first.content.startswith(b"\xff\xd8")
    monkeypatch.setattr(a_run.attention, "_compute", lambda _: pytest.fail("computed again"))
    a_run.attention._recent.clear()
    assert client.get(address + "0").content == first.content
    assert client.get(address + "1").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/queries?min_ap=many", 400),
        ("/queries?sort=colour", 400),
        ("/queries?to=1,2", 400),
        ("/runs?wins=third", 400),
        ("/runs?min_gain=x", 400),
        ("/confused?camera=x", 400),
        ("/confused?page=99", 200),
        ("/labels?kind=colour", 400),
        ("/labels?of=query", 400),
        ("/labels?page=0", 400),
        ("/labels?page=999", 200),
        ("/queries?page=999", 200),
        ("/queries?to=99", 200),
        ("/query/0", 404),
        ("/query/99999999", 404),
        ("/query/x", 404),
        ("/attention/7/0/0", 404),
        ("/attention/0/0/9", 404),
        ("/attention/0/999999/0", 404),
    ],
)
def test_what_there_is_not_is_said_in_plain_words(client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_a_foreign_name_gets_nothing(client) -> None:
    assert client.get("/queries", headers={"host": "evil.example"}).status_code == 421
