from dataclasses import asdict

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the data layer needs PyTorch: pip install 'reidprep[train]'")

from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import Batch, ShardDataset, collate
from reidtrain.data.sets import LabelledSamples


@pytest.mark.parametrize(("chosen", "together"), [([5, 0, 2], True), ([7, 1, 9], False)])
def test_samples_of_one_set_are_a_batch_at_once_and_the_same_as_one_by_one(drawn_shards, chosen, together):
    datasets = [ShardDataset(ShardSet.open(drawn_shards, split)) for split in ("train", "query")]
    samples = LabelledSamples(datasets, np.repeat([0, 1], [6, 4]), np.r_[5:-1:-1, 0:4], np.arange(10) % 3)
    found = samples.__getitems__(chosen)
    assert isinstance(found, Batch) is together
    expected = collate([samples[index] for index in chosen])
    for name, value in asdict(collate(found)).items():
        other = getattr(expected, name)
        assert value is other is None or (value.dtype == other.dtype and torch.equal(value, other)), name
