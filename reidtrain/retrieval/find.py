"""From images of people to the images of a gallery that are nearest to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.images import FrameImages
from reidprep.errors import ReidError
from reidprep.progress import Steps, unseen_steps
from reidprep.shards.cropping import crop_parameters
from reidprep.shards.reader import ShardSet
from reidprep.store.manifest import MANIFEST
from reidprep.text import first_differences
from reidtrain.evaluation.lists import FoundList, Known, found_lists
from reidtrain.features.embedder import Embedded, Embedder
from reidtrain.features.files import ABOUT_FILE, GALLERY, read_about
from reidtrain.features.numpy_files import NPZ
from reidtrain.metrics.distances import Metric
from reidtrain.retrieval.exact import search
from reidtrain.retrieval.files import Picture, open_side


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found.

    Attributes:
        lists: of each query that could be used.
        query: reads the queries.
        gallery: reads the gallery.
        embedded: what became of the images that features were computed of: those of each query that was given and,
            where it is of images, the gallery.
    """

    lists: Sequence[FoundList]
    query: Picture
    gallery: Picture
    embedded: Sequence[Embedded]


def find(
    embedder: Embedder,
    queries: Sequence[Path],
    gallery: Path,
    *,
    top: int = 10,
    metric: Metric = "euclidean",
    images: Path | None = None,
    draws: bool = False,
    progress: Steps = unseen_steps,
) -> Finding:
    """Find the gallery images nearest to images of people.

    Args:
        embedder: computes features.
        queries: images, folders or lists of them, as `Embedder.embed` takes them.
        gallery: the same; or features that the same network gave, or shards, of which the gallery split, or all where
            there is none, is searched.
        top: how many to find for each query; all, if the gallery holds fewer.
        metric: `euclidean` or `cosine`.
        images: the folder with the images of a gallery of features; None for where its file says that they are.
        draws: make sure that the images of a gallery of features can be read.
        progress: shows how far each step is.

    Raises:
        ReidError: no image that can be used; features of another network, or of crops that were cut otherwise; shards
            of another kind; or as `search`.
    """
    stored = _stored_gallery(embedder, gallery, images, draws, progress)
    asked = []
    for query in queries:
        with progress("queries") as report:
            asked.append(embedder.embed(query, progress=report))
    if stored is None:
        with progress("gallery") as report:
            found = embedder.embed(gallery, progress=report)
        asked.append(found)
        paths = _paths(found)
        stored = _Gallery([found.features.embedding], Known([len(paths)], [paths]), _reader([(gallery, paths)]))
    of_queries = [(query, _paths(some)) for query, some in zip(queries, asked, strict=False)]
    features = np.concatenate([some.features.embedding for some in asked[: len(queries)]])
    with progress("search") as report:
        nearest = search(features, stored.parts, top=top, metric=metric, progress=report)
    names = [np.array([str(_root(query) / path) for path in paths.tolist()]) for query, paths in of_queries]
    known = Known([len(some) for some in names], names)
    lists = found_lists(known, stored.known, nearest.indices, nearest.distances)
    return Finding(lists, _reader(of_queries), stored.picture, asked)


@dataclass(frozen=True, eq=False)
class _Gallery:
    """Features, what is known of their images, and what reads these."""

    parts: Sequence[NDArray[Any]]
    known: Known
    picture: Picture


def _stored_gallery(
    embedder: Embedder, gallery: Path, images: Path | None, draws: bool, progress: Steps
) -> _Gallery | None:
    """A gallery of features or shards; None if it is of images."""
    if gallery.suffix == NPZ or (gallery / ABOUT_FILE).is_file():
        _require_same(embedder, gallery)
        side = open_side([gallery], GALLERY)
        return _Gallery(side.parts, side.known, side.pictures(images) if draws else _not_drawn)
    if images is not None:
        raise ReidError("--images says where the images of a gallery of features are; this gallery is none")
    if not (gallery / MANIFEST).is_file():
        return None
    shards = ShardSet.open(gallery, "gallery")
    if not len(shards):
        shards = ShardSet.open(gallery)
    _require_same_crops(f"{gallery}: its crops", embedder, crop_parameters(shards.plan), "build them")
    with progress("gallery") as report:
        features = embedder.extractor(shards, progress=report)
    known = Known([len(shards)], [shards.column("paths")], [shards.pids], [shards.camids])
    return _Gallery([features.embedding], known, lambda row: shards.pixels(row, ("whole",))["whole"])


def _require_same(embedder: Embedder, file: Path) -> None:
    """Refuse features that those of the embedder cannot be compared with."""
    theirs, ours = read_about(file), embedder.about()
    again = "compute them again by this checkpoint, or give the images"
    for key, what in (("checkpoint_sha256", "by another network"), ("flip", "otherwise")):
        if theirs.get(key) != ours[key]:
            raise ReidError(
                f"{file}: its features were computed {what} ({key} {theirs.get(key)}, here {ours[key]}); {again}"
            )
    if isinstance(theirs.get("crops"), dict):  # not in files of before
        _require_same_crops(f"{file}: the crops of its features", embedder, theirs["crops"], "compute them")


def _require_same_crops(what: str, embedder: Embedder, theirs: Mapping[str, Any], remedy: str) -> None:
    if found := first_differences(theirs, embedder.about()["crops"]):
        raise ReidError(
            f"{what} were cut otherwise than those of the queries ({found}); {remedy} with the "
            "parameters of the checkpoint's shards, or give the images"
        )


def _not_drawn(row: int) -> NDArray[np.uint8]:
    raise ValueError(f"image {row}: the gallery was opened without its images")


def _paths(embedded: Embedded) -> NDArray[np.str_]:
    paths = embedded.features.paths
    assert paths is not None, "an embedder names its images"
    return paths


def _root(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _reader(sources: Sequence[tuple[Path, NDArray[np.str_]]]) -> Picture:
    """What reads the images of some sources, counted through."""
    starts = np.cumsum([0, *(len(paths) for _, paths in sources)])
    readers = [FrameImages(_root(source)) for source, _ in sources]

    def picture(index: int) -> NDArray[np.uint8]:
        number = int(starts.searchsorted(index, side="right")) - 1
        path = str(sources[number][1][index - starts[number]])
        try:
            return readers[number].read(path)
        except ReidError as error:
            raise ReidError(f"{_root(sources[number][0]) / path}: {error}") from None

    return picture
