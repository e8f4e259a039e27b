"""Drawn features and labels with the sizes of Market-1501's test set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUERIES, GALLERY, DISTRACTORS, PERSONS, CAMERAS = 3368, 15913, 2798, 750, 6


def draw(dimension: int, gallery: int = GALLERY, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Arrays as `evaluate_features` takes them; mAP is about 0.75. A larger gallery has more distractors."""
    rng = np.random.default_rng(seed)
    distractors = gallery - GALLERY + DISTRACTORS
    gallery_pids = np.concatenate([np.zeros(distractors, int), rng.integers(1, PERSONS + 1, gallery - distractors)])
    query_pids = rng.integers(1, PERSONS + 1, QUERIES)
    centres = rng.normal(size=(PERSONS + 1, dimension)).astype(np.float32)

    def features(pids: NDArray[Any]) -> NDArray[np.float32]:
        # Images differ in how typical of their person they are, distractors are all persons of their own.
        noise = rng.normal(size=(len(pids), dimension)).astype(np.float32)
        spread = rng.uniform(0.5, 3.3, (len(pids), 1)).astype(np.float32)
        result = np.where(pids[:, None] == 0, 1.5 * noise, centres[pids] + spread * noise)
        unit: NDArray[np.float32] = result / np.linalg.norm(result, axis=1, keepdims=True)
        return unit

    return {
        "query_features": features(query_pids),
        "gallery_features": features(gallery_pids),
        "query_pids": query_pids,
        "gallery_pids": gallery_pids,
        "query_camids": rng.integers(0, CAMERAS, QUERIES),
        "gallery_camids": rng.integers(0, CAMERAS, gallery),
    }
