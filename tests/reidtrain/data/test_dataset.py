import dataclasses
import multiprocessing
import os
import shutil
import signal
import sys
from time import sleep

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from msgspec import UNSET

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import BatchLoader, ShardDataset, collate
from reidtrain.data.samplers import IdentityBatchSampler, ShuffledBatchSampler

ALL = ("whole", "parts", "image")
IMAGES_PER_SAMPLE = 6


@pytest.fixture(scope="module")
def shards(drawn_shards):
    return ShardSet.open(drawn_shards, "train")


def assert_is_sample(batch, row, sample, label):
    assert np.array_equal(batch.whole[row].movedim(0, -1).numpy(), sample.whole)
    assert np.array_equal(batch.parts[row].movedim(1, -1).numpy(), sample.parts)
    assert np.array_equal(batch.image[row].movedim(0, -1).numpy(), sample.image)
    assert (batch.labels[row], batch.pids[row], batch.camids[row]) == (label, sample.pid, sample.camid)


@pytest.mark.parametrize("workers", [None, "fork", "forkserver"])
def test_batches_hold_the_samples(shards, workers, request):
    if workers not in (None, *multiprocessing.get_all_start_methods()):
        pytest.skip(f"no {workers} on this system")
    dataset = ShardDataset(shards, ALL)
    # Opened here before the workers exist: they must not use the parent's file handles.
    assert dataset[0].pid == shards[0].pid
    sampler = ShuffledBatchSampler(len(dataset), 3, seed=0)
    loader = BatchLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=2 if workers else 0,
        multiprocessing_context=request.getfixturevalue(workers) if workers == "forkserver" else workers,
    )
    seen = []
    for batch, indices in zip(loader, sampler, strict=True):
        assert batch.indices.tolist() == indices
        assert batch.whole.dtype == batch.parts.dtype == batch.image.dtype == torch.uint8
        assert batch.labels.dtype == batch.pids.dtype == batch.camids.dtype == torch.int64
        assert len(batch) == len(indices)
        for row, index in enumerate(indices):
            sample = shards[index]
            assert_is_sample(batch, row, sample, shards.train_labels[sample.pid])
        seen += indices
    assert sorted(seen) == list(range(len(shards)))


def test_workers_without_room_to_hand_batches_over_are_refused_before_they_start(shards, monkeypatch):
    usage = shutil._ntuple_diskusage(1 << 20, 1 << 19, 1 << 19)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        ReidError, match=r"/dev/shm has 0.5 MiB free, and .* 2 processes .* up to [01]\.\d MiB .*--shm-size.*--workers"
    ):
        BatchLoader(ShardDataset(shards), batch_size=4, num_workers=2)
    assert next(iter(BatchLoader(ShardDataset(shards), batch_size=4)))


OPEN_FILES = """
import resource, sys
from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import BatchLoader, ShardDataset
resource.setrlimit(resource.RLIMIT_NOFILE, (40, int(sys.argv[2])))
workers = {"num_workers": 2, "multiprocessing_context": "fork"}
print(len(list(BatchLoader(ShardDataset(ShardSet.open(sys.argv[1], "train")), batch_size=4, **workers))))
"""


def test_the_limit_of_open_files_is_raised_or_named(drawn_shards, start):
    raised, named = (start(f"open-files-{hard}", OPEN_FILES, drawn_shards, hard) for hard in (1000, 100))
    assert raised.end() == (0, "2\n", "")
    assert "100 files may be open in a process ('ulimit -n')" in named.end()[2]


@pytest.mark.parametrize("together", [True, False])
def test_shapes_and_memory(shards, together):
    dataset = ShardDataset(shards, ALL)
    batch = dataset.batch([0, -1]) if together else collate([dataset[0], dataset[-1]])
    for row, index in enumerate((0, len(shards) - 1)):
        assert_is_sample(batch, row, shards[index], shards.train_labels[shards[index].pid])
        assert batch.indices[row] == index
    sizes = shards.stored_sizes
    assert batch.whole.shape == (2, 3, *sizes["whole"])
    assert batch.parts.shape == (2, 4, 3, *sizes["parts"])
    assert batch.image.shape == (2, 3, *sizes["image"])
    assert batch.whole.is_contiguous(memory_format=torch.channels_last)


def test_views_that_are_not_asked_for_are_none(shards):
    batch = collate([ShardDataset(shards, ("image",))[0]])
    assert batch.whole is None
    assert batch.parts is None
    assert batch.to("cpu").whole is None
    assert batch.image.shape == (1, 3, *shards.stored_sizes["image"])


def test_labels(drawn_shards, shards):
    train = ShardDataset(shards)
    assert train.labels.tolist() == [train[index].label for index in range(len(train))]
    assert set(train.labels) == set(range(len(shards.train_labels)))
    query = ShardDataset(ShardSet.open(drawn_shards, "query"))
    assert set(query.labels) == {-1}
    assert query[0].label == -1
    assert query[0].pid == query.shards.pids[0]


