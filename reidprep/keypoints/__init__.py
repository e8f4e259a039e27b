"""Keypoints that other software wrote to files (docs/keypoint-files.md)."""

from __future__ import annotations

from reidprep.keypoints.matching import Match, Names, best_person, person_in_box
from reidprep.keypoints.reading import FORMATS, Keypoints, read_keypoints

__all__ = ["FORMATS", "Keypoints", "Match", "Names", "best_person", "person_in_box", "read_keypoints"]
