"""The running command against requests that no browser sends, byte by byte."""

import json
import re
import shutil
import socket
import time
import zlib
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

SECRET = "what lies beside the shards"


def exchange(server: Any, request: bytes, wait: float = 20) -> bytes:
    """Everything the server answers to these bytes until it closes the connection."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=wait)) as connection:
        connection.sendall(request)
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
    return answer


def get(server: Any, target: str | bytes, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and the whole answer to a request whose target is sent as it is."""
    target = target.encode() if isinstance(target, str) else target
    given = {"Host": f"127.0.0.1:{server.port}", **headers, "Connection": "close"}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    answer = exchange(server, method.encode() + b" " + target + b" HTTP/1.1\r\n" + lines.encode() + b"\r\n")
    return int(answer.split()[1]), answer


def post(server: Any, body: bytes, **headers: str) -> int:
    """Status of POST /exclude."""
    host = f"127.0.0.1:{server.port}"
    given = {"Host": host, "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items() if value)
    return int(
        exchange(server, f"POST /exclude HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode() + body).split()[1]
    )


def token(server: Any) -> str:
    found = re.search(rb'<meta name="token" content="([^"]+)"', get(server, "/")[1])
    assert found
    return found[1].decode()


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example",
        "rebound.example:{port}",
        "127.0.0.1.rebound.example:{port}",
        "localhost.rebound.example",
        "127.0.0.1@rebound.example",
        "rebound.example@127.0.0.1",
        "127.0.0.1:{port}, rebound.example",
        "127.0.0.1:{port}#rebound.example",
        "[::1",
        "127.0.0.1:port",
        "0x7f000001",
        "",
    ],
)
def test_a_foreign_host_header_gets_nothing(server: Any, host: str) -> None:
    for target in ("/", "/image/0/whole", "/static/", "/sample/0", f"http://{host.format(port=server.port)}/"):
        status, answer = get(server, target, Host=host.format(port=server.port))
        assert status in (400, 421)
        assert b"article" not in answer and b"\xff\xd8" not in answer and b"token" not in answer


def test_our_own_names_are_answered(server: Any) -> None:
    for host in (f"127.0.0.1:{server.port}", f"localhost:{server.port}", f"[::1]:{server.port}", "LOCALHOST"):
        assert get(server, "/", Host=host)[0] == 200
    status = int(exchange(server, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").split()[1])
    assert status in (400, 421)  # no Host header
    twice = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"
    assert int(exchange(server, twice.encode()).split()[1]) in (400, 421)


UP = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%252f", "..\\", "..%5c", "....//", "%c0%ae%c0%ae/", "..;/", "..%00/")


@pytest.mark.parametrize("up", UP)
@pytest.mark.parametrize("below", ["/", "/static/", "/image/0/", "/image/", "/sample/", "/run/", "/static/x/"])
def test_no_path_leads_out(server: Any, below: str, up: str) -> None:
    (server.path.parent / "secret.txt").write_text(SECRET)
    (server.path / "secret.txt").write_text(SECRET)
    for depth in (1, 2, 8):
        for file in ("secret.txt", "shards/secret.txt", "shards/manifest.json", "etc/passwd"):
            status, answer = get(server, below + up * depth + file)
            assert status in (400, 404, 405, 422), answer[:300]
            assert SECRET.encode() not in answer and b"root:" not in answer and b"reidprep.shards" not in answer


@pytest.mark.parametrize(
    "target",
    [
        "//etc/passwd",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/C:/Windows/win.ini",
        "file:///etc/passwd",
        "http://127.0.0.1/../../etc/passwd",
        "/manifest.json",
        "/exclude.csv",
        "/train-00000.h5",
        "/static/../app.py",
        "/image/0/source/../../../manifest.json",
        "/image/0/bounding_box_train",
        "/image/0/source?path=/etc/passwd",
        "/image/0/.",
    ],
)
def test_only_what_is_served_is_served(server: Any, target: str) -> None:
    status, answer = get(server, target)
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert b"root:" not in body and b"reidprep.shards" not in body and b"import " not in body
    assert status in (400, 404, 405, 422) or b"image/" in answer  # a parameter that is not known is passed over


@pytest.mark.parametrize(
    "index",
    ["-1", "9" * 9, "9" * 30, "9" * 5000, "0x0", "1e3", "%D9%A1", "0.0", "", "%00", "+1", "%201", "nan", "0;1", "1_0"],
)
def test_samples_that_are_not_there(server: Any, index: str) -> None:
    for target in (f"/sample/{index}", f"/image/{index}/whole", f"/image/{index}/source"):
        status, answer = get(server, target)
        assert status in (400, 404, 422), (target, answer[:200])


@pytest.mark.parametrize("pid", ["9" * 30, "x", "%00", "<script>", "%0d%0aSet-Cookie:a=b"])
def test_persons_that_are_not_there(server: Any, pid: str) -> None:
    status, answer = get(server, f"/identity/{pid}")
    assert status in (400, 404, 422)
    assert b"<script>alert" not in answer and b"Set-Cookie" not in answer.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=" + "9" * 5000,
        "per_page=1000000",
        "per_page=-5",
        "min_score=nan",
        "min_score=inf&max_score=-inf",
        "min_height=1e999",
        "split=%3Cscript%3Ealert(1)%3C/script%3E",
        "sort=__class__",
        "flag=" + "A" * 20000,
        "pid=" + ",".join("1" * 5000),
        "path=%00",
        "path=%ff%fe",
        "path=" + "(a%2B)%2B" * 50,
        "show=../../etc",
        "order=up",
        "&".join(f"k{number}=v" for number in range(10_000)),
        "&".join("flag=poor_fit" for _ in range(2000)),
        "&".join("pid=1" for _ in range(2000)),
        "%",
        "&&&===",
    ],
    ids=lambda query: query[:24],
)
def test_odd_parameters_get_a_quick_plain_answer(server: Any, query: str) -> None:
    started = time.monotonic()
    status, answer = get(server, f"/?{query}")
    assert status in (200, 400, 404, 414, 422, 431), answer[:200]
    assert time.monotonic() - started < 5
    assert b"<script>alert" not in answer and b"Traceback" not in answer
    assert get(server, "/")[0] == 200


