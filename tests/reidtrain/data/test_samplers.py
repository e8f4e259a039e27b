from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidtrain.data.samplers import IdentityBatchSampler, ShuffledBatchSampler

images_per_id = st.lists(st.integers(1, 30), min_size=2, max_size=25)


def labels_of(counts):
    """Labels 0, 10, 20, ... in a mixed order."""
    labels = np.repeat(np.arange(len(counts)) * 10, counts)
    return np.random.default_rng(0).permutation(labels)


def sharing(make, world_size):
    """The batches of every process, one list each."""
    return [list(make(rank=rank, world_size=world_size)) for rank in range(world_size)]


@given(st.integers(1, 100), st.integers(1, 20), st.integers(0, 3))
@settings(max_examples=50)
def test_shuffle_visits_every_image_once(images, batch_size, seed):
    sampler = ShuffledBatchSampler(images, batch_size, seed=seed)
    batches = list(sampler)
    assert sorted(np.concatenate(batches)) == list(range(images))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert len(batches) == len(sampler)


def test_shuffle_drops_only_a_short_last_batch():
    assert [len(batch) for batch in ShuffledBatchSampler(10, 4, seed=0, drop_last=True)] == [4, 4]
    assert [len(batch) for batch in ShuffledBatchSampler(8, 4, seed=0, drop_last=True)] == [4, 4]


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 5))
@settings(max_examples=50)
def test_shuffle_shares_the_images(images, batch_size, world_size):
    ranks = sharing(lambda **at: ShuffledBatchSampler(images, batch_size, seed=1, **at), world_size)
    assert len({tuple(map(len, batches)) for batches in ranks}) == 1
    visits = Counter(int(index) for batches in ranks for batch in batches for index in batch)
    assert set(visits) == set(range(images))
    assert sum(visits.values()) - images == -images % world_size
    if images % world_size == 0:
        assert set(visits.values()) == {1}


def test_shuffled_steps_are_the_same_for_one_process_and_two():
    alone = [sorted(batch) for batch in ShuffledBatchSampler(24, 8, seed=3)]
    first, second = sharing(lambda **at: ShuffledBatchSampler(24, 4, seed=3, **at), 2)
    assert alone == [sorted(a + b) for a, b in zip(first, second, strict=True)]


