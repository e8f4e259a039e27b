"""The papers' tables, measured here (docs/reproducing.md)."""