def test_enormous_requests_are_refused_and_harm_nobody(server: Any) -> None:
    for request in (
        b"GET /?" + b"a" * 3_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 3_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
        b"\x16\x03\x01" + bytes(range(256)) * 100,
    ):
        try:
            answer = exchange(server, request)
        except ConnectionError:  # hung up on
            continue
        assert not answer or int(answer.split()[1]) in (400, 414, 431)
    assert get(server, "/")[0] == 200


def test_changes_need_our_origin_and_the_token(server: Any) -> None:
    body, ours = json.dumps({"index": 0, "excluded": True}).encode(), f"http://127.0.0.1:{server.port}"
    right = token(server)
    refused: list[dict[str, str]] = [
        {},
        {"X_Token": right},
        {"Origin": ours},
        {"X_Token": right, "Origin": "http://rebound.example"},
        {"X_Token": right, "Origin": "null"},
        {"X_Token": right, "Origin": f"http://127.0.0.1:{server.port + 1}"},
        {"X_Token": right, "Origin": f"https://127.0.0.1:{server.port}"},
        {"X_Token": right[:-1], "Origin": ours},
        {"X_Token": "", "Origin": ours},
        {"X_Token": "\u00e9", "Origin": ours},
        {"X_Token": right, "Origin": "http://rebound.example", "Host": "rebound.example"},
    ]
    for headers in refused:
        assert post(server, body, **headers) in (400, 403, 421), headers
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert get(server, "/exclude", method, Origin=ours, X_Token=right)[0] in (404, 405)
    assert not (server.path / "exclude.csv").exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'{"index": 0}',
        b'{"index": -1, "excluded": true}',
        b'{"index": 1000000, "excluded": true}',
        b'{"index": "0", "excluded": true}',
        b'{"index": true, "excluded": true}',
        b'{"index": 0.5, "excluded": true}',
        b'{"index": 1e400, "excluded": true}',
        b'{"index": ' + b"9" * 5000 + b', "excluded": true}',
        b'{"index": 0, "excluded": "yes"}',
        b'{"index": [0], "excluded": true}',
        b"[" * 50_000,
        b'{"index": 0, "excluded": true, "reason": "' + b"x" * 5_000_000 + b'"}',
        b"\xff\xfe",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bad_marks_change_nothing(server: Any, body: bytes) -> None:
    ours = f"http://127.0.0.1:{server.port}"
    try:
        assert 400 <= post(server, body, Origin=ours, X_Token=token(server)) < 500
    except ConnectionError:  # it did not wait for the rest of what is too long
        assert len(body) > 1_000_000
    assert not (server.path / "exclude.csv").exists()


