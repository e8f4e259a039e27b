"""Keypoint documents as the tools write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidprep.skeleton import COCO17_JOINTS

COCO_NAMES = [name.replace("l_", "left_").replace("r_", "right_") for name in COCO17_JOINTS]


def points(count: int, seed: int = 0) -> np.ndarray:
    """(count, 3) of x, y in a 64 x 128 image, score, as float32 values."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(1, 63, count), rng.uniform(1, 127, count), rng.uniform(0.1, 1, count)]).astype(
        np.float32
    )


def standing(x: float = 32, score: float = 0.9) -> np.ndarray:
    """A person upright in a 64 x 128 image, around x."""
    y = [10, 20, 22, 40, 55, 22, 40, 55, 65, 90, 118, 65, 90, 118, 8, 8, 9, 9]
    side = [0, 0, -8, -10, -10, 8, 10, 10, -5, -5, -5, 5, 5, 5, -2, 2, -4, 4]
    return np.column_stack([np.add(side, x), y, np.full(18, score)]).astype(np.float32)


def openpose(*people: np.ndarray) -> dict[str, Any]:
    return {
        "version": 1.3,
        "people": [
            {"person_id": [-1], "pose_keypoints_2d": person.ravel().tolist(), "face_keypoints_2d": []}
            for person in people
        ],
    }


def mmpose(*people: np.ndarray) -> list[dict[str, Any]]:
    # bbox is a list in a list, as mmpose 1.3 writes it.
    return [
        {
            "keypoints": person[:, :2].tolist(),
            "keypoint_scores": person[:, 2].tolist(),
            "bbox": [[0.0, 0.0, 64.0, 128.0]],
            "bbox_score": 1.0,
        }
        for person in people
    ]


def coco(images: dict[str, list[np.ndarray]], **changes: Any) -> dict[str, Any]:
    names = list(images)
    annotations = [
        {"image_id": number, "category_id": 1, "keypoints": person.ravel().tolist(), "iscrowd": 0}
        for number, name in enumerate(names)
        for person in images[name]
    ]
    return {
        "images": [{"id": number, "file_name": name, "width": 64, "height": 128} for number, name in enumerate(names)],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations)],
        "categories": [{"id": 1, "name": "person", "keypoints": COCO_NAMES}],
        **changes,
    }


@pytest.fixture
def write(tmp_path: Path):
    def write_document(name: str, document: Any) -> Path:
        file = tmp_path / "keypoints" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(document, bytes):
            file.write_bytes(document)
        else:
            file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return file

    return write_document
