"""Dataset readers: a folder or file on disk -> an ordered list of records and a source of images."""

from __future__ import annotations

from reidprep.datasets.base import Dataset, ImageSource
from reidprep.datasets.images import FolderImages
from reidprep.datasets.registry import READERS, open_dataset, open_images
from reidprep.datasets.summary import describe

__all__ = [
    "READERS",
    "Dataset",
    "FolderImages",
    "ImageSource",
    "describe",
    "open_dataset",
    "open_images",
]
