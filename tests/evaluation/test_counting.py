import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidtrain.evaluation.counting import count_at_most, search_rows, sorted_rows


def oracle(rows, which, limits):
    return [sum(value <= limit for value in rows[row].tolist()) for row, limit in zip(which, limits, strict=True)]


@st.composite
def questions(draw):
    """Rows of few values, many values, or a wide spread, and limits taken from them or from anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, width = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 7, 130, 700]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64]))
    rows = rng.integers(0, draw(st.sampled_from([1, 3, 120])), (count, width)).astype(dtype)
    which = np.sort(rng.integers(0, count, draw(st.integers(0, 12))))
    taken = rows[which, rng.integers(0, width, len(which))]
    return rows, which, np.where(rng.random(len(which)) < 0.8, taken, rng.integers(0, 120, len(which)).astype(dtype))


@settings(max_examples=200)
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
