from pathlib import Path

import numpy as np
import pytest

from reidprep.alignment.align import align
from reidprep.alignment.boxes import DEFAULT_BETA
from reidprep.alignment.canonical import load
from reidprep.estimators.base import PoseEstimator
from reidprep.images import read_image


def test_left_to_itself_it_aligns_as_build_shards(drawn: Path, estimator: PoseEstimator) -> None:
    image = read_image(next(drawn.glob("query/*.jpg")))
    joints, sizes = estimator(image), [image.shape[1::-1]]
    told = align(joints, np.array(sizes), load(), alignment="pose", beta=DEFAULT_BETA, confidence=estimator.confidence)
    for name, values in vars(align(joints, sizes)).items():
        np.testing.assert_array_equal(values, getattr(told, name))


def test_an_unknown_alignment_is_refused() -> None:
    with pytest.raises(ValueError, match="one of pose, strips, not 'strip'"):
        align(np.zeros((1, 18, 3)), [(64, 128)], alignment="strip")  # type: ignore[arg-type]
