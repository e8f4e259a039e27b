import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidprep.preview.selection import Selection, choose, matching

PIDS = np.array([2, 2, 2, 2, 7, 7, 11, -1])
SPLITS = np.array(["train"] * 6 + ["query", "gallery"])


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


def chosen(selection: Selection, doubts: np.ndarray | None = None) -> list[int]:
    candidates = matching(PIDS, SPLITS, selection.split, selection.ids)
    return choose(candidates, PIDS, np.zeros(len(PIDS)) if doubts is None else doubts, selection, generator()).tolist()


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5, 6, 7]),
        (Selection(limit=4), [0, 2, 4, 6]),
        (Selection(split="train", limit=3), [0, 2, 4]),
        (Selection(ids=(7, 2)), [0, 1, 2, 3, 4, 5]),
        (Selection(ids=(7, 2), limit=3), [0, 1, 4]),
        (Selection(ids=(-1,)), [7]),
    ],
)
def test_what_is_shown(selection: Selection, expected: list[int]) -> None:
    assert chosen(selection) == expected


def test_flagged_is_worst_first_and_keeps_the_order_among_equals() -> None:
    doubts = np.array([0, 3, 0, 9, 1, 3, 0, 0.5])
    assert chosen(Selection(flagged=True, limit=5), doubts) == [3, 1, 5, 4, 7]
    assert chosen(Selection(flagged=True, split="train", limit=2), doubts) == [3, 1]


@given(st.integers(1, 12), st.integers(0, 2**32))
def test_random_is_without_repetition_and_the_same_for_a_seed(limit: int, seed: int) -> None:
    selection = Selection(random=seed, limit=limit)
    first, second = (
        choose(np.arange(2, 8), PIDS, np.zeros(8), selection, np.random.default_rng(seed)).tolist() for _ in range(2)
    )
    assert first == second == sorted(set(first))
    assert len(first) == min(limit, 6) and set(first) <= set(range(2, 8))


def test_random_seeds_differ() -> None:
    candidates, pids, doubts = np.arange(1000), np.zeros(1000, np.int64), np.zeros(1000)
    one, two = (
        choose(candidates, pids, doubts, Selection(random=seed), np.random.default_rng(seed)).tolist()
        for seed in (1, 2)
    )
    assert one != two


@pytest.mark.parametrize(
    ("split", "ids", "message"),
    [("query", (2,), "no image of person 2 in the query split"), (None, (2, 8, 9), "person 8, 9 in these shards")],
)
def test_persons_that_are_not_there_are_named(split: str | None, ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(ReidError, match=message):
        matching(PIDS, SPLITS, split, ids)


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(ReidError, match="no sample in the gallery split"):
        matching(PIDS[:6], SPLITS[:6], "gallery", ())


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"random": -1}, {"random": 1, "flagged": True}, {"split": "test"}], ids=str
)
def test_selections_without_sense_are_refused(options: dict) -> None:
    with pytest.raises(ReidError):
        Selection(**options)
