"""From shards to batches on the training device (docs/losses-and-data.md)."""

from reidprep.shards.format import View
from reidtrain.data.dataset import Batch, Item, ShardDataset, collate
from reidtrain.data.preprocessing import Augmentation, ChannelMeans, Preprocessor
from reidtrain.data.samplers import IdentityBatchSampler, ShuffledBatchSampler

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
