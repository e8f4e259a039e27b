import numpy as np
import pytest

from reidprep.errors import ReidError
from reidtrain.plots.ranked_cards import choose_queries

PRECISION = np.array([0.5, np.nan, 0.1, 0.9, 0.1, 1.0])


def test_the_worst_queries_come_first_and_have_a_match() -> None:
    assert choose_queries(PRECISION, 3, worst=True).tolist() == [2, 4, 0]
    assert choose_queries(PRECISION, 99, worst=True).tolist() == [2, 4, 0, 3, 5]


def test_queries_spread_evenly() -> None:
    assert choose_queries(PRECISION, 3).tolist() == [0, 2, 4]
    assert choose_queries(PRECISION, 99).tolist() == [0, 1, 2, 3, 4, 5]


def test_random_queries_depend_on_the_generator_alone() -> None:
    precision = np.zeros(1000)
    one, same, other = (choose_queries(precision, 20, generator=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.tolist() == same.tolist() != other.tolist()
    assert sorted(set(one.tolist())) == one.tolist() and len(one) == 20
    assert len(choose_queries(precision[:3], 20, generator=np.random.default_rng(1))) == 3


def test_wrong_choices() -> None:
    with pytest.raises(ReidError, match="show 1 or more"):
        choose_queries(PRECISION, 0)
    with pytest.raises(ReidError, match="not both"):
        choose_queries(PRECISION, 1, worst=True, generator=np.random.default_rng(0))