def test_every_answer_says_what_a_browser_must_not_do(server: Any) -> None:
    for target in ("/", "/sample/0", "/image/0/whole", "/nowhere", "/?page=x"):
        head = get(server, target)[1].split(b"\r\n\r\n")[0].decode().lower()
        policy = next(line for line in head.splitlines() if line.startswith("content-security-policy:"))
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy and "data:" not in policy
        assert "x-content-type-options: nosniff" in head and "cross-origin-resource-policy: same-origin" in head
        assert "access-control-allow-origin" not in head


def test_slow_and_silent_clients_keep_nobody_waiting(server: Any) -> None:
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=20)))
            connection.sendall(b"GET /image/0/whole HTTP/1.1\r\nHost:"[: number % 40])
        # Some ask for much and read nothing.
        for _ in range(20):
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=20)))
            connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode() * 50)
        started = time.monotonic()
        assert get(server, "/")[0] == 200
        assert time.monotonic() - started < 5


def test_a_hostile_list_of_images_reads_no_other_file(serve: Any, shards: Path, drawn: Path, tmp_path: Path) -> None:
    """Whoever makes shards writes the paths in them."""
    source = Path(shutil.copytree(drawn, tmp_path / "source"))
    picture = next((source / "query").iterdir())
    outside = tmp_path / "outside.png"
    Image.new("RGB", (64, 128), (255, 0, 255)).save(outside)
    paths = [
        "../outside.png",
        str(outside),
        "query/../../outside.png",
        "..\\outside.png",
        "query",
        "",
        "a\0b",
        "x" * 300,
    ]
    file = sorted(shards.glob("train-*.h5"))[0]
    with h5py.File(file, "r+") as content:
        rows = len(content["paths"])
        assert rows >= len(paths)
        names = [*paths, *(f"query/{picture.name}" for _ in range(rows - len(paths)))]
        del content["paths"]
        content["paths"] = np.array([name.encode() for name in names])
    running = serve(shards, "--source", source)
    for row in range(len(paths)):
        status, answer = get(running, f"/image/{row}/source")
        assert status == 404 and b"\xff\xd8" not in answer
        assert get(running, f"/sample/{row}")[0] == 200
    status, answer = get(running, f"/image/{len(paths)}/source")
    assert status == 200 and b"\xff\xd8" in answer


def test_a_hostile_shard_reads_no_other_file(serve: Any, shards: Path, drawn: Path) -> None:
    """HDF5 can keep the bytes of a dataset in any file."""
    (shards.parent / "secret.txt").write_text(SECRET)
    file = sorted(shards.glob("train-*.h5"))[0]
    with h5py.File(file, "r+") as content:
        del content["images"]
        place = (str(shards.parent / "secret.txt"), 0, len(SECRET))
        content.create_dataset("images", shape=len(SECRET), dtype="u1", external=[place])
        content["offsets"][1:] = len(SECRET)
        content["crc32"][0] = zlib.crc32(SECRET.encode())
    running = serve(shards, "--source", drawn)
    for name in ("whole", "head", "lower_leg", "plain"):
        status, answer = get(running, f"/image/0/{name}")
        assert status == 404 and SECRET.encode() not in answer


def test_numbers_that_make_no_sense_break_nothing(serve: Any, shards: Path, drawn: Path) -> None:
    with h5py.File(sorted(shards.glob("train-*.h5"))[0], "r+") as content:
        for row, value in enumerate((np.nan, np.inf, -np.inf, 3e38, 0, -1e-30)):
            for name in ("boxes", "joints", "joints_filled", "residuals"):
                content[name][row] = value
        content["flags"][:2] = [-1, 1 << 30]
        content["pids"][:3] = [np.iinfo(np.int64).min, np.iinfo(np.int64).max, -7]
        content["camids"][:3] = [-5, np.iinfo(np.int64).min, np.iinfo(np.int64).max]
    running = serve(shards, "--source", drawn)
    sorts = ("pid", "camera", "path", "filled", "score", "residual", "height", "outside", "doubt", "score-nose")
    targets = ["/", "/overview", "/excluded", "/?min_outside=0.1", "/?flag=any"]
    targets += [f"/?sort={sort}&order={order}" for sort in sorts for order in ("asc", "desc")]
    targets += [f"/sample/{row}" for row in range(6)]
    for target in targets:
        assert get(running, target)[0] == 200, target
    # A file with boxes that are none is refused as a whole, so nobody knows who is in it.
    assert get(running, f"/identity/{np.iinfo(np.int64).max}")[0] == 404
