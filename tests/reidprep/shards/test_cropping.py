"""Crops made in memory are those that shards hold, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidprep.estimators.base import PoseEstimator
from reidprep.images import read_image
from reidprep.shards.cropping import Cropper, doubts
from reidprep.shards.format import VIEWS
from reidprep.shards.reader import ShardSet


def test_crops_are_those_of_the_shards(drawn: Path, drawn_shards: Path, estimator: PoseEstimator) -> None:
    shards = ShardSet.open(drawn_shards)
    samples = shards[::5]
    crops = Cropper(shards.plan, VIEWS, estimator)([read_image(drawn / sample.path) for sample in samples])
    assert crops.rows.tolist() == list(range(len(samples)))
    for row, sample in enumerate(samples):
        np.testing.assert_array_equal(crops.joints[row], sample.joints)
        assert crops.flags[row] == sample.flags
        for view in VIEWS:
            np.testing.assert_array_equal(crops.pixels[view][row], getattr(sample, view))


@pytest.mark.parametrize("view", VIEWS)
def test_only_the_crops_that_are_wanted_are_cut(view, drawn: Path, drawn_shards: Path, estimator) -> None:
    sample = ShardSet.open(drawn_shards, "query")[0]
    crops = Cropper(ShardSet.open(drawn_shards).plan, (view,), estimator)(read_image(drawn / sample.path))
    assert [*crops.pixels] == [view]
    np.testing.assert_array_equal(crops.pixels[view][0], getattr(sample, view))


def test_doubts_are_counted_by_their_words() -> None:
    assert doubts(np.array([1, 9, 0, 16], np.int32)) == {"few joints": 2, "truncated": 1, "wrong joint": 1}
