"""Image classification data, to pre-train the networks on (docs/pretraining.md)."""

from .base import ClassificationData, ClassificationSplit
from .dataset import ClassificationDataset, channel_means, classification_dataset
from .opening import open_classification

__all__ = [
    "ClassificationData",
    "ClassificationDataset",
    "ClassificationSplit",
    "channel_means",
    "classification_dataset",
    "open_classification",
]
