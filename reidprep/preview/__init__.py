"""Look at shards: contact sheets and one self-contained page (docs/preview.md)."""

from __future__ import annotations

from reidprep.preview.selection import Selection
from reidprep.preview.write import PreviewSummary, write_preview

__all__ = ["PreviewSummary", "Selection", "write_preview"]
