"""From images of people to features: joints, crops and network in one go, without shards on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from reidprep.alignment.canonical import CanonicalPoses
from reidprep.datasets.base import ImageSource
from reidprep.datasets.unlabelled import open_unlabelled
from reidprep.errors import ImageError, ReidError
from reidprep.estimators.base import ChecksJoints, LooksUpPaths, PoseEstimator
from reidprep.executors.local import ordered_map, single_threaded, worker_threads
from reidprep.images import Images, image_list, read_image
from reidprep.poses.extract import NO_JOINTS, images_per_step
from reidprep.progress import Progress, unseen
from reidprep.records import JUNK_PID
from reidprep.shards.cropping import (
    Cropper,
    Crops,
    crop_parameters,
    needs_joints,
    planned_estimator,
    with_estimator,
    with_poses,
)
from reidprep.shards.format import stored_sizes
from reidprep.store.manifest import Skipped
from reidprep.text import counted
from reidtrain.checkpoints import Checkpoint, as_checkpoint
from reidtrain.data.dataset import NO_LABEL, Batch
from reidtrain.failures import plain_failures
from reidtrain.features.extract import about_network
from reidtrain.features.extractor import Collected, Computing, Extractor
from reidtrain.features.files import Features, open_output

People = str | Path | Sequence[str | Path] | Images
"""A folder, a list or an image file (`reidprep.datasets.unlabelled.open_unlabelled`); image files; or images."""

NOBODY_KNOWN = JUNK_PID
"""Person and camera of images of which neither is known."""

_ABOUT_CROPS = ("joints", "image_sizes", "flags")
_IMAGES_AT_ONCE = 16
_HELD_BYTES = 64 << 20
"""Of decoded images, after which their crops are cut: images may be large."""


@dataclass(frozen=True)
class Embedded:
    """What became of images.

    Attributes:
        features: of those that could be used, in their order, with `flags`; person and camera are -1.
        image_sizes: (n, 2) int32, width and height of these.
        skipped: the others, and why.
        notes: what else of a folder or a list was passed over.
    """

    features: Features
    image_sizes: NDArray[np.int32]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()


class Embedder:
    """Computes features of images of people: finds joints, cuts and encodes crops, and runs the network.

    Crops are cut by the estimator and the parameters of the shards that the network was trained on, and go through the
    encoding of these shards: features are those of the way over `extract_poses`, `build_shards` and
    `extract_features`, to rounding. Reading, estimating and cutting run on `computing.workers` threads beside the
    network.

    Args:
        checkpoint: the network, or the file or run folder it is in.
        computing: how the network computes.
        shards: shards whose plan to go by, where the checkpoint does not say.
        estimator: finds the joints; None for that of the shards.
        canonical: canonical poses, where the shards had others than the shipped ones; taken with a note if they are not
            the shards' either.
        encoded: take crops through the encoding of the shards. Without it features are a little closer to those of
            perfect crops, and not those of the shards.

    Attributes:
        cropper: from images to crops.
        extractor: from crops in shards to features.
        plan: how crops are cut.
        notes: in what that differs from the shards of training, in plain words.

    Raises:
        ReidError: as `load_checkpoint`, `Checkpoint.shard_plan`, `planned_estimator`, `with_poses` and `Extractor`.

    Example:
        >>> from reidprep import read_image
        >>> from reidtrain import Embedder
        >>> embedder = Embedder("run")
        >>> features = embedder("people/query")
        >>> features.embedding.shape, features.paths.tolist()[0]
        ((4, 768), '0001_c1s1_000451_01.jpg')
        >>> embedder([read_image("person.jpg"), read_image("person.jpg")]).embedding.shape
        (2, 768)
        >>> frame = read_image("person.jpg")  # people in a larger frame: a box (x0, y0, x1, y1) each
        >>> embedder(frame, boxes=[(0, 0, 64, 128), (8, 8, 56, 120)]).embedding.shape
        (2, 768)
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        computing: Computing | None = None,
        *,
        shards: str | Path | None = None,
        estimator: PoseEstimator | None = None,
        canonical: CanonicalPoses | None = None,
        encoded: bool = True,
    ) -> None:
        self.checkpoint = as_checkpoint(checkpoint)
        self.computing = computing or Computing()
        plan = self.checkpoint.shard_plan(None if shards is None else Path(shards))
        self.extractor = Extractor(self.checkpoint, self.computing)
        views = self.extractor.views
        if missing := [view for view in views if view not in stored_sizes(plan)]:
            where = shards or self.checkpoint.path
            raise ReidError(
                f"{where}: has no crops of kind {missing[0]}, which this model takes; give the right --shards"
            )
        differing: list[str] = []
        if needs_joints(plan, views):
            estimator = estimator or planned_estimator(plan, device=self.computing.device)
            # The calibration of the plan first: another estimator's is this version's.
            plan, differing = with_poses(plan, canonical)
            plan, others = with_estimator(plan, estimator)
            differing += others
        else:
            estimator = canonical = None
        self.notes: tuple[str, ...] = ()
        if differing:
            self.notes = (
                f"crops are cut otherwise than those of the shards ({'; '.join(differing)}): features are not quite "
                "those that the network was trained for",
            )
        self.plan = plan
        self.cropper = Cropper(plan, views, estimator, canonical, encoded=encoded)

    def __call__(self, images: People, boxes: ArrayLike | Sequence[ArrayLike] | None = None) -> Features:
        """Features of images of one person each; the arguments are those of `embed`.

        Raises:
            ReidError: as `embed`; or an image that cannot be used.
        """
        embedded = self.embed(images, boxes)
        if embedded.skipped:
            first = embedded.skipped[0]
            more = f", and {len(embedded.skipped) - 1} more" if len(embedded.skipped) > 1 else ""
            raise ReidError(f"{first.path}: {first.reason}{more}; leave it out, or take Embedder.embed, which skips it")
        return embedded.features

    def embed(
        self,
        images: People,
        boxes: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        progress: Progress = unseen,
    ) -> Embedded:
        """Features of images of one person each; images that cannot be used are left out and listed.

        Args:
            images: a folder, a list or an image file, as `open_unlabelled` takes it; image files; (h, w, 3) uint8 RGB
                images, or one.
            boxes: of the people in larger images: (people, 4) of x0, y0, x1, y1 in pixels for one image, or such for
                each of several. Paths then end in `#xywh=...`.
            progress: called with images done and in total.

        Raises:
            ReidError: no image, or none that can be used; as `Extractor`.
            ValueError: something else than images, or boxes that do not fit them.
        """
        people = _people(images, boxes)
        estimator = self.cropper.estimator
        if isinstance(estimator, LooksUpPaths):
            estimator.check_paths(people.paths)
        found = Collected(len(people.paths))
        paths: list[str] = []
        skipped: list[Skipped] = []
        how = self.computing
        progress(0, len(people.paths))
        with plain_failures(
            memory=f"lower --batch-size (now {how.batch_size})", worker=f"lower --workers (now {how.workers})"
        ):
            for pieces in self._batches(people):
                batch = [some for piece in pieces for some in piece.crops]
                if batch:
                    about = {name: np.concatenate([getattr(some, name) for some in batch]) for name in _ABOUT_CROPS}
                    found.add({**self.extractor.batch(_batch(batch)), **about})
                paths += [path for piece in pieces for path in piece.paths]
                skipped += [entry for piece in pieces for entry in piece.skipped]
                progress(len(paths) + len(skipped), len(people.paths))
        if not paths:
            first = skipped[0]
            raise ReidError(
                f"{people.what}: none of {counted(len(people.paths), 'image')} can be used ({first.path}: "
                f"{first.reason})"
            )
        arrays = found.arrays()
        joints, sizes, flags = (arrays.pop(name) for name in _ABOUT_CROPS)
        if isinstance(estimator, ChecksJoints):
            estimator.check_joints(joints, sizes, self.plan.confidence)
        nobody = np.full(len(paths), NOBODY_KNOWN, np.int64)
        features = Features(arrays, nobody, nobody.copy(), np.array(paths, np.str_), flags)
        return Embedded(features, sizes, tuple(skipped), people.notes)

    def about(self) -> dict[str, Any]:
        """What a file of these features says about itself, but for images and sizes (docs/features-format.md)."""
        return {
            **about_network(self.checkpoint, self.computing),
            "crops": crop_parameters(self.plan),
            "encoded": self.cropper.encoded,
        }

    def _batches(self, people: _People) -> Iterator[list[_Piece]]:
        """Cropped images, in their order, of about a batch each."""
        estimator = self.cropper.estimator
        size = _IMAGES_AT_ONCE if estimator is None else images_per_step(estimator)
        chunks = [people.paths[start : start + size] for start in range(0, len(people.paths), size)]
        workers = max(1, self.computing.workers)
        waiting: list[_Piece] = []
        with single_threaded(networks=False), worker_threads(workers) as threads:
            for piece in ordered_map(threads, partial(self._piece, people.source), chunks, ahead=4 * workers):
                waiting.append(piece)
                if sum(len(each.paths) for each in waiting) >= self.computing.batch_size:
                    yield waiting
                    waiting = []
            if waiting:
                yield waiting

    def _piece(self, source: ImageSource, paths: Sequence[str]) -> _Piece:
        piece = _Piece()
        images: list[NDArray[np.uint8]] = []
        names: list[str] = []

        def crop() -> None:
            crops = self.cropper(images, names)
            without = sorted({*range(len(images))} - set(crops.rows.tolist()))
            piece.paths += [names[row] for row in crops.rows]
            piece.skipped += [Skipped(names[row], NO_JOINTS) for row in without]
            if len(crops.rows):
                piece.crops.append(crops)
            images.clear()
            names.clear()

        for path in paths:
            try:
                images.append(source.read(path))
                names.append(path)
            except ImageError as error:
                piece.skipped.append(Skipped(path, str(error)))
            if sum(image.nbytes for image in images) > _HELD_BYTES:
                crop()
        if images:
            crop()
        return piece


