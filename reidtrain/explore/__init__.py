"""A run in the browser: what it ranked, what it confuses, and which labels it contradicts (docs/inspect.md)."""
