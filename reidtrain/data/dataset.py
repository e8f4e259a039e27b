"""Samples of a shard directory as tensors, and batches of them; pixels stay uint8 until they reach the device."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import finalize

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from reidprep.errors import ReidError
from reidprep.shards.format import VIEWS, View
from reidprep.shards.reader import ShardSet
from reidprep.text import counted

NO_LABEL = -1
"""Label of an identity that is not trained on."""

_SHARED_MEMORY = Path("/dev/shm")
# Of shards, libraries, and pipes to the workers.
_OTHER_FILES = 128


@dataclass(frozen=True)
class Item:
    """One sample; views that were not asked for are None.

    Attributes:
        whole: (height, width, 3) uint8 RGB.
        parts: (4, height, width, 3) uint8 RGB: head, upper body, upper leg, lower leg.
        image: (height, width, 3) uint8 RGB.
        label: class index, -1 for identities that are not trained on.
        pid: person id.
        camid: camera.
        index: position in the dataset.
    """

    whole: Tensor | None
    parts: Tensor | None
    image: Tensor | None
    label: int
    pid: int
    camid: int
    index: int


@dataclass(frozen=True)
class Batch:
    """n samples; views that were not asked for are None.

    Views are uint8 RGB from the loader, in channels-last memory, and floating point after `Preprocessor`.

    Attributes:
        whole: (n, 3, height, width).
        parts: (n, 4, 3, height, width): head, upper body, upper leg, lower leg.
        image: (n, 3, height, width).
        labels: (n,) int64 class indices, -1 for identities that are not trained on.
        pids: (n,) int64 person ids.
        camids: (n,) int64 cameras.
        indices: (n,) int64 positions in the dataset.
    """

    whole: Tensor | None
    parts: Tensor | None
    image: Tensor | None
    labels: Tensor
    pids: Tensor
    camids: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        views = {name: getattr(self, name) for name in VIEWS if getattr(self, name) is not None}
        shapes = ", ".join(f"{name} {tuple(images.shape)}" for name, images in views.items())
        return f"Batch({counted(len(self), 'sample', 'samples')}: {shapes})"

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device; `non_blocking` overlaps the copy if the memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; `DataLoader(pin_memory=True)` calls this."""
        return self._each(lambda tensor: tensor.pin_memory())

    def map_views(self, function: Callable[[View, Tensor], Tensor]) -> Batch:
        """The batch with what a function makes of each view, given its name and its images."""
        views = {view: getattr(self, view) for view in VIEWS}
        return replace(self, **{view: function(view, images) for view, images in views.items() if images is not None})

    def _each(self, function: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: function(tensor) for name, tensor in tensors.items()})


