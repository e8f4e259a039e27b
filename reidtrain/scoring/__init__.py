"""Scores of trained networks on query and gallery images of shards (docs/evaluation.md)."""

from .images import RankedImages, held_out_images, protocol_of, query_gallery_images
from .scores import RANKS, Scoring, named_scores, score_features

__all__ = [
    "RANKS",
    "RankedImages",
    "Scoring",
    "held_out_images",
    "named_scores",
    "protocol_of",
    "query_gallery_images",
    "score_features",
]
