"""Fill gaps, place boxes, cut crops: pose directory -> shard directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import Alignment, Flag, align
from reidprep.alignment.boxes import DEFAULT_BETA
from reidprep.alignment.canonical import CanonicalPoses, load, to_json
from reidprep.datasets.base import ImageSource
from reidprep.datasets.images import check_readable
from reidprep.datasets.registry import open_images
from reidprep.errors import ImageError, ReidError
from reidprep.executors.base import Advance, Executor
from reidprep.executors.local import LocalExecutor, ordered_map, single_threaded, worker_processes
from reidprep.files import write_file
from reidprep.images import crop_box, encode_jpeg
from reidprep.poses.format import Poses, take
from reidprep.poses.reader import Piece, PoseSet, read_pieces
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS
from reidprep.shards.exclusions import excluded_rows, fingerprint
from reidprep.shards.format import SCHEMA, Size, View, full_sizes, image_shapes, shard_bytes
from reidprep.shards.sizes import Scale, source_sizes
from reidprep.store.manifest import Manifest, StoreFile
from reidprep.store.writer import StoreWriter, relative_source


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
    """Aligns poses, cuts crops and encodes them; see `reidprep.executors.base.Job`.

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

    def start(self) -> Callable[[ShardTask], StoreFile]:
        """See `reidprep.executors.base.Job.start`."""
        check_readable(self.images, self.readable)
        return partial(_make, self)

    def make_all(self, tasks: Sequence[ShardTask], workers: int, advance: Advance) -> Generator[StoreFile, None, None]:
        """See `reidprep.executors.base.Job.make_all`; workers are processes, one is this process."""
        for part in self._made(tasks, workers):
            advance(part.rows + len(part.skipped))
            yield part

    def _made(self, tasks: Sequence[ShardTask], workers: int) -> Generator[StoreFile, None, None]:
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


def _make(job: ShardJob, task: ShardTask) -> StoreFile:
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
    return StoreFile(
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


# A shard is put together in memory: about 25 MB of JPEG or 70 MB of raw crops.
SAMPLES_PER_SHARD = {"jpeg": 1024, "raw": 128}
# Enlarged crops have little detail to lose.
QUALITY: dict[Scale, int] = {"source": 95, "full": 90}
_PROBES = 16
# Poses, spread over the dataset, from which the stored sizes are chosen.
_SIZED = 4096


@dataclass(frozen=True)
class BuildOptions:
    """Parameters of `build_shards` that shape its output.

    Attributes:
        alignment: `pose` for Eq. 1-2 boxes, `strips` for the papers' baseline.
        beta: overlap of neighbouring parts as a fraction of the body height.
        confidence: score from which a joint counts as found, None for what the poses say.
        whole_size: height and width of the whole-body crop, as the network takes it.
        part_size: the same of a part crop.
        image_size: the same of the plain resized image, None to leave it out.
        scale: `source` stores crops no larger than the source images can fill (`reidprep.shards.sizes`), `full` at the
            sizes above.
        encoding: `jpeg` or `raw`.
        quality: JPEG quality, 1 to 100, None for what suits the scale.
        border: colour (red, green, blue) outside the image, None for the mean of the training images.
        samples_per_shard: samples per file, None for what suits the encoding.

    Example:
        >>> from reidprep import BuildOptions, ShardSet, build_shards
        >>> manifest = build_shards("poses", "small", BuildOptions(whole_size=(96, 48), part_size=(24, 48)))
        >>> ShardSet.open("small", "query")
        ShardSet(small, query: 4 samples, whole 96x48, parts 24x48)
    """

    alignment: Literal["pose", "strips"] = "pose"
    beta: float = DEFAULT_BETA
    confidence: float | None = None
    whole_size: Size = (384, 192)
    part_size: Size = (96, 192)
    image_size: Size | None = None
    scale: Scale = "source"
    encoding: Literal["jpeg", "raw"] = "jpeg"
    quality: int | None = None
    border: tuple[float, float, float] | None = None
    samples_per_shard: int | None = None


def build_shards(
    poses_path: str | Path,
    out: str | Path,
    options: BuildOptions | None = None,
    *,
    source: str | Path | None = None,
    canonical: CanonicalPoses | None = None,
    exclude: Collection[str] = (),
    overwrite: bool = False,
    workers: int = 1,
    engine: Executor | None = None,
    progress: Progress = unseen,
) -> Manifest:
    """Cut aligned crops for every pose and write a shard directory; resumes an interrupted one.

    Args:
        poses_path: a complete pose directory.
        out: the shard directory.
        options: what shapes the output.
        source: where the images are now, None for where they were when the poses were estimated.
        canonical: poses to fill gaps from, None for the default set.
        exclude: paths of images to leave out; those that the poses do not have are ignored.
        overwrite: replace shards made with other parameters.
        workers: processes; one works in this process.
        engine: has the shards made, None for processes on this machine.
        progress: called with the samples done, and all samples, those of an earlier run included.

    Raises:
        ReidError: unusable input or output, a full disk, a list that excludes nothing or everything. Images that
            cannot be read are left out and listed.

    Example:
        >>> from reidprep import build_shards
        >>> manifest = build_shards("poses", "new-shards")
        >>> manifest.summary["images"]
        {'train': 8, 'query': 4, 'gallery': 10}
    """
    poses_path, out = Path(poses_path), Path(out)
    options = options or BuildOptions()
    canonical = canonical or load()
    poses = PoseSet(poses_path)
    if not len(poses):
        raise ReidError(f"{poses_path}: holds no poses")
    if source is None and not poses.source.exists():
        raise ReidError(f"{poses.source}: the images are not there any more; say where they are by --source")
    source = Path(source) if source else poses.source
    images = open_images(poses.dataset["name"], source, poses.dataset["options"])
    splits, means, *paths = poses.columns("splits", "channel_means", *(["paths"] if exclude else []))
    excluded = excluded_rows(paths[0], exclude) if exclude else np.zeros(len(splits), np.bool_)
    kept = np.flatnonzero(~excluded)
    readable = _check_source(source, images, poses, kept)
    plan = _plan(options, poses, canonical, splits[kept], means[kept], kept)
    if excluded.any():
        plan["excluded"] = fingerprint(paths[0][excluded])
    with StoreWriter(out, SCHEMA, relative_source(source, out), plan, overwrite=overwrite) as directory:
        tasks = [
            ShardTask(f"{split}-{number:05d}.h5", split, poses.pieces(rows))
            for split in SPLITS
            for number, rows in enumerate(_chunks(kept[splits[kept] == split], plan["samples_per_shard"]))
        ]
        missing = [task for task in tasks if task.name not in directory.present]
        done = len(kept) - sum(task.rows for task in missing)
        progress(done, len(kept))

        def advance(samples: int) -> None:
            nonlocal done
            done += samples
            progress(done, len(kept))

        job = ShardJob(out.resolve(), poses_path.resolve(), images, canonical, plan, readable)
        with closing((engine or LocalExecutor(workers)).make(job, missing, advance)) as parts:
            for part in parts:
                directory.add(part)

        directory.finish(_summary(directory.manifest, poses, splits[excluded]))
        return directory.manifest


def _check_source(source: Path, images: ImageSource, poses: PoseSet, kept: NDArray[np.int64]) -> str:
    """Path of an image that is there.

    Raise if not one of some images spread over the `kept` rows is there: better than leaving out all of them.
    """
    reasons: list[str] = []
    for path in poses.read(_spread(kept, _PROBES)).paths:
        try:
            images.read(str(path))
            return str(path)
        except ImageError as error:
            reasons.append(f"{path}: {error}")
    raise ReidError(f"{source}: does not hold the images of the poses ({reasons[0]}); say where they are by --source")


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of `rows`, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(np.int64))]


