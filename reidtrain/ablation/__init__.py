"""The papers' tables: their figures, and the same rows measured here (docs/reproducing.md)."""
