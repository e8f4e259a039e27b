"""DukeMTMC-reID (Ristani et al., ECCVW 2016; Zheng et al., ICCV 2017)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reidprep.datasets.base import Listing, Reader
from reidprep.datasets.images import FolderImages
from reidprep.datasets.labels import NUMBER
from reidprep.datasets.market1501 import has_layout, list_layout, pattern
from reidprep.records import Record, Split

# 0001_c2_f0046182.jpg: person, camera, frame.
_NAME = pattern(rf"(-1|{NUMBER})_c({NUMBER})_f({NUMBER})")


def _find(source: Path) -> Path | None:
    return source if has_layout(source, _NAME) else None


def _record(match: re.Match[str], path: str, split: Split) -> Record:
    pid, camid, frame = (int(group) for group in match.groups())
    return Record(path, pid, camid, split, frame=frame)


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    return list_layout(root, _NAME, _record)


READER = Reader(
    looked_for=(
        "a folder with bounding_box_train, query and bounding_box_test, "
        "and images in them named like 0001_c2_f0046182.jpg"
    ),
    options={},
    find=_find,
    list_records=_list,
    open_images=FolderImages,
)
