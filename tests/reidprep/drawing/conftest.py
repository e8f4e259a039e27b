import numpy as np
import pytest

from reidprep.shards.format import Sample


@pytest.fixture
def person(sample: Sample) -> dict[str, np.ndarray]:
    """What `compose` takes of a sample in a 64x128 image."""
    return {
        "joints": sample.joints_filled,
        "filled": sample.filled,
        "scores": sample.joints[:, 2],
        "boxes": sample.boxes,
    }
