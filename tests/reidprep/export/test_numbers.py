import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidprep.export.base import exact


@given(arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_numbers_survive_json(values: np.ndarray) -> None:
    back = np.array(json.loads(json.dumps(exact(values), allow_nan=False)), np.float64).astype(np.float32)
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))


def test_every_exponent_survives() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)[np.isfinite(bits.view(np.float32))]
    np.testing.assert_array_equal(np.array(exact(values)).astype(np.float32), values)


def test_numbers_are_short_and_what_json_cannot_say_is_none() -> None:
    values = np.array([[0.1, 33.061066], [np.nan, -np.inf]], np.float32)
    assert exact(values) == [[0.1, 33.061066], [None, None]]
    assert exact(values[0, 0]) == 0.1
