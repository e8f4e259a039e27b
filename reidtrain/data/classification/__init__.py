"""Image classification data, to pre-train the networks on (docs/pretraining.md)."""