class ShardDataset(Dataset[Item]):
    """The samples of a `ShardSet`, for a `BatchLoader`.

    Workers may be started by fork or spawn; each opens the files itself. Views have the size they are stored at;
    `Preprocessor` brings them to the network's.

    Args:
        shards: the samples, of one split or all.
        views: what to decode and return of each.

    Raises:
        ReidError: no sample, an unknown view, or one the shards were built without.

    Example:
        >>> from reidprep import ShardSet
        >>> from reidtrain import BatchLoader, ShardDataset
        >>> dataset = ShardDataset(ShardSet.open("shards", "train"), views=["whole"])
        >>> dataset
        ShardDataset(ShardSet(shards, train: 8 samples, whole 144x72, parts 60x120), views whole)
        >>> batch = next(iter(BatchLoader(dataset, batch_size=4)))
        >>> batch
        Batch(4 samples: whole (4, 3, 144, 72))
        >>> batch.labels.tolist()
        [0, 0, 0, 0]
    """

    def __init__(self, shards: ShardSet, views: Sequence[View] = ("whole", "parts")) -> None:
        if unknown := [view for view in views if view not in VIEWS]:
            raise ReidError(f"unknown view {unknown[0]!r}; choose from {', '.join(VIEWS)}")
        if not len(shards):
            where = f"the {shards.split} split" if shards.split else "any split"
            raise ReidError(f"{shards.path}: no sample in {where}; choose another split, or build shards that have it")
        if "image" in views and "image" not in shards.stored_sizes:
            raise ReidError(
                f"{shards.path}: the shards hold no plain images, which this model is trained on; "
                "build them with --with-image"
            )
        self.shards = shards
        self.views = tuple(views)
        self._labels = shards.train_labels
        self._pids, self._camids = shards.pids, shards.camids

    @property
    def labels(self) -> NDArray[np.int64]:
        """(samples,) class indices, -1 for identities that are not trained on; decodes no image."""
        return np.array([self._label(pid) for pid in self._pids], dtype=np.int64)

    def _label(self, pid: int) -> int:
        return self._labels.get(int(pid), NO_LABEL)

    def __len__(self) -> int:
        return len(self.shards)

    def __repr__(self) -> str:
        return f"ShardDataset({self.shards}, views {', '.join(self.views)})"

    def __getitem__(self, index: int) -> Item:
        """Read and decode one sample.

        Raises:
            IndexError: out of range.
            ReidError: the file is missing or the sample damaged; names file and row.
        """
        pixels = {view: torch.from_numpy(images) for view, images in self.shards.pixels(index, self.views).items()}
        pid = int(self._pids[index])
        return Item(
            whole=pixels.get("whole"),
            parts=pixels.get("parts"),
            image=pixels.get("image"),
            label=self._label(pid),
            pid=pid,
            camid=int(self._camids[index]),
            index=int(index) % len(self),
        )

    def batch(self, indices: Sequence[int]) -> Batch:
        """Decode samples straight into a batch; in a worker, into memory shared with the trainer.

        Raises:
            IndexError: out of range.
            ReidError: a file is missing or a sample damaged; names file and row.
        """
        views = {view: _room((len(indices), *self.shards.view_shapes[view])) for view in self.views}
        arrays = {view: room.numpy() for view, room in views.items()}
        for number, index in enumerate(indices):
            self.shards.pixels(index, self.views, {view: array[number] for view, array in arrays.items()})
        rows = np.asarray(indices, np.int64) % len(self)
        pids = self._pids[rows]
        return (Batch if get_worker_info() is None else _Lent)(
            **{view: views[view].movedim(-1, -3) if view in views else None for view in VIEWS},
            labels=torch.tensor([self._label(pid) for pid in pids]),
            pids=torch.from_numpy(pids),
            camids=torch.from_numpy(self._camids[rows]),
            indices=torch.from_numpy(rows),
        )

    __getitems__ = batch
    """What `DataLoader` asks for samples by."""


_ROOMS = 4
"""A worker keeps so many for views of a size: batches that wait, that are pinned or used, and the next one."""
_kept: dict[int, list[Tensor]] = {}


def _room(shape: tuple[int, ...]) -> Tensor:
    """Memory for the pixels of a batch; in a worker shared with the trainer, as that of `default_collate`.

    Fresh shared memory costs as much as decoding, so a worker takes a room again that the trainer has let go of: the
    byte after the pixels tells.
    """
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    size = math.prod(shape)
    rooms = _kept.setdefault(size, [])
    room = next((room for room in rooms if not room[size]), None)
    if room is None:
        storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(size + 1)  # type: ignore[no-untyped-call]
        room = torch.empty(0, dtype=torch.uint8).set_(storage)
        rooms.append(room)
        del rooms[:-_ROOMS]
    room[size] = 1
    return room[:size].view(shape)


