"""Draw docs/images/pipeline.jpg, the picture of the README, from what `make demo` left.

    python scripts/readme_picture.py demo docs/images/pipeline.jpg [QUERY]

QUERY is the position of a person in the query split.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep import ShardSet, draw_pose, read_image
from reidprep.drawing.palette import BOX_COLOURS, FAINT, FRAME, Colour
from reidprep.drawing.sheets import Canvas
from reidtrain.evaluation.sources import Source, compared_features
from reidtrain.features.extractor import Computing
from reidtrain.plots.attention import load_viewed
from reidtrain.plots.attention_cards import attention_cards
from reidtrain.plots.ranked import RIGHT, WRONG, badge, rank_queries

TALL, GAP, EDGE, WORDS = 296, 40, 4, 24
TOP = 7
LIST_TOP = WORDS + TALL + 14


def main(demo: Path, out: Path, query: int) -> None:
    shards = ShardSet.open(demo / "shards", "query")
    sample = shards[query]
    computing = Computing("cpu", workers=0)
    features = compared_features([Source(demo / "run", demo / "shards")], computing)
    ranked = rank_queries(features, demo / "shards", count=len(shards), top=TOP)
    row = ranked.chosen.tolist().index(query)
    gallery, lists = ranked.gallery, ranked.rankings[0].lists
    ((_, rows),) = attention_cards(load_viewed([demo / "run"], demo / "shards", computing), shards, [query])[0].groups
    whole_body, parts = (each.panels for each in rows)

    pose = draw_pose(
        read_image((shards.path / shards.manifest.source / sample.path).resolve()),
        sample.joints_filled,
        sample.boxes,
        filled=sample.filled,
        size=2 * TALL,
    )
    canvas = Canvas(908, LIST_TOP + WORDS + 194 + 24)

    def show(x: int, y: int, picture: NDArray[np.uint8], size: tuple[int, int], words: str, colour: Any = FAINT) -> int:
        canvas.write(x, y - 10, words, 13, colour)
        canvas.show(x, y, picture, *size)
        return x + size[0] + GAP

    height, width = pose.shape[:2]
    x = show(0, WORDS, pose, (round(TALL * width / height), TALL), "image, joints and boxes")
    x = show(x, WORDS, sample.whole, (TALL // 2, TALL), "aligned body")
    for number, part in enumerate(sample.parts):
        place = WORDS + number * (TALL + 7) // 4
        canvas.show(x, place, part, TALL // 2, (TALL - 3 * 7) // 4)
        canvas.draw.rectangle((x, place, x + 5, place + (TALL - 3 * 7) // 4 - 1), BOX_COLOURS[1 + number])
    canvas.write(x, WORDS - 10, "four parts", 13, FAINT)
    x += TALL // 2 + GAP
    x = show(x, WORDS, whole_body[1].picture, (TALL // 2, TALL), "attention: body")
    show(x, WORDS, parts[1].picture, (TALL // 2, TALL), "attention: parts")

    def framed(x: int, picture: NDArray[np.uint8], frame: Colour, words: str) -> None:
        canvas.draw.rectangle((x, LIST_TOP + WORDS, x + 103, LIST_TOP + WORDS + 193), frame)
        canvas.show(x + EDGE, LIST_TOP + WORDS + EDGE, picture, 96, 186)
        canvas.write(x, LIST_TOP + WORDS + 206, words, 13, FAINT)

    canvas.write(
        0,
        LIST_TOP + WORDS - 12,
        "the images of the gallery that are nearest: right ones in green, wrong ones in red",
        13,
        FAINT,
    )
    framed(0, sample.whole, FRAME, f"query, camera {sample.camid}")
    for position in range(TOP):
        hit = gallery[int(lists.gallery[row, position])]
        right = bool(lists.right[row, position])
        x = 124 + position * 112
        framed(x, hit.whole, RIGHT if right else WRONG, f"{position + 1}, camera {hit.camid}")
        canvas.put(x + EDGE, LIST_TOP + WORDS + EDGE, badge(right))
    canvas.image.save(out, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
