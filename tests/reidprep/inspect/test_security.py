"""Who is answered, and who may change what."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reidprep.errors import ReidError
from reidprep.inspect.exclusions import Exclusions
from reidprep.inspect.security import Hosts
from reidprep.shards.exclusions import read_exclusions, write_exclusions
from reidprep.shards.reader import ShardSet

from .conftest import BASE, TOKEN

GOOD = {"Origin": BASE, "X-Token": TOKEN}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exclude.csv"


@pytest.fixture
def client(browse, drawn_shards: Path, file: Path) -> TestClient:
    return browse(drawn_shards, exclude=file)


@pytest.mark.parametrize(
    "path",
    ["/", "/sample/0", "/overview", "/image/0/whole", "/image/0/source", "/static/app.js", "/nothing", "/?page=x"],
)
def test_every_answer_keeps_to_itself(reader: TestClient, path: str) -> None:
    headers = reader.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy and "data:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers and "server" not in headers and "set-cookie" not in headers


def test_pages_are_not_kept_and_pictures_are(reader: TestClient) -> None:
    import re

    page = reader.get("/")
    assert page.headers["cache-control"] == "no-store"
    found = re.search(r"/image/0/whole\?v=\w+", page.text)
    assert found
    kept = reader.get(found[0])
    assert "immutable" in kept.headers["cache-control"] and "private" in kept.headers["cache-control"]
    again = reader.get(found[0], headers={"If-None-Match": kept.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert "immutable" not in reader.get("/image/0/whole?v=other").headers["cache-control"]
    assert "immutable" not in reader.get("/image/0/source").headers["cache-control"]


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "localhost:9999"])
def test_our_own_names(reader: TestClient, host: str) -> None:
    assert reader.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "127.0.0.1:x",
        "evil@127.0.0.1", "127.0.0.1, evil.example", "127.0.0.1/evil", "0.0.0.0", "192.168.1.7", "[::1", "local host",
        "127.0.0.1:8765:1", "127.0.0.1#", "127.0.0.1?",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/image/0/whole", "/static/app.js"])
def test_foreign_names(reader: TestClient, host: str, path: str) -> None:
    answer = reader.get(path, headers={"Host": host})
    assert answer.status_code == 421 and "token" not in answer.text
    assert "content-security-policy" in answer.headers


def test_two_host_headers(reader: TestClient) -> None:
    answer = reader.get("/", headers=[("Host", "127.0.0.1:8765"), ("Host", "evil.example")])
    assert answer.status_code == 421


@pytest.mark.parametrize(
    ("host", "also", "authority", "answers"),
    [
        ("192.168.1.7", (), "192.168.1.7:8765", True),
        ("192.168.1.7", (), "localhost:8765", False),
        ("192.168.1.7", (), "192.168.1.8:8765", False),
        ("192.168.1.7", ("gpu.lab",), "GPU.lab:80", True),
        ("0.0.0.0", (), "10.1.2.3:8765", True),
        ("0.0.0.0", (), "[fe80::1]:8765", True),
        ("0.0.0.0", (), "evil.example:8765", False),
        ("0.0.0.0", ("gpu.lab",), "gpu.lab:8765", True),
        ("::1", (), "[::1]:8765", True),
        ("::1", (), "localhost:8765", True),
        ("127.0.0.1", ("gpu.lab",), "gpu.lab", True),
        ("127.0.0.1", (), "127.0.0.2", False),
    ],
)
def test_names_of_other_addresses(host: str, also: tuple, authority: str, answers: bool) -> None:
    assert Hosts(host, also).answers(authority) is answers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/..%5capp.py",
        "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/image/0/..%2f..%2fmanifest.json", "/image/0/%2e%2e",
        "/sample/0/../../manifest.json", "/identity/..%2f..", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/manifest.json", "/exclude.csv", "/static/style.css%00", "/static/..;/app.py", "/train-00000.h5",
        "/run/0/..%2f..%2fetc%2fpasswd", "/static/templates/base.html",
    ],
)  # fmt: skip
def test_nothing_but_the_pages(reader: TestClient, path: str) -> None:
    answer = reader.get(BASE + path)
    assert answer.status_code in (404, 405), answer.text
    assert "root:" not in answer.text and "reidprep.shards" not in answer.text and "import " not in answer.text


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "..\\x.jpg", "a/../../secret.jpg"])
def test_source_images_stay_below_their_folder(browse, by_hand, tmp_path: Path, path: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "list.csv").write_text("path,pid,camid,split\nx.jpg,1,1,train\n")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    client = browse(by_hand({"train": [path]}), source=images / "list.csv")
    answer = client.get("/image/0/source")
    assert answer.status_code == 404 and b"root:" not in answer.content and b"secret</" not in answer.content
    assert client.get("/sample/0").status_code == 200


def test_a_file_that_is_no_image_is_not_sent(browse, by_hand, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "list.csv").write_text("path,pid,camid,split\nnotes.jpg,1,1,train\n")
    (images / "notes.jpg").write_bytes(b"not for the web")
    answer = browse(by_hand({"train": ["notes.jpg"]}), source=images / "list.csv").get("/image/0/source")
    assert answer.status_code == 404 and b"not for the web" not in answer.content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/sample/0", "/image/0/whole", "/excluded"])
def test_nothing_else_takes_anything(reader: TestClient, method: str, path: str) -> None:
    assert reader.request(method, path, headers=GOOD).status_code == 405


def test_head_is_answered_and_exclude_is_not_got(reader: TestClient) -> None:
    head = reader.head("/")
    assert head.status_code == 200 and not head.content
    assert reader.get("/exclude").status_code == 405


def test_mark_and_take_back(client: TestClient, file: Path, drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    for index, expected in ((3, 1), (5, 2), (3, 2)):
        answer = client.post(
            "/exclude", json={"index": index, "excluded": True, "reason": " two people "}, headers=GOOD
        )
        assert answer.status_code == 200 and answer.json()["excluded"] == expected
    assert read_exclusions(file) == {shards[i].path: "two people" for i in sorted((3, 5), key=lambda i: shards[i].path)}
    page = client.get("/excluded").text
    assert 'data-count="2"' in page and "two people" in page
    assert 'data-count="2"' in client.get("/?flag=excluded").text
    assert '<article class="sample excluded" id="sample-3"' in client.get("/").text
    assert 'value="two people"' in client.get("/sample/3").text
    # The reason is sent back, so that an undo can give it again.
    answer = client.post("/exclude", json={"index": 3, "excluded": False}, headers=GOOD)
    assert answer.json() == {"excluded": 1, "reason": "two people"}
    assert list(read_exclusions(file)) == [shards[5].path]


def test_a_filter_is_marked_at_once_and_undone(client: TestClient, file: Path, drawn_shards: Path) -> None:
    paths = ShardSet.open(drawn_shards).column("paths").tolist()
    queries = ShardSet.open(drawn_shards, split="query").column("paths").tolist()
    write_exclusions(file, {queries[0]: "mine", "elsewhere.jpg": ""})
    asked = {"filter": "split=query&sort=filled", "excluded": True, "reason": "blurred"}
    answer = client.post("/exclude", json=asked, headers=GOOD).json()
    assert (answer["excluded"], answer["samples"]) == (len(queries) + 1, len(queries) - 1)
    assert read_exclusions(file) == {"elsewhere.jpg": "", queries[0]: "mine", **dict.fromkeys(queries[1:], "blurred")}
    assert "Take all" in client.get("/?split=query").text

    # What was marked otherwise since stays as it is.
    client.post("/exclude", json={"index": paths.index(queries[1]), "excluded": False}, headers=GOOD)
    answer = client.post("/exclude", json={"undo": answer["undo"]}, headers=GOOD).json()
    assert answer == {"excluded": 2, "samples": len(queries) - 2}
    assert read_exclusions(file) == {"elsewhere.jpg": "", queries[0]: "mine"}

    answer = client.post("/exclude", json={"filter": "flag=excluded", "excluded": False}, headers=GOOD).json()
    assert (answer["excluded"], answer["samples"]) == (1, 1) and list(read_exclusions(file)) == ["elsewhere.jpg"]
    client.post("/exclude", json={"undo": answer["undo"]}, headers=GOOD)
    assert read_exclusions(file)[queries[0]] == "mine"
    again = client.post("/exclude", json={"undo": answer["undo"]}, headers=GOOD)
    assert again.status_code == 410 and "earlier start" in again.json()["error"]


def test_a_list_that_somebody_else_changes(client: TestClient, file: Path, drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    file.write_text(f"path,reason\n{shards[2].path},mine\nelsewhere.jpg,<b>gone</b>\n", encoding="utf-8")
    page = client.get("/excluded").text
    assert 'data-index="2"' in page and "elsewhere.jpg" in page and "&lt;b&gt;gone" in page
    client.post("/exclude", json={"index": 4, "excluded": True}, headers=GOOD)
    assert set(read_exclusions(file)) == {shards[2].path, shards[4].path, "elsewhere.jpg"}
    file.write_text("nonsense", encoding="utf-8")
    answer = client.post("/exclude", json={"index": 4, "excluded": True}, headers=GOOD)
    assert answer.status_code == 409 and "exclude.csv" in answer.json()["error"]
    assert client.get("/").status_code == 409
    assert file.read_text(encoding="utf-8") == "nonsense"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": BASE}, 403),
        ({"X-Token": TOKEN}, 403),
        ({"Origin": BASE, "X-Token": "wrong"}, 403),
        ({"Origin": BASE, "X-Token": ""}, 403),
        ({"Origin": BASE, "X-Token": (TOKEN + "\u00e9").encode()}, 403),
        ({"Origin": "http://evil.example", "X-Token": TOKEN}, 403),
        ({"Origin": "https://127.0.0.1:8765", "X-Token": TOKEN}, 403),
        ({"Origin": "http://127.0.0.1", "X-Token": TOKEN}, 403),
        ({"Origin": "http://127.0.0.1:9999", "X-Token": TOKEN}, 403),
        ({"Origin": "http://localhost:8765", "X-Token": TOKEN}, 403),
        ({"Origin": "null", "X-Token": TOKEN}, 403),
        ({**GOOD, "Host": "evil.example"}, 421),
        ({**GOOD, "Content-Type": "text/plain"}, 415),
        ({**GOOD, "Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({**GOOD, "Content-Type": ""}, 415),
    ],
)
def test_strangers_change_nothing(reader: TestClient, unmarked: Path, headers: dict, status: int) -> None:
    body = json.dumps({"index": 0, "excluded": True})
    answer = reader.post("/exclude", content=body, headers={"Content-Type": "application/json", **headers})
    assert answer.status_code == status and not unmarked.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'"x"', 400),
        (b"\xff\xfe", 400),
        (b"[" * 5000, 400),
        (b'{"index": 0}', 400),
        (b'{"index": "0", "excluded": true}', 400),
        (b'{"index": true, "excluded": true}', 400),
        (b'{"index": 0.0, "excluded": true}', 400),
        (b'{"index": 0, "excluded": 1}', 400),
        (b'{"index": 0, "excluded": true, "reason": 7}', 400),
        (b'{"index": 0, "excluded": true, "reason": "a\\nb"}', 400),
        (b'{"index": 0, "excluded": true, "reason": "\\ud800"}', 400),
        (b'{"index": 0, "excluded": true, "reason": "' + b"x" * 600 + b'"}', 400),
        (b'{"index": 0, "filter": "split=train", "excluded": true}', 400),
        (b'{"filter": "split=nobody", "excluded": true}', 400),
        (b'{"filter": "", "excluded": null}', 400),
        (b'{"undo": 1, "excluded": true}', 400),
        (b'{"undo": 1}', 410),
        (b'{"index": -1, "excluded": true}', 404),
        (b'{"index": 100000, "excluded": true}', 404),
        (b'{"index": 1' + b"0" * 5000 + b', "excluded": true}', 400),
        (b" " * 20000, 413),
    ],
)
def test_marks_that_make_no_sense(reader: TestClient, unmarked: Path, body: bytes, status: int) -> None:
    answer = reader.post("/exclude", content=body, headers={**GOOD, "Content-Type": "application/json"})
    assert answer.status_code == status and answer.json()["error"] and not unmarked.exists()


def test_a_list_that_cannot_be_written(browse, drawn_shards: Path, tmp_path: Path) -> None:
    client = browse(drawn_shards, exclude=tmp_path / "no such folder" / "exclude.csv")
    answer = client.post("/exclude", json={"index": 0, "excluded": True}, headers=GOOD)
    assert answer.status_code == 409 and "cannot be written" in answer.json()["error"]
    assert 'data-count="0"' in client.get("/?flag=excluded").text


def test_a_list_below_a_file(drawn_shards: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReidError, match="exclude.csv: cannot be read"):
        Exclusions(tmp_path / "file" / "exclude.csv", ["a.jpg"])


def test_damaged_samples_have_no_path_to_list(browse, by_hand) -> None:
    path = by_hand({"train": ["a.jpg"], "query": ["b.jpg"]})
    (path / "train-00000.h5").unlink()
    client = browse(path)
    answer = client.post("/exclude", json={"index": 0, "excluded": True}, headers=GOOD)
    assert answer.status_code == 409 and not (path / "exclude.csv").exists()


def test_marks_from_many_threads_are_all_kept(client: TestClient, file: Path, drawn_shards: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    total = len(ShardSet.open(drawn_shards))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda index: client.post("/exclude", json={"index": index, "excluded": True}, headers=GOOD),
                range(total),
            )
        )
    assert [answer.status_code for answer in answers] == [200] * total
    assert len(read_exclusions(file)) == total