class _Lent(Batch):
    """A batch in rooms of a worker; for the trainer that receives it, a `Batch`."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Each tensor that is sent is a file in shared memory to be asked for and opened: too much for a few numbers.
        numbers = {name: value.numpy() for name, value in vars(self).items() if name not in VIEWS}
        return _received, ({view: getattr(self, view) for view in VIEWS}, numbers)


def _received(pixels: dict[View, Tensor | None], numbers: dict[str, NDArray[np.int64]]) -> Batch:
    tensors: dict[str, Any] = {view: _borrowed(room) for view, room in pixels.items()}
    return Batch(**tensors, **{name: torch.from_numpy(values) for name, values in numbers.items()})


def _borrowed(pixels: Tensor | None) -> Tensor | None:
    """The pixels as a tensor that gives its room back once nothing shares its memory any more: no view, no array."""
    if pixels is None:
        return None
    room = torch.empty(0, dtype=torch.uint8).set_(pixels.untyped_storage()).numpy()
    # PyTorch does not tell when a storage ends, but one made of an array refers to that to its end.
    array = pixels.numpy()
    finalize(array, room[-1:].fill, 0).atexit = False
    return torch.from_numpy(array)


def collate(items: Sequence[Item] | Batch) -> Batch:
    """Batch the samples, unless their dataset has done so: channels come first by strides alone."""
    if isinstance(items, Batch):
        return items
    return Batch(
        whole=_stack([item.whole for item in items]),
        parts=_stack([item.parts for item in items]),
        image=_stack([item.image for item in items]),
        labels=torch.tensor([item.label for item in items]),
        pids=torch.tensor([item.pid for item in items]),
        camids=torch.tensor([item.camid for item in items]),
        indices=torch.tensor([item.index for item in items]),
    )


def _stack(images: Sequence[Tensor | None]) -> Tensor | None:
    present = [image for image in images if image is not None]
    if not present:
        return None
    # In a worker, default_collate stacks straight into shared memory, which torch.stack does not.
    stacked: Tensor = default_collate(present)
    return stacked.movedim(-1, -3)


class BatchLoader(DataLoader[Any]):
    """A `DataLoader` of `Batch`; its workers keep to one thread each, as there are several, and leave signals to it.

    Args:
        dataset: gives an `Item` each.
        **options: those of `DataLoader`, but for `collate_fn` and `worker_init_fn`.

    Raises:
        ReidError: workers for which shared memory or the limit of open files does not suffice.

    Example:
        >>> from reidprep import ShardSet
        >>> from reidtrain import BatchLoader, ShardDataset
        >>> loader = BatchLoader(ShardDataset(ShardSet.open("shards", "train")), batch_size=4)
        >>> [batch.pids.tolist() for batch in loader]
        [[2, 2, 2, 2], [4, 4, 4, 4]]
    """

    def __init__(self, dataset: Dataset[Item], **options: Any) -> None:
        super().__init__(dataset, collate_fn=collate, worker_init_fn=_prepare_worker, **options)
        if self.num_workers:
            self._check_room()

    def __iter__(self) -> Any:
        # A process that is forked while OpenCV has threads hangs or crashes when it sets their number.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return super().__iter__()
        finally:
            cv2.setNumThreads(threads)

    def _check_room(self) -> None:
        item = self.dataset[0]
        images = [image for image in (item.whole, item.parts, item.image) if image is not None]
        # Those that wait, and the one that is computed, or those whose rooms are kept; each tensor is a file in shared
        # memory.
        batches = min(len(self), self.num_workers * max((self.prefetch_factor or 0) + 1, _ROOMS))
        # A list of batches is a sampler as well.
        samples = getattr(self.batch_sampler, "batch_size", None) or max(map(len, self.batch_sampler), default=0)  # type: ignore[arg-type]
        size = min(batches * samples, len(self.dataset)) * sum(image.nbytes for image in images)  # type: ignore[arg-type]
        if _SHARED_MEMORY.is_dir() and size > (free := shutil.disk_usage(_SHARED_MEMORY).free):
            raise ReidError(
                f"{_SHARED_MEMORY} has {_mebibytes(free)} free, and the batches of "
                f"{counted(self.num_workers, 'process', 'processes')} that "
                f"decode take up to {_mebibytes(size)} there: give it more, in Docker by --shm-size, or lower "
                "--workers (0 needs none)"
            )
        if os.name != "posix":
            return
        import resource

        files = _OTHER_FILES + batches * (len(images) + 4)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < files:
            if hard != resource.RLIM_INFINITY and hard < files:
                raise ReidError(
                    f"{hard} files may be open in a process ('ulimit -n'), and "
                    f"{counted(self.num_workers, 'process', 'processes')} that "
                    f"decode need up to {files}: allow more, or lower --workers (0 needs none)"
                )
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _prepare_worker(worker: int) -> None:
    cv2.setNumThreads(1)
    # Sent to all processes of a job, signals would end those that the last step needs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_with_trainer, daemon=True).start()


def _end_with_trainer() -> None:
    """End at the SIGTERM of the trainer alone, which waits for its workers when it ends itself."""
    if sys.platform == "linux":
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)
