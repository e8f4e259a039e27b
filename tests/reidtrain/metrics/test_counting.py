import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.metrics.counting import count_at_most, search_rows, sorted_rows


def oracle(rows, which, limits):
    return [np.count_nonzero(rows[row] <= limit) for row, limit in zip(which, limits, strict=True)]


@st.composite
def questions(draw):
    """Rows of few values, many values, or a wide spread, and limits taken from them or from anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, width = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 7, 130, 700]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64]))
    rows = rng.integers(0, draw(st.sampled_from([1, 3, 120])), (count, width)).astype(dtype)
    which = np.sort(rng.integers(0, count, draw(st.sampled_from([0, 1, 2, 12, 100]))))
    taken = rows[which, rng.integers(0, width, len(which))]
    return rows, which, np.where(rng.random(len(which)) < 0.8, taken, rng.integers(0, 120, len(which)).astype(dtype))


@settings(max_examples=100)
@given(questions())
def test_equals_counting_one_by_one(question):
    rows, which, limits = question
    assert count_at_most(rows, which, limits).tolist() == oracle(*question)


@given(questions())
def test_bisection_equals_counting(question):
    rows, which, limits = question
    sizes = np.random.default_rng(0).integers(0, rows.shape[1] + 1, len(rows))
    ragged = [row[:size] for row, size in zip(rows, sizes, strict=True)]
    ordered = sorted_rows(np.concatenate(ragged), sizes)
    assert search_rows(ordered, sizes, which, limits).tolist() == oracle(ragged, which, limits)


@pytest.mark.parametrize("width", [2039, 2040, 2041, 40_000])
def test_counts_above_what_a_byte_holds(width):
    rows = np.tile(np.arange(width, dtype=np.float32), (3, 1))
    limits = np.array([width, width // 2, 10, -1], np.float32)
    which = np.array([0, 1, 2, 2])
    assert count_at_most(rows, which, limits).tolist() == [width, width // 2 + 1, 11, 0]


@pytest.mark.parametrize("extreme", [np.inf, -np.inf])
def test_limits_beyond_every_number(extreme):
    rows = np.zeros((2, 300), np.float32)
    assert count_at_most(rows, np.array([0, 1]), np.full(2, extreme, np.float32)).tolist() == [300 * (extreme > 0)] * 2


@pytest.mark.parametrize("share_near", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("order", ["C", "F"])
def test_more_rows_than_are_taken_at_once(order, share_near):
    rng = np.random.default_rng(0)
    rows = rng.permuted(np.tile(np.arange(500, dtype=np.float32), (1500, 1)), axis=1)
    which = np.sort(rng.integers(0, 1500, 9000))
    limits = rng.integers(0, np.where(rng.random(9000) < share_near, 5, 500)).astype(np.float32)
    found = count_at_most(np.asarray(rows, order=order), which, limits)
    np.testing.assert_array_equal(found, limits + 1)


@pytest.mark.parametrize("row", [0, 700, 1499])
def test_the_row_of_a_distance_that_is_not_finite_is_named(row):
    rows = np.zeros((1500, 500), np.float32)
    rows[row, 77] = np.nan
    with pytest.raises(ReidError, match=f"query {row} and gallery image 77 is nan"):
        count_at_most(rows, np.arange(1500), np.ones(1500, np.float32))


def test_a_sum_may_overflow():
    rows = np.full((3, 9), np.finfo(np.float32).max)
    assert count_at_most(rows, np.arange(3), rows[:, 0]).tolist() == [9, 9, 9]