@given(images_per_id, st.integers(2, 6), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=80)
def test_identity_batches(counts, identities, images_per_identity, seed):
    identities = min(identities, len(counts))
    labels = labels_of(counts)
    sampler = IdentityBatchSampler(labels, identities, images_per_identity, seed=seed)
    batches = list(sampler)
    assert set(np.concatenate(batches)) == set(range(len(labels)))
    groups = [-(-count // images_per_identity) for count in counts]
    assert len(batches) == len(sampler) == max(-(-sum(groups) // identities), max(groups))
    of_label = Counter(labels.tolist())
    for batch in batches:
        per_label = Counter(labels[batch].tolist())
        assert len(per_label) == identities
        assert set(per_label.values()) == {images_per_identity}
        for label in per_label:
            repeats = Counter(index for index in batch if labels[index] == label)
            if of_label[label] >= images_per_identity:
                assert set(repeats.values()) == {1}
            else:
                assert len(repeats) == of_label[label]
                assert max(repeats.values()) - min(repeats.values()) <= 1


@given(images_per_id, st.integers(2, 4), st.integers(1, 4))
@settings(max_examples=50)
def test_identity_batches_are_shared(counts, identities, world_size):
    identities = min(identities, len(counts))
    labels = labels_of(counts)
    ranks = sharing(lambda **at: IdentityBatchSampler(labels, identities, 2, seed=1, **at), world_size)
    assert len({len(batches) for batches in ranks}) == 1
    assert {int(index) for batches in ranks for batch in batches for index in batch} == set(range(len(labels)))


def test_processes_visit_different_images():
    # Eight groups of identities exactly fill the four batches: nothing has to be repeated.
    labels = np.repeat(np.arange(8), 4)
    ranks = sharing(lambda **at: IdentityBatchSampler(labels, 2, 4, seed=0, **at), 2)
    first, second = ({index for batch in batches for index in batch} for batches in ranks)
    assert len(first) == len(second) == 16
    assert not first & second


def test_ids_with_one_image_are_repeated():
    (batch,) = IdentityBatchSampler([5, 7], 2, 4, seed=0)
    assert Counter(batch) == {0: 4, 1: 4}


def test_identities_meet_different_ones():
    """Batches are drawn anew: over some epochs, nearly all pairs of identities meet."""
    labels = np.repeat(np.arange(12), 8)
    sampler = IdentityBatchSampler(labels, 3, 4, seed=0)
    pairs = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for batch in sampler:
            ids = sorted(set(labels[batch].tolist()))
            pairs |= {(a, b) for a in ids for b in ids if a < b}
    assert len(pairs) >= 60  # of 66


SAMPLERS = {
    "shuffled": lambda **at: ShuffledBatchSampler(40, 8, **at),
    "identities": lambda **at: IdentityBatchSampler(np.repeat(np.arange(8), 5), 4, 2, **at),
}


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS.keys())
class TestOrder:
    def test_follows_from_seed_and_epoch(self, make):
        orders = []
        for epoch in range(4):
            sampler = make(seed=7)
            sampler.set_epoch(epoch)
            orders.append(list(sampler))
            assert list(sampler) == orders[-1]
        assert all(a != b for a, b in pairwise(orders))
        sampler = make(seed=7)
        sampler.set_epoch(2)
        assert list(sampler) == orders[2]
        assert list(make(seed=8)) != orders[0]

    def test_no_two_seeds_stages_or_epochs_share_an_order(self, make):
        orders = set()
        for seed, stage, epoch in product(range(3), repeat=3):
            sampler = make(seed=seed, stage=stage)
            sampler.set_epoch(epoch)
            orders.add(tuple(map(tuple, sampler)))
        assert len(orders) == 27

    def test_ignores_and_leaves_the_global_state(self, make):
        np.random.seed(0)  # noqa: NPY002
        before = list(make(seed=1))
        state = np.random.get_state()[1].tolist()  # noqa: NPY002
        assert list(make(seed=1)) == before
        assert np.random.get_state()[1].tolist() == state  # noqa: NPY002

    @pytest.mark.parametrize("start", [0, 1, 3])
    def test_resumes_within_an_epoch(self, make, start):
        sampler = make(seed=7)
        sampler.set_epoch(3)
        whole = list(sampler)
        resumed = make(seed=7)
        resumed.set_epoch(3, start)
        assert list(resumed) == whole[start:]
        assert len(resumed) == len(whole)
        sampler.set_epoch(4)
        resumed.set_epoch(4)
        assert list(resumed) == list(sampler)

    def test_refuses_an_impossible_rank(self, make):
        with pytest.raises(ValueError, match="rank 2 of 2"):
            make(seed=0, rank=2, world_size=2)


@pytest.mark.parametrize(
    ("labels", "identities", "images", "message"),
    [
        ([3, 3, 3], 2, 4, "shards with more of them"),
        ([], 2, 4, "shards with more of them"),
        ([0, 1, 2], 18, 4, "lower the identities per batch to 3"),
        ([0, 1, 2], 1, 4, "at least 2 identities"),
        ([0, 1, 2], 2, 0, "at least 1 image"),
    ],
)
def test_impossible_identity_batches(labels, identities, images, message):
    with pytest.raises(ReidError, match=message):
        IdentityBatchSampler(labels, identities, images, seed=0)


def test_impossible_shuffled_batches():
    with pytest.raises(ReidError, match="lower the batch size"):
        ShuffledBatchSampler(10, 16, seed=0, drop_last=True)
    with pytest.raises(ReidError, match="at least 1"):
        ShuffledBatchSampler(10, 0, seed=0)