def _chunks(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _plan(
    options: BuildOptions,
    poses: PoseSet,
    canonical: CanonicalPoses,
    splits: NDArray[np.generic],
    means: NDArray[np.float32],
    kept: NDArray[np.int64],
) -> dict[str, Any]:
    border = options.border
    if border is None:
        train = means[splits == "train"]
        border = tuple(np.round((train if len(train) else means).mean(axis=0, dtype=np.float64), 2).tolist())
    quality = QUALITY[options.scale] if options.quality is None else options.quality
    plan: dict[str, Any] = {
        "poses": {
            "tool": poses.manifest.tool,
            "sha256": poses.sha256,
            **poses.manifest.plan,
        },
        "canonical_sha256": hashlib.sha256(to_json(canonical)).hexdigest(),
        "alignment": options.alignment,
        "beta": options.beta,
        "confidence": poses.confidence if options.confidence is None else options.confidence,
        "whole_size": list(options.whole_size),
        "part_size": list(options.part_size),
        "image_size": list(options.image_size) if options.image_size else None,
        "scale": options.scale,
        "encoding": options.encoding,
        "quality": quality if options.encoding == "jpeg" else None,
        "border": list(border),
        "samples_per_shard": options.samples_per_shard or SAMPLES_PER_SHARD[options.encoding],
    }
    plan["stored_sizes"] = _stored_sizes(plan, poses, canonical, kept)
    return plan


def _stored_sizes(
    plan: Mapping[str, Any], poses: PoseSet, canonical: CanonicalPoses, kept: NDArray[np.int64]
) -> Mapping[View, Size]:
    full = full_sizes(plan)
    if plan["scale"] == "full":
        return full
    some = poses.read(_spread(kept, _SIZED))
    with single_threaded():
        boxes = aligned(some, canonical, plan).boxes
    return source_sizes(full, boxes, some.image_sizes)


def _summary(manifest: Manifest, poses: PoseSet, excluded: NDArray[np.str_]) -> dict[str, Any]:
    statistics = [(part.rows, part.statistics) for part in manifest.files]
    of_split = {split: [entry for entry in statistics if entry[1]["split"] == split] for split in SPLITS}
    images = {split: sum(rows for rows, _ in entries) for split, entries in of_split.items()}
    pids = sorted({pid for _, entry in of_split["train"] for pid in entry["pids"] if pid >= 0})
    filled = np.sum([entry["joints_filled"] for _, entry in statistics], axis=0)
    return {
        "images": images,
        "skipped": len(manifest.skipped),
        "skipped_in_poses": len(poses.manifest.skipped),
        "excluded": {split: int((excluded == split).sum()) for split in SPLITS},
        "train_labels": {str(pid): label for label, pid in enumerate(pids)},
        "channel_means": _channel_means(of_split["train"] or statistics, image_shapes(manifest.plan)),
        "joints_filled": [round(float(count) / max(1, manifest.rows), 4) for count in filled],
        "flags": {flag.name: sum(entry["flags"][flag.name] for _, entry in statistics) for flag in Flag},
    }


def _channel_means(
    entries: Sequence[tuple[int, Mapping[str, Any]]], shapes: Sequence[tuple[int, int, int]]
) -> dict[str, Any]:
    """Mean red, green and blue, 0 to 255, of the training crops, before encoding."""
    rows = sum(rows for rows, _ in entries)
    pixels = np.array([[height * width] for height, width, _ in shapes], dtype=np.float64) * max(1, rows)
    means = np.round(np.sum([entry["channel_sums"] for _, entry in entries], axis=0) / pixels, 3).tolist()
    return {"whole": means[0], "parts": means[1:5], "image": means[5] if len(means) > 5 else None}