def embed_to_file(
    embedder: Embedder, images: Path, out: Path, *, overwrite: bool = False, progress: Progress = unseen
) -> tuple[dict[str, Any], Embedded]:
    """Compute the features of images, and write them.

    Args:
        embedder: how.
        images: a folder, a list or an image file.
        out: an `.npz` file or, with any other ending, a folder; see `reidtrain.features.files.open_output`.
        overwrite: replace what is there.
        progress: called with images done and in total.

    Returns:
        What the file says about itself, and what is in it.

    Raises:
        ReidError: something else in the way, or as `Embedder.embed`.
    """
    with open_output(out, overwrite) as output:
        embedded = embedder.embed(images, progress=progress)
        features = embedded.features
        about = embedder.about() | {
            "images": "unlabelled",
            # Not resolved: paths are relative to the folder of a link, not to that of what it leads to.
            "source": str(images.absolute()),
            "skipped": len(embedded.skipped),
            "samples": len(features.pids),
            "dimensions": features.dimensions,
        }
        output.write(features, "", len(features.pids))
        output.finish(about)
    return about, embedded


@dataclass(frozen=True, eq=False)
class _People:
    """Images to embed: their paths, what reads them, what they are in messages, and what was passed over."""

    paths: Sequence[str]
    source: ImageSource
    what: str
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _Piece:
    """Some images: paths and crops of those that could be used, and the others."""

    paths: list[str] = field(default_factory=list)
    crops: list[Crops] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _InMemory:
    """Images by their paths, an `ImageSource`."""

    images: Mapping[str, NDArray[np.uint8]]

    def read(self, path: str) -> NDArray[np.uint8]:
        return self.images[path]


