"""Features of the samples of shards: computing them, and the files they are kept in (docs/features-format.md)."""
