"""`reidprep inspect` as a browser meets it: start-up, first page, thumbnails, filters, memory.

    python benchmarks/inspect_server.py SHARDS [--times 1 3 10] [--rounds 5] [--per-page 100]

For each of `--times` the command serves a directory in which every shard is there so many times (hard links; the
manifest lists them under names of their own; no image is encoded anew) in a process of its own:

- start-up, from the start of the process until it has printed its address and answers;
- the first page after it, and the median of later ones, without images, with the defaults of the page;
- a page of `--per-page` samples with all its images, over six connections as a browser holds them;
- filters and orders, one page of each;
- the peak of the process's resident memory at the end.

The client, which runs on the same cores, decodes nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from statistics import median
from urllib.parse import urlencode, urlsplit

from reidprep.shards.format import SHARDS, ShardFile
from reidprep.store.manifest import MANIFEST, read_manifest

COMMAND = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()", "inspect"]
CONNECTIONS = 6
FILTERS: list[dict[str, object]] = [
    {"split": "query"},
    {"camera": 3},
    {"pid": 2},
    {"path": "c3s1"},
    {"flag": "POOR_FIT"},
    {"min_filled": 6, "max_filled": 17},
    {"min_score": 0.4, "max_score": 0.6, "sort": "score"},
    {"sort": "residual", "order": "desc"},
    {"min_residual": 0.05, "split": "gallery", "sort": "height"},
    {"min_outside": 0.1, "sort": "path"},
]


def multiply(shards: Path, out: Path, times: int) -> Path:
    """A shard directory with the samples of `shards` so many times, without a copy of a byte."""
    manifest = read_manifest(shards, SHARDS)
    out.mkdir()
    files: list[ShardFile] = []
    for file in manifest.files:
        split = file.name.split("-")[0]
        for _ in range(times):
            name = f"{split}-{sum(other.name.startswith(split) for other in files):05d}.h5"
            os.link(shards / file.name, out / name)
            files.append(dataclasses.replace(file, name=name))
    images = {split: count * times for split, count in manifest.summary.images.items()}
    changed = dataclasses.replace(
        manifest,
        source=(shards / manifest.source).resolve().as_posix(),
        files=tuple(files),
        totals=dataclasses.replace(manifest.summary, images=images),
    )
    (out / MANIFEST).write_bytes(changed.to_json())
    return out


class Client:
    """One connection, kept open."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=120)

    def get(self, path: str) -> bytes:
        """What the server answers."""
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}")
        return body

    def seconds(self, path: str) -> float:
        """Time until the last byte of the answer."""
        started = time.perf_counter()
        self.get(path)
        return time.perf_counter() - started


@contextmanager
def served(shards: Path, *options: str, command: Sequence[str] = COMMAND) -> Iterator[tuple[str, int, float]]:
    """Address, process and start-up of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(shards), *options, "--port", "0", "--no-browser", "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = urlsplit(json.loads(process.stdout.readline())["url"]).netloc
        while True:
            try:
                http.client.HTTPConnection(address, timeout=10).connect()
                break
            except ConnectionRefusedError:
                time.sleep(0.005)
        yield address, process.pid, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(20)


def page_with_images(clients: list[Client], path: str) -> tuple[float, int]:
    """Seconds until the page and all its images are there, and how many images they are."""
    started = time.perf_counter()
    images = sorted({unescape(url) for url in re.findall(r'"(/image/[^"]+)"', clients[0].get(path).decode())})

    def fetch(number: int) -> None:
        for url in images[number::CONNECTIONS]:
            clients[number].get(url)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(fetch, range(CONNECTIONS)))
    return time.perf_counter() - started, len(images)


def cpu_seconds(pid: int) -> float:
    """User and system time: what neighbours on a busy machine do not change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10


def measure(shards: Path, rounds: int, per_page: int) -> None:
    with served(shards) as (address, pid, startup):
        clients = [Client(address) for _ in range(CONNECTIONS)]
        first = clients[0].seconds("/")
        later = [clients[0].seconds("/") for _ in range(rounds)]
        # Another page each time: the images of the first one may be remembered.
        before = cpu_seconds(pid)
        thumbnails = [
            page_with_images(clients, f"/?{urlencode({'per_page': per_page, 'page': page})}")
            for page in range(2, 2 + rounds)
        ]
        cpu = (cpu_seconds(pid) - before) / rounds
        filters = {
            urlencode(query): [clients[0].seconds(f"/?{urlencode(query)}") for _ in range(rounds)] for query in FILTERS
        }
        print(f"  start-up           {startup:.2f} s")
        print(f"  first page         {1e3 * first:.0f} ms, then {1e3 * median(later):.0f} ms")
        seconds = [entry[0] for entry in thumbnails]
        print(
            f"  page of {per_page}        {1e3 * seconds[0]:.0f} ms, then {1e3 * median(seconds):.0f} ms "
            f"with {thumbnails[0][1]} images; {1e3 * cpu:.0f} ms of a core for the server"
        )
        slowest = max(filters, key=lambda query: median(filters[query]))
        every = [seconds for times in filters.values() for seconds in times]
        print(
            f"  filters            {1e3 * median(every):.0f} ms, at most {1e3 * max(every):.0f} ms; slowest "
            f"{slowest} ({1e3 * median(filters[slowest]):.0f} ms)"
        )
        print(f"  memory             {peak_memory(pid) / 1e6:.0f} MB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="a shard directory")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-page", type=int, default=100)
    arguments = parser.parse_args()
    # Beside the shards, as hard links do not reach into another file system.
    with tempfile.TemporaryDirectory(dir=arguments.shards.resolve().parent) as folder:
        for times in arguments.times:
            shards = multiply(arguments.shards, Path(folder) / str(times), times)
            print(f"{times} x the samples: {read_manifest(shards, SHARDS).rows:,}")
            measure(shards, arguments.rounds, arguments.per_page)


if __name__ == "__main__":
    main()
