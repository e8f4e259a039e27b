"""Errors planted in labels, and how many of them the label check of `reidtrain explore` puts first.

    python benchmarks/label_check.py RUN SHARDS [--share 0.05] [--rounds 10]

Takes the features of the queries and the gallery by the network of RUN, people that it was not trained on, and changes
labels: some images get another person's, some people get two labels, some pairs of people share one. Of each kind as
many candidates are looked at as there are errors: the share of these that are errors is given, over several draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidprep.progress import unseen
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint, run_subfolder
from reidtrain.explore.contradictions import find_contradictions, halves, strays, twins
from reidtrain.explore.sources import FOLDER, Explored
from reidtrain.features.files import read_arrays

PEOPLE = 5
"""People who get two labels, and pairs who get one."""


def planted(features: NDArray[np.float32], pids: NDArray[np.int64], share: float, seed: int) -> list[float]:
    """The precision at the number of errors, of each kind."""
    rng = np.random.default_rng(seed)
    rows, people = np.arange(len(pids)), np.unique(pids)
    count = max(1, round(share * len(pids)))
    wrong, labels = rng.choice(rows, count, replace=False), pids.copy()
    labels[wrong] = [rng.choice(people[people != pid]) for pid in pids[wrong]]
    found = [np.isin(strays(find_contradictions(features, labels, rows))[0][:count], wrong).mean()]

    chosen, labels = rng.choice(people, PEOPLE, replace=False), pids.copy()
    for pid in chosen:
        of = rng.permutation(np.flatnonzero(pids == pid))
        labels[of[: len(of) // 2]] = -2 - pid
    check = find_contradictions(features, labels, rows)
    pairs = [(labels[at], labels[check.other[at]]) for at in twins(check)[0][:PEOPLE]]
    found.append(float(np.mean([min(pair) == -2 - max(pair) for pair in pairs])))

    first, second = rng.choice(people, (2, PEOPLE), replace=False)
    labels = pids.copy()
    for pid, other in zip(first, second, strict=True):
        labels[pids == other] = pid
    found.append(float(np.isin(halves(find_contradictions(features, labels, rows))[0][:PEOPLE], first).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("shards", type=Path, help="a shard directory")
    parser.add_argument("--share", type=float, default=0.05, help="of the images that get another label")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    explored = Explored(load_checkpoint(arguments.run), arguments.shards, run_subfolder(arguments.run, FOLDER))
    arrays = read_arrays(explored.features("test", unseen), ("query_features", "gallery_features"))
    sides = [ShardSet.open(arguments.shards, split) for split in ("query", "gallery")]
    features, pids = np.concatenate(list(arrays.values())), np.concatenate([side.pids for side in sides])
    somebody = pids > 0
    draws = [planted(features[somebody], pids[somebody], arguments.share, seed) for seed in range(arguments.rounds)]
    print(f"{somebody.sum():,} images of {len(np.unique(pids[somebody]))} people, {arguments.rounds} draws")
    for name, values in zip(
        ("another's label", "two labels", "one label for two"), zip(*draws, strict=True), strict=True
    ):
        print(
            f"  {name:18} precision {100 * np.mean(values):.0f} % ({100 * min(values):.0f} to {100 * max(values):.0f})"
        )


if __name__ == "__main__":
    main()
