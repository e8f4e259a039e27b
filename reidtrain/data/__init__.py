"""From shards to batches on the training device (docs/losses-and-data.md)."""

from reidprep.shards import View
from reidtrain.data.dataset import Batch, Item, ShardDataset, collate
from reidtrain.data.samplers import IdentityBatchSampler, ShuffledBatchSampler
from reidtrain.data.transforms import Augmentation, ChannelMeans, Preprocessor

__all__ = [
    "Augmentation",
    "Batch",
    "ChannelMeans",
    "IdentityBatchSampler",
    "Item",
    "Preprocessor",
    "ShardDataset",
    "ShuffledBatchSampler",
    "View",
    "collate",
]