def test_negative_index_is_named_from_the_start(shards):
    dataset = ShardDataset(shards)
    assert dataset[-1].index == len(dataset) - 1
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_identity_batches_from_shards(shards):
    dataset = ShardDataset(shards)
    identities = len(shards.train_labels)
    sampler = IdentityBatchSampler(dataset.labels, identities, 2, seed=0)
    for batch in BatchLoader(dataset, batch_sampler=sampler):
        assert sorted(batch.labels.tolist()) == sorted(list(range(identities)) * 2)


KEPT_LOADER = """
import builtins, multiprocessing, sys
from pathlib import Path
from time import sleep
from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import BatchLoader, ShardDataset
workers = {"num_workers": 1, "multiprocessing_context": "fork"}
builtins.kept = iter(BatchLoader(ShardDataset(ShardSet.open(sys.argv[1], "train")), batch_size=1, **workers))
next(kept)
print(multiprocessing.active_children()[0].pid, flush=True)
while not Path(sys.argv[2]).exists():
    sleep(0.01)
print(1 + sum(1 for _ in zip(kept, range(3))), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells senders of signals apart on Linux alone: another system")
def test_workers_end_with_the_trainer_and_not_at_signals_of_others(drawn_shards, start, tmp_path):
    trainer = start("kept", KEPT_LOADER, drawn_shards, tmp_path / "signalled")
    said = tmp_path / "kept.out"
    while trainer.process.is_alive() and not (said.exists() and said.read_text().endswith("\n")):
        sleep(0.01)
    worker = int(said.read_text())
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker, number)
    (tmp_path / "signalled").touch()
    assert trainer.end() == (0, f"{worker}\n4\n", "")
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_list_of_batches_is_a_sampler(shards):
    batches = [[0, 1], [2]]
    loader = BatchLoader(ShardDataset(shards), batch_sampler=batches, num_workers=1)
    assert [batch.indices.tolist() for batch in loader] == batches


class Told(ShardDataset):
    """Labels say where the worker has the pixels."""

    def __getitems__(self, indices):
        batch = self.batch(indices)
        return dataclasses.replace(batch, labels=torch.tensor([batch.whole.data_ptr()]))


def one_by_one(shards):
    rows = [[row % len(shards)] for row in range(24)]
    return iter(BatchLoader(Told(shards), batch_sampler=rows, num_workers=1))


def test_workers_take_memory_again_that_no_batch_needs(shards):
    assert len({int(batch.labels) for batch in one_by_one(shards)}) <= 4


@pytest.mark.parametrize(
    "kept",
    [lambda batch: batch.whole, lambda batch: batch.whole[:, 1:, :, 3:], lambda batch: batch.whole.numpy()[..., 5]],
    ids=["a batch", "a view", "an array"],
)
def test_what_is_kept_of_a_batch_is_not_overwritten(kept, shards):
    batches = one_by_one(shards)
    first = [kept(next(batches)) for _ in range(3)]
    assert len({int(batch.labels) for batch in batches}) < 8  # the others' memory was taken again
    for row, pixels in enumerate(first):
        assert np.array_equal(pixels, kept(ShardDataset(shards).batch([row])))


def test_damaged_sample_is_named_from_a_worker(drawn_shards, tmp_path):
    copy = tmp_path / "shards"
    shutil.copytree(drawn_shards, copy)
    name = ShardSet.open(copy, "train").files[0].name
    with h5py.File(copy / name, "r+") as file:
        first = IMAGES_PER_SAMPLE  # of the second sample: the first tells how much memory samples take
        file["images"][file["offsets"][first] : file["offsets"][first + 1]] = 0
    dataset = ShardDataset(ShardSet.open(copy, "train"))
    loader = BatchLoader(dataset, batch_size=2, num_workers=1)
    with pytest.raises(ReidError, match=rf"{name}: row 1"):
        list(loader)


def test_views_the_shards_lack(shards):
    manifest = dataclasses.replace(
        shards.manifest, plan=dataclasses.replace(shards.plan, image_size=None, stored_sizes=UNSET)
    )
    without = ShardSet(shards.path, manifest, shards.files)
    ShardDataset(without, ("whole",))
    with pytest.raises(ReidError, match="--with-image"):
        ShardDataset(without, ("image",))
    with pytest.raises(ReidError, match="unknown view 'head'"):
        ShardDataset(shards, ("head",))


def test_split_without_samples(shards):
    with pytest.raises(ReidError, match="no sample in the query split; choose another"):
        ShardDataset(ShardSet(shards.path, shards.manifest, (), "query"))


FORKED = """
import os
import sys
import cv2
import numpy as np
from reidprep import ShardSet
from reidtrain import BatchLoader, ShardDataset

before = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0
cv2.setNumThreads(4)
cv2.warpAffine(np.zeros((1000, 1000, 3), np.uint8), np.eye(2, 3), (1000, 1000))  # as the commands that cut crops do
assert sys.platform != "linux" or len(os.listdir("/proc/self/task")) > before
workers = {"num_workers": 2, "multiprocessing_context": "fork"}
loader = BatchLoader(ShardDataset(ShardSet.open(sys.argv[1])), batch_size=2, **workers)
print(sum(len(batch) for batch in loader), cv2.getNumThreads())
"""


def test_workers_start_where_opencv_has_threads(drawn_shards, start):
    assert start("forked", FORKED, drawn_shards).end()[:2] == (0, "22 4\n")
