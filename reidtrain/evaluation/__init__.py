"""Person re-identification metrics for any features: CMC, mAP, mINP, k-reciprocal re-ranking."""

from .distances import Metric
from .evaluate import evaluate_features, evaluate_ranking
from .metrics import APVariant, RankingMetrics, average_splits
from .protocols import PROTOCOLS, Protocol

__all__ = [
    "PROTOCOLS",
    "APVariant",
    "Metric",
    "Protocol",
    "RankingMetrics",
    "average_splits",
    "evaluate_features",
    "evaluate_ranking",
]
