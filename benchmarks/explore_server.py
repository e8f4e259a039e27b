"""`reidtrain explore` as a browser meets it: start-up, pages, filters, memory.

    python benchmarks/explore_server.py RUN SHARDS [--rounds 5]

Its features are made up, those of a person near each other: what they say does not matter to the times, and the network
need not compute them. The first start ranks, checks labels and keeps both; the second one reads them, and is measured:

- start-up, from the start of the process until it has printed its address and answers;
- the first page of queries after it, and the median of later ones, without images;
- a query's page, each time of another query;
- filters and orders; the pages of people and of labels;
- the peak of the process's resident memory at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import numpy as np
from inspect_server import Client, cpu_seconds, peak_memory, served

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.features.extract import about_features
from reidtrain.features.extractor import Computing
from reidtrain.features.files import EMBEDDING, GALLERY, QUERY, Features, open_output

COMMAND = [sys.executable, "-c", "from reid_cli.reidtrain.main import main; main()", "explore"]
DIMENSIONS = {EMBEDDING: 768, "whole": 256, "head": 128, "upper_body": 128, "upper_leg": 128, "lower_leg": 128}
FILTERS: list[dict[str, object]] = [
    {"min_first": 2},
    {"camera": 1, "to": 3, "sort": "first", "order": "desc"},
    {"min_ap": 20, "max_ap": 40},
    {"flag": "any", "sort": "doubt"},
    {"min_filled": 4, "sort": "filled"},
    {"path": "c3s1"},
]


def make_up(shards: Path, about: dict[str, object], out: Path) -> None:
    """A folder of features of the queries and the gallery."""
    rng = np.random.default_rng(0)
    people = {name: rng.normal(size=(20_000, size)).astype(np.float32) for name, size in DIMENSIONS.items()}
    with open_output(out) as output:
        for prefix, split in ((QUERY, "query"), (GALLERY, "gallery")):
            samples = ShardSet.open(shards, split)
            arrays = {}
            for name, centres in people.items():
                noise = rng.normal(scale=1.2, size=(len(samples), centres.shape[1]))
                values = centres[samples.pids % len(centres)] + noise
                arrays[name] = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
            output.write(Features.of(samples, None, arrays), prefix, len(samples))
        output.finish({**about, "dimensions": DIMENSIONS})


def times(client: Client, pid: int, paths: list[str]) -> str:
    """Times of some addresses, in words: median and maximum, and what the server's process computed for each."""
    before = cpu_seconds(pid)
    seconds = [client.seconds(path) for path in paths]
    cpu = (cpu_seconds(pid) - before) / len(paths)
    return f"{1e3 * median(seconds):.0f} ms, at most {1e3 * max(seconds):.0f} ms; {1e3 * cpu:.0f} ms of a core"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("shards", type=Path, help="a shard directory")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    shards = arguments.shards
    with tempfile.TemporaryDirectory() as folder:
        about = about_features(load_checkpoint(arguments.run), shards, "test", Computing())
        make_up(shards, about, Path(folder) / "features")
        options = ["--features", f"{folder}/features", "--out", f"{folder}/out"]
        with served(shards, *options, command=[*COMMAND, str(arguments.run)]) as (_, _, seconds):
            print(f"{len(ShardSet.open(shards)):,} samples; rankings and labels computed in {seconds:.0f} s")
        with served(shards, *options, command=[*COMMAND, str(arguments.run)]) as (address, pid, seconds):
            client = Client(address)
            print(f"  start-up           {seconds:.1f} s")
            first_page = client.seconds("/queries")
            later = times(client, pid, ["/queries"] * arguments.rounds)
            print(f"  first page         {1e3 * first_page:.0f} ms, then {later}")
            first = len(ShardSet.open(shards, "train"))
            queries = [f"/query/{first + 97 * number}?top=20" for number in range(4 * arguments.rounds)]
            print(f"  a query's page     {times(client, pid, queries)}")
            filters = [f"/queries?{urlencode(each)}" for each in FILTERS for _ in range(arguments.rounds)]
            print(f"  filters, orders    {times(client, pid, filters)}")
            people = ["/confused", "/confused?page=2", "/confused?camera=1&to=2"]
            print(f"  people             {times(client, pid, people)}")
            labels = [f"/labels?kind={kind}" for kind in ("strays", "twins", "halves") for _ in range(2)]
            print(f"  labels             {times(client, pid, labels)}")
            print(f"  memory             {peak_memory(pid) / 1e6:.0f} MB at most")


if __name__ == "__main__":
    main()
