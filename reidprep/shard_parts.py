"""Make the part files of a shard directory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.alignment import Alignment, align
from reidprep.canonical import CanonicalPoses
from reidprep.crops import crop_box
from reidprep.datasets import ImageSource
from reidprep.engines import Advance
from reidprep.errors import ImageError
from reidprep.files import write_file
from reidprep.jpeg import encode_jpeg
from reidprep.manifest import Part
from reidprep.pipeline import ordered_map, single_threaded, worker_processes
from reidprep.pose_parts import check_readable
from reidprep.poses import Piece, Poses, read_pieces, take
from reidprep.shards.format import image_shapes, shard_bytes
from reidprep.shards.sample import Flag


@dataclass(frozen=True)
class ShardTask:
    """One shard: its file name, and the poses that it is to hold, all of one split."""

    name: str
    split: str
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """How many poses."""
        return sum(len(piece.rows) for piece in self.pieces)


@dataclass(frozen=True)
class ShardJob:
    """Aligns poses, cuts crops and encodes them; see `reidprep.engines.Job`.

    Attributes:
        out: the shard directory.
        poses: the pose directory.
        images: reads the images.
        canonical: poses to fill gaps from.
        plan: the plan of the shard directory.
        readable: path of an image that can be read.
    """

    out: Path
    poses: Path
    images: ImageSource
    canonical: CanonicalPoses
    plan: Mapping[str, Any]
    readable: str

    def start(self) -> Callable[[ShardTask], Part]:
        """See `reidprep.engines.Job.start`."""
        check_readable(self.images, self.readable)
        return partial(_make, self)

    def make_all(self, tasks: Sequence[ShardTask], workers: int, advance: Advance) -> Generator[Part, None, None]:
        """See `reidprep.engines.Job.make_all`; workers are processes, one is this process."""
        for part in self._made(tasks, workers):
            advance(part.rows + len(part.skipped))
            yield part

    def _made(self, tasks: Sequence[ShardTask], workers: int) -> Generator[Part, None, None]:
        make = partial(_make, self)
        if workers == 1:
            with single_threaded():
                yield from map(make, tasks)
        else:
            with worker_processes(workers) as pool:
                yield from ordered_map(pool, make, tasks, ahead=2 * workers)


def aligned(poses: Poses, canonical: CanonicalPoses, plan: Mapping[str, Any]) -> Alignment:
    """Fill the gaps of poses and place their boxes, as a shard directory's plan has it."""
    chosen = {name: plan[name] for name in ("alignment", "beta", "confidence")}
    return align(poses.joints, poses.image_sizes, canonical, **chosen)


def _make(job: ShardJob, task: ShardTask) -> Part:
    plan = job.plan
    poses = read_pieces(job.poses, task.pieces)
    shapes = image_shapes(plan)
    sums = np.zeros((len(shapes), 3))
    kept: list[int] = []
    skipped: list[dict[str, str]] = []
    encoded: list[list[bytes]] = []
    alignment = aligned(poses, job.canonical, plan)
    for row, path in enumerate(poses.paths):
        try:
            image = job.images.read(str(path))
            if image.shape[1::-1] != tuple(poses.image_sizes[row]):
                raise ImageError(
                    f"is {image.shape[1]}x{image.shape[0]} now, was "
                    f"{poses.image_sizes[row][0]}x{poses.image_sizes[row][1]} when its pose was estimated"
                )
        except ImageError as error:
            skipped.append({"path": str(path), "reason": str(error)})
            continue
        crops = cut_crops(image, alignment.boxes[row], shapes, plan["border"])
        sums += [cv2.sumElems(crop)[:3] for crop in crops]
        encoded.append(
            [encode_jpeg(crop, plan["quality"]) if plan["encoding"] == "jpeg" else crop.tobytes() for crop in crops]
        )
        kept.append(row)

    rows = np.array(kept, dtype=np.int64)
    columns = _columns(take(poses, rows), alignment.take(rows))
    return Part(
        name=task.name,
        rows=len(kept),
        sha256=write_file(job.out / task.name, shard_bytes(columns, encoded, plan)),
        skipped=tuple(skipped),
        statistics={
            "split": task.split,
            "pids": sorted({int(pid) for pid in columns["pids"]}),
            "channel_sums": sums.astype(np.int64).tolist(),
            "joints_filled": columns["filled"].sum(axis=0).tolist(),
            "flags": {flag.name: int((columns["flags"] & flag > 0).sum()) for flag in Flag},
        },
    )


def cut_crops(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    shapes: Sequence[tuple[int, int, int]],
    border: Sequence[float],
) -> list[NDArray[np.uint8]]:
    """The images of one sample: whole body, parts and, if `shapes` has one more, the plain resized image.

    Args:
        image: (h, w, 3) uint8.
        boxes: (5, 4) xyxy in source pixels.
        shapes: what `reidprep.shards.format.image_shapes` says.
        border: colour outside the image.
    """
    height, width = image.shape[:2]
    whole_image = np.array([[0, 0, width, height]], dtype=np.float32)
    return [
        crop_box(image, box, shape[:2], border)
        for box, shape in zip(np.concatenate([boxes, whole_image]), shapes, strict=False)
    ]


def _columns(poses: Poses, aligned: Alignment) -> dict[str, NDArray[Any]]:
    return {
        "paths": poses.paths,
        "pids": poses.pids,
        "camids": poses.camids,
        "sequences": poses.sequences,
        "frames": poses.frames,
        "joints": poses.joints,
        "joints_filled": aligned.joints,
        "filled": aligned.filled,
        "boxes": aligned.boxes,
        "residuals": aligned.residuals,
        "flags": aligned.flags,
        "image_sizes": poses.image_sizes,
    }
