"""Poses and shards in the formats of other tools (docs/exporting.md)."""

from reidprep.exporting.coco import export_coco
from reidprep.exporting.exported import FORMATS, Exported, check_kind
from reidprep.exporting.openpose import export_openpose
from reidprep.exporting.webdataset import export_webdataset

__all__ = ["FORMATS", "Exported", "check_kind", "export_coco", "export_openpose", "export_webdataset"]