@dataclass(frozen=True)
class _Files:
    """Image files anywhere, an `ImageSource`."""

    def read(self, path: str) -> NDArray[np.uint8]:
        return read_image(path)


def _people(images: People, boxes: ArrayLike | Sequence[ArrayLike] | None) -> _People:
    """What is to be embedded, whatever it was given as."""
    if isinstance(images, (str, Path)):
        listed = open_unlabelled(Path(images))
        if boxes is not None:
            raise ValueError("boxes go with images: read them by reidprep.read_image, or list them in a CSV file")
        return _People(listed.paths, listed.images, str(images), listed.notes)
    if not isinstance(images, np.ndarray) and len(images) and all(isinstance(image, (str, Path)) for image in images):
        if boxes is not None:
            raise ValueError("boxes go with images: read them by reidprep.read_image, or list them in a CSV file")
        return _People([os.fspath(image) for image in images], _Files(), "the files")  # type: ignore[arg-type]
    arrays = image_list(images)  # type: ignore[arg-type]
    if not arrays:
        raise ReidError("there is no image to compute features of")
    if boxes is None:
        named = [(str(number), image) for number, image in enumerate(arrays)]
    else:
        single = isinstance(images, np.ndarray) and images.ndim == 3
        of_each: list[Any] = [boxes] if single else list(boxes)  # type: ignore[arg-type]
        if len(of_each) != len(arrays):
            raise ValueError(f"{len(arrays)} images and boxes of {len(of_each)}; give those of each image")
        named = [
            (path, crop)
            for number, (image, some) in enumerate(zip(arrays, of_each, strict=True))
            for path, crop in _cut_out(str(number), image, some)
        ]
        if not named:
            raise ReidError("there is no box to compute features of")
    # Two boxes may cover the same pixels, and have one path; each has its row.
    return _People([path for path, _ in named], _InMemory(dict(named)), "the images")


def _cut_out(name: str, image: NDArray[np.uint8], boxes: ArrayLike) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """What the boxes of people cover, edges on whole pixels, without what lies outside of the image."""
    corners = np.atleast_2d(np.asarray(boxes, np.float64)) if np.size(boxes) else np.zeros((0, 4))
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ValueError(f"boxes have shape {corners.shape}; they are (people, 4), each x0, y0, x1, y1 in pixels")
    height, width = image.shape[:2]
    for box in corners:
        if not np.isfinite(box).all():
            raise ValueError(f"a box is (x0, y0, x1, y1) in pixels, not {tuple(box.tolist())}")
        x0, y0, x1, y1 = np.floor(box.clip(0, [width, height, width, height]) + 0.5).astype(int).tolist()
        if x1 <= x0 or y1 <= y0:
            raise ValueError(
                f"the box {tuple(box.tolist())} covers nothing of image {name}, which is {width}x{height}; a box is "
                "(x0, y0, x1, y1) with x1 > x0 and y1 > y0"
            )
        yield f"{name}#xywh={x0},{y0},{x1 - x0},{y1 - y0}", image[y0:y1, x0:x1]


def _batch(crops: Sequence[Crops]) -> Batch:
    total = sum(len(crop.rows) for crop in crops)
    views = {
        view: torch.from_numpy(np.concatenate([crop.pixels[view] for crop in crops])).movedim(-1, -3)
        for view in crops[0].pixels
    }
    nothing = torch.full((total,), NO_LABEL)
    return Batch(
        whole=views.get("whole"),
        parts=views.get("parts"),
        image=views.get("image"),
        labels=nothing,
        pids=nothing,
        camids=nothing,
        indices=torch.arange(total),
    )
