"""Scores of trained networks on shards, beside the papers' (docs/evaluation.md)."""
