"""Look at shards or poses in a browser (docs/inspect.md)."""
