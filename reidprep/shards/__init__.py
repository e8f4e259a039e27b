"""Shards of pose-aligned crops: the file format and its reader (docs/shards-format.md).

Reading needs only h5py, msgspec, NumPy and OpenCV:

    shards = ShardSet.open("shards", split="train")
    sample = shards[0]
    sample.whole, sample.parts, sample.pid
    shards.pixels(0, ["image"])  # decodes nothing else
"""

from reidprep.alignment.align import Flag
from reidprep.shards.format import VIEWS, Sample, View
from reidprep.shards.reader import ShardSet

__all__ = ["VIEWS", "Flag", "Sample", "ShardSet", "View"]
