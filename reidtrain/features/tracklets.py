"""Features of tracklets: those of the images of one person at one camera that follow each other, as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidtrain.features.files import Features


def pooled(features: Features) -> Features:
    """Features with one sample for each tracklet: the mean over its images, scaled to length 1.

    Images of one tracklet agree in person, camera and number of the tracklet; one with the number -1 stands for itself.
    Images that could not be used are missing from the mean, and a tracklet without any is not there.

    Args:
        features: of n images; without tracklets they are returned as they are.

    Returns:
        Of m tracklets, in the order of their first images, with the paths of these.

    Example:
        >>> import numpy as np
        >>> from reidtrain.features.files import Features
        >>> values = np.array([[3.0, 0.0], [0.0, 4.0], [5.0, 0.0]], np.float32)
        >>> ones = np.ones(3, np.int64)
        >>> pooled(Features({"embedding": values}, ones, ones, tracklets=np.array([7, 7, 8]))).embedding
        array([[0.6, 0.8],
               [1. , 0. ]], dtype=float32)
    """
    if features.tracklets is None:
        return features
    images = np.arange(len(features.pids))
    alone = np.where(features.tracklets < 0, images + 1, 0)
    keys = np.stack([features.pids, features.camids, features.tracklets, alone], axis=1)
    _, firsts, members = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    # From the number of a tracklet by its key to that by its first image.
    numbers = np.argsort(order)[members.reshape(-1)]
    firsts = firsts[order]
    return Features(
        {name: _unit_means(values, numbers, len(firsts)) for name, values in features.arrays.items()},
        features.pids[firsts],
        features.camids[firsts],
        None if features.paths is None else features.paths[firsts],
    )


def _unit_means(values: NDArray[Any], numbers: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Means of the rows that share a number, of length 1; the direction of a mean is that of the sum."""
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(count))
    sums = np.add.reduceat(values[order], starts, axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)
