"""Orders in which training images are visited, the same for the same seed and epoch.

Both samplers yield batches of indices, for `DataLoader(batch_sampler=...)`. Under distributed training every process
makes the whole order and takes its share, so that processes agree without talking. Call `set_epoch` before each epoch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from reidprep.errors import ReidError
from reidprep.text import counted


class _EpochBatchSampler(Sampler[list[int]]):
    """The batches of one process in one epoch.

    Args:
        seed: an epoch's order follows from it, the stage and the epoch, and differs for any two of them.
        stage: of a training in several, from 0.
        rank: this process, 0 to `world_size` - 1.
        world_size: number of processes that train together.
    """

    def __init__(self, seed: int, stage: int, rank: int, world_size: int) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes")
        self.seed = seed
        self.stage = stage
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch, from 0, and the batch at which iterating over it starts, for resuming within it."""
        self.epoch = epoch
        self.start = start

    @abstractmethod
    def __len__(self) -> int:
        """Batches of a whole epoch for this process, wherever iterating starts."""

    def __iter__(self) -> Iterator[list[int]]:
        source = np.random.SeedSequence(self.seed, spawn_key=(self.stage, self.epoch))
        # Drawn now, not when the first batch is asked for: the start may be set anew in between.
        batches = self._batches(np.random.default_rng(source))[self.start :]
        return (batch.tolist() for batch in batches)

    @abstractmethod
    def _batches(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches of this process."""


class ShuffledBatchSampler(_EpochBatchSampler):
    """Every image once per epoch, in random order.

    The images that one step visits are the same for any number of processes (with `batch_size` divided among them), up
    to the fill at the end: processes get equally many images, for which up to `world_size` - 1 are visited twice.

    Args:
        images: number of images.
        batch_size: images in a batch of this process.
        seed: an epoch's order follows from it, the stage and the epoch.
        stage: of a training in several, from 0.
        drop_last: leave out the last batch if it is smaller.
        rank: this process.
        world_size: number of processes that train together.

    Raises:
        ReidError: no batch would remain.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        *,
        seed: int,
        stage: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(seed, stage, rank, world_size)
        if batch_size < 1 or images < 1:
            raise ReidError(f"a batch size of {batch_size} and {counted(images, 'image')}: both must be at least 1")
        self.images = images
        self.batch_size = batch_size
        self.drop_last = drop_last
        if not len(self):
            raise ReidError(
                f"{counted(images, 'image')} on {counted(world_size, 'process', 'processes')} cannot fill a batch of "
                f"{batch_size}; lower the batch size"
            )

    def __len__(self) -> int:
        share = -(-self.images // self.world_size)
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)

    def _batches(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        share = -(-self.images // self.world_size)
        order = np.resize(random.permutation(self.images), share * self.world_size)[self.rank :: self.world_size]
        return [order[first : first + self.batch_size] for first in range(0, share, self.batch_size)][: len(self)]


class IdentityBatchSampler(_EpochBatchSampler):
    """Batches of P different identities with K images each (P x K), seeing every image in every epoch.

    An identity's images are shuffled and cut into groups of K; a last group that is short is filled with other images
    of the identity, with repeats only if it has fewer than K images. Each batch draws P identities by the number of
    groups they have left. When fewer than P have any left, the batch is filled with further draws from identities that
    are not in it. An epoch is as short as that allows: groups / P batches, more only if one identity alone has more
    groups than that; with several processes, rounded up to equally many for each.

    Args:
        labels: (images,) identity of each image.
        identities: P, identities in a batch of this process.
        images_per_identity: K.
        seed: an epoch's order follows from it, the stage and the epoch.
        stage: of a training in several, from 0.
        rank: this process.
        world_size: number of processes that train together; only the fill is visited by more than one.

    Raises:
        ReidError: fewer than P identities, or P or K that make no batch.
    """

    def __init__(
        self,
        labels: ArrayLike,
        identities: int = 18,
        images_per_identity: int = 4,
        *,
        seed: int,
        stage: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(seed, stage, rank, world_size)
        if identities < 2 or images_per_identity < 1:
            raise ReidError(
                f"batches of {counted(identities, 'identity', 'identities')} with "
                f"{counted(images_per_identity, 'image')}: a batch needs at least "
                "2 identities, to tell apart, with at least 1 image each"
            )
        labels = np.asarray(labels)
        order = np.argsort(labels, kind="stable")
        _, starts = np.unique(labels[order], return_index=True)
        self._images_of = np.split(order, starts[1:]) if len(labels) else []
        self.identities = identities
        self.images_per_identity = images_per_identity
        if len(self._images_of) < 2:
            raise ReidError(
                f"the training images show {len(self._images_of)} identity; identities can only be told apart with "
                "at least 2: use shards with more of them"
            )
        if len(self._images_of) < identities:
            raise ReidError(
                f"batches of {identities} identities cannot be made of {len(self._images_of)}; "
                f"lower the identities per batch to {len(self._images_of)} or less"
            )
        self._groups_of = np.array([-(-len(images) // images_per_identity) for images in self._images_of])
        self.batch_size = identities * images_per_identity

    def __len__(self) -> int:
        batches = max(-(-int(self._groups_of.sum()) // self.identities), int(self._groups_of.max()))
        return -(-batches // self.world_size)

    def _batches(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        groups = [self._groups(images, random) for images in self._images_of]
        batches = []
        left = self._groups_of.copy()
        for remaining in range(len(self) * self.world_size, 0, -1):
            chosen = self._draw(left, remaining, random)
            batch = []
            for identity in chosen:
                if left[identity]:
                    left[identity] -= 1
                    batch.append(groups[identity][left[identity]])
                else:
                    batch.append(self._groups(self._images_of[identity], random)[0])
            batches.append(np.concatenate(batch))
        return batches[self.rank :: self.world_size]

    def _groups(self, images: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """(groups, K) all images of an identity; the fill is taken from the start of the shuffled order."""
        count = -(-len(images) // self.images_per_identity)
        return np.resize(random.permutation(images), (count, self.images_per_identity))

    def _draw(self, left: NDArray[np.int64], remaining: int, random: np.random.Generator) -> NDArray[np.int64]:
        """P identities for one of the `remaining` batches.

        An identity with as many groups left as there are batches must be in each. Of the others, the share of the
        groups left is the chance, by the largest of random keys u^(1 / share) (Efraimidis and Spirakis, 2006).
        """
        keys = random.random(len(left))
        keys = np.where(left > 0, keys ** (1 / np.maximum(left, 1)), keys - 1)
        keys[left >= remaining] = 2
        return np.argpartition(-keys, self.identities - 1)[: self.identities]
