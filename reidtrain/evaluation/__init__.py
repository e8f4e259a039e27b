"""Person re-identification metrics for any features: CMC, mAP, mINP, k-reciprocal re-ranking."""

from .evaluate import evaluate_features, evaluate_ranking
from .metrics import APVariant, RankingMetrics, average_splits
from .protocols import PROTOCOLS, Protocol

__all__ = [
    "PROTOCOLS",
    "APVariant",
    "Protocol",
    "RankingMetrics",
    "average_splits",
    "evaluate_features",
    "evaluate_ranking",
]
