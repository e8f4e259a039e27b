"""Filters and orders against a loop over single samples."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.alignment.align import Flag
from reidprep.inspect.app import open_samples
from reidprep.inspect.index import Index, share_outside
from reidprep.inspect.query import FLAGS, RANGES, SORTS, Filter, View, parse
from reidprep.inspect.selection import Excluded, Selector
from reidprep.records import SPLITS
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS


@dataclass(frozen=True)
class Made:
    """Samples made by hand: as they are opened to look at, and one by one."""

    index: Index
    rows: list[dict[str, Any]]
    splits: list[str]
    measures: list[dict[str, float]]


@pytest.fixture(scope="module")
def made(write_by_hand, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """120 samples of a few people in three files."""
    names = [f"Cam{n % 3}/IMG_{n:03d}{'ß' if n % 5 else ''}.jpg" for n in range(120)]
    content = {"train": names[:60], "query": names[60:90], "gallery": names[90:]}
    path = write_by_hand(tmp_path_factory.mktemp("filters") / "by hand", content)
    shards = ShardSet.open(path)
    rows = [shards.row(index) for index in range(len(shards))]
    splits = [part.statistics.split for part in shards.files for _ in range(part.rows)]
    pids = shards.pids.tolist()
    return Made(open_samples(path).index, rows, splits, [measures(row, pids) for row in rows])


def measures(row: dict[str, Any], pids: list[int]) -> dict[str, float]:
    """The measures of a sample, one by one."""
    x0, y0, x1, y1 = (float(value) for value in row["boxes"][0])
    width, height = (int(value) for value in row["image_sizes"])
    inside = max(0, min(x1, width) - max(x0, 0)) * max(0, min(y1, height) - max(y0, 0))
    same = sum(pid == int(row["pids"]) for pid in pids)
    return {
        "filled": float(row["filled"].sum()),
        "score": float(np.float32(sum(float(score) for score in row["joints"][:, 2]) / 18)),
        "residual": float(row["residuals"]),
        "height": y1 - y0,
        "outside": 1 - inside / ((x1 - x0) * (y1 - y0)),
        "images": math.nan if row["pids"] == -1 else float(same),
    }


def fits(made: Made, index: int, chosen: Filter, excluded: bool) -> bool:
    """Whether a filter leaves a sample in."""
    row, split, found = made.rows[index], made.splits[index], made.measures[index]
    flags = int(row["flags"])
    known = {flag.name.lower(): bool(flags & flag) for flag in Flag}
    known |= {"any": flags != 0, "none": flags == 0, "excluded": excluded, "damaged": False}
    return (
        (chosen.split is None or split == chosen.split)
        and (not chosen.pids or int(row["pids"]) in chosen.pids)
        and (not chosen.cameras or int(row["camids"]) in chosen.cameras)
        and chosen.path.lower() in str(row["paths"]).lower()
        and all(known[flag] for flag in chosen.flags)
        and (chosen.joint is None or bool(row["filled"][JOINTS.index(chosen.joint)]))
        and all(
            (low is None or found[name] >= low - 1e-6) and (high is None or found[name] <= high + 1e-6)
            for name, low, high in chosen.ranges
        )
    )


# Not at the values themselves, where rounding decides.
bound = st.one_of(st.none(), st.integers(-1, 40).map(lambda n: n / 2 + 0.0703), st.floats(0, 1).map(lambda n: n + 7e-4))
filters = st.builds(
    Filter,
    split=st.sampled_from([None, None, *SPLITS]),
    pids=st.sampled_from([(), (), (-1,), (2, 3), (99,)]),
    cameras=st.sampled_from([(), (), (1,), (2, 3)]),
    path=st.sampled_from(["", "", "cam1", "IMG_01", "ß", "SS", "jpgcam", "x" * 30]),
    flags=st.sampled_from([(), (), *((flag,) for flag in FLAGS), ("few_joints", "truncated")]),
    joint=st.sampled_from([None, None, "nose", "l_ear"]),
    ranges=st.lists(
        st.tuples(st.sampled_from(sorted(RANGES)), bound, bound), max_size=2, unique_by=lambda entry: entry[0]
    ).map(tuple),
)


@settings(max_examples=30)
@given(filter=filters, seed=st.integers(0, 3))
def test_filters_leave_what_a_loop_leaves(made: Made, filter: Filter, seed: int) -> None:
    mask = np.random.default_rng(seed).random(len(made.rows)) < 0.3
    found = Selector(made.index).rows(filter, Excluded(mask, 1))
    assert found.tolist() == [i for i in range(len(made.rows)) if fits(made, i, filter, bool(mask[i]))]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", [sort for sort in SORTS if not sort.startswith("score-")] + ["score-nose"])
def test_orders(made: Made, sort: str, descending: bool) -> None:
    rows = made.rows
    none = Excluded(np.zeros(len(rows), dtype=np.bool_), 1)
    selector = Selector(made.index)
    found = selector.rows(Filter(sort=sort, descending=descending), none).tolist()
    if sort == "doubt":
        keys = [doubt_of(row) for row in rows]
    elif sort in ("index", "pid", "camera", "path"):
        names = {"pid": "pids", "camera": "camids", "path": "paths"}
        keys = [i if sort == "index" else row[names[sort]] for i, row in enumerate(rows)]
    elif sort == "score-nose":
        keys = [float(row["joints"][0, 2]) for row in rows]
    else:
        # Rounded as the index has it, so that equal values are equal.
        keys = selector.measures[sort].tolist()
        assert keys == pytest.approx([measured[sort] for measured in made.measures], abs=1e-5, nan_ok=True)
    known = [i for i in range(len(rows)) if keys[i] == keys[i]]
    unknown = [i for i in range(len(rows)) if keys[i] != keys[i]]
    # Equal samples stay in their order, and those without a value come last.
    ordered = sorted(known, key=lambda i: keys[i])
    if descending:
        ordered = [i for key in sorted({keys[i] for i in known}, reverse=True) for i in known if keys[i] == key]
    assert found == ordered + unknown


def doubt_of(row: dict) -> float:
    from reidprep.alignment.doubt import doubt

    return float(doubt(*(np.array([row[name]]) for name in ("flags", "filled", "residuals")))[0])


@settings(max_examples=60)
@given(
    filter=filters,
    page=st.integers(1, 50),
    per_page=st.sampled_from([1, 60, 500]),
    show=st.sampled_from(["all", "whole"]),
    sort=st.sampled_from(sorted(SORTS)),
    descending=st.booleans(),
)
def test_an_address_says_all_of_a_view(filter, page, per_page, show, sort, descending) -> None:
    from dataclasses import replace
    from urllib.parse import parse_qsl

    ranges = tuple(
        sorted((entry for entry in filter.ranges if entry[1:] != (None, None)), key=lambda e: [*RANGES].index(e[0]))
    )
    flags = tuple(sorted(filter.flags, key=[*FLAGS].index))
    filter = replace(filter, sort=sort, descending=descending, ranges=ranges, flags=flags)
    view = View(filter, page, per_page, show)
    pairs = parse_qsl(view.text(page=page))
    assert parse(dict(pairs), [value for name, value in pairs if name == "flag"]) == view


def test_answers_are_kept_but_not_beyond_the_list_they_depend_on(made: Made) -> None:
    selector = Selector(made.index)
    first, second = (Excluded(np.arange(len(selector.index)) == n, n) for n in (1, 2))
    excluded = Filter(flags=("excluded",))
    assert selector.rows(excluded, first).tolist() == [1]
    assert selector.rows(excluded, second).tolist() == [2]
    assert selector.rows(Filter(split="train"), first) is selector.rows(Filter(split="train"), second)


@pytest.mark.parametrize(
    ("box", "size", "share"),
    [
        ((0, 0, 10, 10), (10, 10), 0),
        ((-5, 0, 5, 10), (10, 10), 0.5),
        ((0, 0, 20, 10), (10, 10), 0.5),
        ((0, 0, 10, 40), (10, 10), 0.75),
        ((20, 20, 30, 30), (10, 10), 1),
        ((-10, -10, 30, 30), (20, 20), 0.75),
        ((0, 0, 20, 10), None, 0),
        ((-5, -10, 5, 10), None, 0.75),
    ],
)
def test_share_outside(box: tuple, size: tuple | None, share: float) -> None:
    sizes = None if size is None else np.array([size], dtype=np.int32)
    assert share_outside(np.array([box], dtype=np.float32), sizes)[0] == pytest.approx(share)
