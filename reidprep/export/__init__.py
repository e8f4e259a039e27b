"""Poses and shards in the formats of other tools (docs/exporting.md)."""
