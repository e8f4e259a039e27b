import numpy as np
import pytest

from reidprep.shards.format import Sample
from reidprep.skeleton import INDEX


@pytest.fixture
def person(sample: Sample) -> dict[str, np.ndarray]:
    """What `compose` takes of a sample in a 64x128 image."""
    measured = sample.joints[:, :2].copy()
    measured[INDEX["r_elbow"], 0] -= 10
    return {
        "joints": sample.joints_filled,
        "filled": sample.filled,
        "scores": sample.joints[:, 2],
        "measured": measured,
        "boxes": sample.boxes,
    }
