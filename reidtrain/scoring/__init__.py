"""Scores of trained networks on query and gallery images of shards (docs/evaluation.md)."""

from .images import RankedImages, held_out_images, protocol_of, query_gallery_images
from .scores import Scoring, named_scores, score_features

__all__ = [
    "RankedImages",
    "Scoring",
    "held_out_images",
    "named_scores",
    "protocol_of",
    "score_features",
    "query_gallery_images",
]
