"""The first stage: pose directories, as `extract-poses` writes and `build-shards` reads them (docs/poses-format.md)."""

from reidprep.poses.reader import PoseSet

__all__ = ["PoseSet"]
