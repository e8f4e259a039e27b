import re

import numpy as np
import pytest

from reidprep.estimators.base import PoseEstimator
from reidprep.images import image_list

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)


def test_an_image_alone_is_one_image(estimator: PoseEstimator) -> None:
    alone = estimator(IMAGE)
    assert alone.shape == (1, 18, 3)
    np.testing.assert_array_equal(alone, estimator([IMAGE]))
    np.testing.assert_array_equal(estimator(np.stack([IMAGE] * 2)), np.repeat(alone, 2, axis=0))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGE / 255, "image 0 is float64: if it is 0 to 1, take (image * 255).round().astype(np.uint8); an image is"),
        ([IMAGE, IMAGE.astype(np.int64)], "image 1 is int64: if it is 0 to 255, take image.astype(np.uint8)"),
        (IMAGE[..., 0], "image 0 has shape (64, 32), it is grey: make it RGB by np.stack([image] * 3, axis=-1)"),
        ([IMAGE[..., [0, 1, 2, 0]]], "image 0 has shape (64, 32, 4): leave out the fourth channel by image[..., :3]"),
        (IMAGE.transpose(2, 0, 1), "image 0 has shape (3, 64, 32), channels first: put them last by"),
        ([IMAGE[:0]], "image 0 has shape (0, 32, 3); an image is a NumPy array (height, width, 3) of uint8, RGB"),
        ([IMAGE[..., :2]], "image 0 has shape (64, 32, 2);"),
        (["a.jpg"], "image 0 is a str: read files by reidprep.read_image"),
        ("a.jpg", "image 0 is a str"),
    ],
)
def test_what_is_no_image_is_said_with_the_remedy(images: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        image_list(images)  # type: ignore[arg-type]
