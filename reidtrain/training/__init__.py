"""Training of both networks (docs/training.md)."""
