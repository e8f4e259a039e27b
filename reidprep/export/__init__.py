"""Poses and shards in the formats of other tools (docs/export-data.md)."""
