"""Person re-identification metrics for any features: CMC, mAP, mINP, k-reciprocal re-ranking. Functions on arrays."""
