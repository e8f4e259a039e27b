"""Turn person re-identification datasets into pose-aligned HDF5 shards."""

__version__ = "0.1.0"
