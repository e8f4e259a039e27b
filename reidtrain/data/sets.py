"""Several shard directories, one of each dataset: names that keep their people apart, and what they must share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from reidprep.errors import ReidError
from reidprep.shards.format import View
from reidprep.shards.reader import ShardSet
from reidprep.store.fields import Size
from reidprep.text import counted
from reidtrain.data.dataset import Batch, Item, ShardDataset
from reidtrain.data.preprocessing import resize


@dataclass(frozen=True, eq=False)
class NamedShards:
    """The shards of one dataset among several.

    Attributes:
        name: that of the dataset, with a number where several have the same; empty for shards that are alone.
        path: the directory.
        shards: samples of it.
    """

    name: str
    path: Path
    shards: ShardSet

    def person(self, pid: int) -> str:
        """What a person is called: `0002` of market1501 is not that of another dataset."""
        return f"{self.name}:{pid:04d}" if self.name else str(pid)


def open_sets(paths: Sequence[Path], split: str | None = None) -> list[NamedShards]:
    """Open shard directories, ordered by name, so that no result depends on the order in which they are given.

    Raises:
        ReidError: one cannot be opened, is given twice, or holds images that another one holds.
    """
    sets = [ShardSet.open(path, split) for path in paths]
    if len(sets) == 1:
        return [NamedShards("", paths[0], sets[0])]
    for (path, one), (another, other) in combinations(zip(paths, sets, strict=True), 2):
        if path.resolve() == another.resolve() or one.manifest.sha256 == other.manifest.sha256:
            raise ReidError(f"{another}: is given twice; give each shard directory once")
    # Those of one name by their content: whose person 0002 is `market1501-1:0002` must not hang on the order given.
    ordered = sorted(
        zip(paths, sets, strict=True), key=lambda each: (each[1].plan.poses.dataset.name, each[1].manifest.sha256)
    )
    names = [shards.plan.poses.dataset.name for _, shards in ordered]
    return [
        NamedShards(name if names.count(name) == 1 else f"{name}-{names[:place].count(name) + 1}", path, shards)
        for place, (name, (path, shards)) in enumerate(zip(names, ordered, strict=True))
    ]


def check_together(sets: Sequence[NamedShards]) -> None:
    """Make sure that a network can learn from several directories at once.

    Crops may differ in size and border colour, in what found their joints, and in how these were completed.

    Raises:
        ReidError: they differ in the kind of crops, or hold the same images.
    """
    for one, other in combinations(sets, 2):
        ours, theirs = one.shards.plan.alignment, other.shards.plan.alignment
        if ours != theirs:
            raise ReidError(f"{other.path} has alignment {theirs}, {one.path} {ours}; train on shards of one kind")
        if shared := _same_images(one.shards, other.shards):
            raise ReidError(
                f"{other.path}: holds {counted(len(shared), 'image', 'images')} that {one.path} holds too, such as "
                f"{shared[0]}: its people would be two each; give shards of different images"
            )


def _same_images(one: ShardSet, other: ShardSet) -> list[str]:
    """Paths at which both have an image of the same size and joints."""
    rows = {path: row for row, path in enumerate(one.column("paths").tolist())}
    pairs = [(rows[path], row) for row, path in enumerate(other.column("paths").tolist()) if path in rows]
    if not pairs:
        return []
    ours, theirs = np.array(pairs).T
    same = (one.column("joints")[ours] == other.column("joints")[theirs]).all(axis=(1, 2))
    return sorted(other.column("paths")[theirs[same]].tolist())


class LabelledSamples(Dataset[Item]):
    """Some samples of one or more sets, with labels of their own.

    Views that are stored in several sizes are brought to the largest, as batches are of one.

    Args:
        datasets: of each set.
        sets: (n,) of which set each sample is.
        rows: (n,) its row there.
        labels: (n,) its label.
    """

    def __init__(
        self,
        datasets: Sequence[ShardDataset],
        sets: NDArray[np.int64],
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
    ) -> None:
        self.datasets, self.sets, self.rows, self.labels = datasets, sets, rows, labels
        stored = [dataset.shards.stored_sizes for dataset in datasets]
        self._sizes: dict[View, Size] = {}
        for view in datasets[0].views:
            heights, widths = zip(*(sizes[view] for sizes in stored), strict=True)
            self._sizes[view] = (max(heights), max(widths))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        dataset = self.datasets[self.sets[index]]
        item = dataset[int(self.rows[index])]
        views = {
            view: _resized(getattr(item, view), size)
            for view, size in self._sizes.items()
            if dataset.shards.stored_sizes[view] != size
        }
        relabelled: Item = replace(item, label=int(self.labels[index]), index=index, **views)
        return relabelled

    def __getitems__(self, indices: Sequence[int]) -> Batch | list[Item]:
        """What `DataLoader` asks for samples by: a batch where all are of one set and stored in the batch's sizes."""
        chosen = np.asarray(indices, np.int64)
        number = int(self.sets[chosen[0]])
        dataset = self.datasets[number]
        sizes = {view: dataset.shards.stored_sizes[view] for view in dataset.views}
        if sizes != self._sizes or (self.sets[chosen] != number).any():
            return [self[index] for index in indices]
        batch: Batch = dataset.batch(self.rows[chosen].tolist())
        return replace(batch, labels=torch.from_numpy(self.labels[chosen]), indices=torch.from_numpy(chosen))


def _resized(images: Tensor, size: Size) -> Tensor:
    """(..., height, width, 3) uint8 at another height and width, as `Preprocessor` would on a CPU."""
    return resize(images.movedim(-1, -3)[None], size)[0].movedim(-3, -1)
