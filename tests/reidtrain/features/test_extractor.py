from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need PyTorch: pip install 'reidprep[train]'")

from reidtrain.features.extractor import Collected


@pytest.mark.parametrize("most", [7, 9], ids=["all samples", "some were left out"])
def test_values_of_batches_are_copied_into_arrays_made_once(most: int) -> None:
    """What a batch's values lie in is free again: it is not kept, not even as part of something larger."""
    rng = np.random.default_rng(0)
    batches = [{"a": rng.random((n, 3), np.float32), "b": rng.integers(9, size=n)} for n in (4, 2, 1)]
    found = Collected(most)
    for batch in batches:
        found.add(batch)
    arrays = found.arrays()
    assert found.done == 7
    for name in ("a", "b"):
        expected = np.concatenate([batch[name] for batch in batches])
        assert arrays[name].dtype == expected.dtype and np.array_equal(arrays[name], expected)
        assert not any(np.shares_memory(arrays[name], batch[name]) for batch in batches)
