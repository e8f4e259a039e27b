import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidprep.inspect.charts import counted, histogram, round_step

finite = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=200)
@given(
    arrays(np.float32, st.integers(0, 200), elements=st.one_of(finite, st.just(np.nan), st.sampled_from([0, 0.3, 1])))
)
def test_every_value_is_in_the_one_bar_whose_address_holds_it(values: np.ndarray) -> None:
    bounds = []
    drawn = histogram(values, lambda low, high: bounds.append((low, high)) or f"{len(bounds)}")
    known = values[np.isfinite(values)]
    assert drawn.missing == len(values) - len(known)
    counts = [int(bar.text.split()[0].replace(",", "")) for bar in drawn.bars]
    assert sum(counts) == len(known) and drawn.most == max(counts, default=0)
    for (low, high), count in zip(bounds, counts, strict=True):
        inside = np.ones(len(known), dtype=bool)
        if low is not None:
            inside &= known >= np.float32(low)
        if high is not None:
            inside &= known <= np.float32(high)
        assert inside.sum() == count
    assert len(drawn.bars) < 60 and all(0 <= bar.share <= 1 for bar in drawn.bars)


@settings(max_examples=200)
@given(arrays(np.float32, st.integers(1, 200), elements=st.integers(0, 5000)))
def test_whole_numbers_have_whole_bounds(values: np.ndarray) -> None:
    bounds = []
    histogram(values, lambda low, high: bounds.append((low, high)) or "", whole=True)
    assert all(bound is None or float(bound).is_integer() for pair in bounds for bound in pair)
    pairs = [(int(low), int(high)) for low, high in bounds if low is not None and high is not None]
    assert all(low <= high for low, high in pairs)


def test_few_far_values_do_not_make_the_others_one_bar() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [500.0]]).astype(np.float32)
    drawn = histogram(values, lambda low, high: "")
    assert len(drawn.bars) > 15 and drawn.bars[-1].label.endswith("and more") and drawn.high.startswith(">")


@pytest.mark.parametrize(
    ("least", "whole", "step"),
    [
        (0.11, False, 0.2),
        (0.2, False, 0.2),
        (0.21, False, 0.5),
        (7, False, 10),
        (0.3, True, 1),
        (1.5, True, 2),
        (0, True, 1),
    ],
)
def test_steps_are_round(least: float, whole: bool, step: float) -> None:
    assert round_step(least, whole) == pytest.approx(step)


def test_counts_with_shares() -> None:
    bars = counted([("a", 1, "/a"), ("b", 4, "/b")], 8)
    assert [(bar.text, bar.share) for bar in bars] == [("1 (12.5%)", 0.25), ("4 (50.0%)", 1.0)]
    assert counted([("a", 0, "/")], 0)[0].share == 0
