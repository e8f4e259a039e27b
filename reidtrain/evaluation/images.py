"""Which images of a shard directory are queries, and which are the gallery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet
from reidtrain.data.sets import NamedShards, open_sets
from reidtrain.data.splits import choose_of_each, held_out_ranking
from reidtrain.features.files import EMBEDDING, Features, read_array, read_query_and_gallery
from reidtrain.features.numpy_files import array_names
from reidtrain.metrics.protocols import JUNK, Labels, Protocol
from reidtrain.recipes.schema import Recipe

Kind = Literal["test", "held-out"]

Extract = Callable[[ShardSet, NDArray[np.int64], Progress], Features]
"""Gives the features of samples, in the order of their rows."""


@dataclass(frozen=True, eq=False)
class RankedImages:
    """Query and gallery images.

    Attributes:
        kind: `test`: the query and gallery splits. `held-out`: images of training identities that were held out.
        shards: samples, among which they are.
        query: (queries,) int64 rows of `shards`, ascending.
        gallery: (gallery,) int64 rows, ascending; they may hold the queries, which no protocol counts for themselves.
        protocol: by which such images are scored, unless another is asked for.
    """

    kind: Kind
    shards: ShardSet
    query: NDArray[np.int64]
    gallery: NDArray[np.int64]
    protocol: Protocol

    def require_match(self, protocol: Protocol, instead: str = "") -> None:
        """Check, before anything is computed, that there is something to score.

        Args:
            protocol: which gallery images count.
            instead: what else to do where there is not, as messages say it.

        Raises:
            ReidError: no query has a match in the gallery; the message lists the pids and cameras.
        """
        try:
            self._labels(protocol).require_match(protocol)
        except ReidError as error:
            raise ReidError(f"{self.shards.path}: {error}" + (instead and f"; {instead}")) from None

    def _labels(self, protocol: Protocol) -> Labels:
        pids, camids = self.shards.pids, self.shards.camids
        query, gallery = self.query, self.gallery
        labels = (pids[query], pids[gallery], camids[query], camids[gallery])
        return Labels.checked(*labels, len(query), len(gallery)).under(protocol)

    def under(self, protocol: Protocol) -> RankedImages:
        """The images as a protocol takes them: without cameras no query stays in the gallery, where it would count."""
        if protocol != "no-cameras":
            return self
        gallery = np.setdiff1d(self.gallery, self.query)
        if self.shards.plan.poses.dataset.has_tracklets:
            # Nor does what else is in a query's tracklet.
            labels = zip(self.shards.pids, self.shards.camids, self.shards.column("sequences").tolist(), strict=True)
            tracklets = list(labels)
            own = {tracklets[row] for row in self.query.tolist() if tracklets[row][-1] >= 0}
            gallery = np.array([row for row in gallery.tolist() if tracklets[row] not in own], np.int64)
        return replace(self, gallery=gallery, protocol=protocol)

    def identical(self, protocol: Protocol = "market1501") -> int:
        """Queries of which the very same image is in the gallery, as the shards store it, and counts there."""
        cameras = protocol != "no-cameras"
        checksums = self.shards.column("crc32")
        pids, camids = self.shards.pids, self.shards.camids
        found = 0
        places: dict[int, list[int]] = defaultdict(list)
        for row in self.gallery.tolist():
            places[int(checksums[row])].append(row)
        for query in self.query.tolist():
            alike = [
                row
                for row in places.get(int(checksums[query]), ())
                if pids[row] != JUNK and not (cameras and (pids[row], camids[row]) == (pids[query], camids[query]))
            ]
            # A checksum may agree by chance.
            found += any(self._stored(row) == self._stored(query) for row in alike)
        return found

    def _stored(self, row: int) -> bytes:
        return b"".join(image.tobytes() for image in self.shards.encoded(row))

    def features(self, extract: Extract, progress: Progress = unseen) -> tuple[Features, Features]:
        """Features of the queries and of the gallery; an image that is both is computed once.

        Args:
            extract: computes them, such as a `reidtrain.features.extractor.Extractor`.
            progress: called with images done and in total.
        """
        rows = np.union1d(self.query, self.gallery)
        features = extract(self.shards, rows, progress)
        return features.take(rows.searchsorted(self.query)), features.take(rows.searchsorted(self.gallery))

    def read(self, path: Path, names: Sequence[str] = (EMBEDDING,)) -> tuple[Features, Features]:
        """Features of the queries and of the gallery from a file or folder of any origin.

        Args:
            path: as `read_query_and_gallery` takes it.
            names: which features.

        Raises:
            ReidError: as `read_query_and_gallery`; or features of other images.
        """
        query, gallery = read_query_and_gallery(path, names)
        for side, features, rows in (("query", query, self.query), ("gallery", gallery, self.gallery)):
            found = {"pids": features.pids, "camids": features.camids}
            if f"{side}_paths" in array_names(path):  # of one person and camera, only these tell images apart
                found["paths"] = read_array(path, f"{side}_paths")
            for name, theirs in found.items():
                if not np.array_equal(theirs, self.shards.column(name)[rows]):
                    raise ReidError(
                        f"{path}: {side}_{name} are not those of the {side} images of {self.shards.path}; give "
                        "features of these images, in the order of the shards"
                    )
        return query, gallery

    @classmethod
    def held_out(cls, train: ShardSet, pids: Sequence[int]) -> RankedImages:
        """Images of training identities that a network was not trained on."""
        query, gallery = held_out_ranking(train, pids)
        unknown = train.plan.poses.dataset.options.get("cameras") == "none"
        return cls("held-out", train, query, gallery, "no-cameras" if unknown else "market1501")


def query_gallery_images(shards: Path, *, junk: bool = False, instead: str = "") -> RankedImages:
    """The query and gallery splits.

    Args:
        shards: the directory.
        junk: take the images without a person (pid -1) too. They change no score.
        instead: what else to do where there are none, as messages say it.

    Raises:
        ReidError: a split without images, or a gallery of nobody.
    """
    everything = ShardSet.open(shards)
    sizes = [len(ShardSet.open(shards, split)) for split in ("train", "query", "gallery")]
    if not (sizes[1] and sizes[2]):
        empty = "query" if not sizes[1] else "gallery"
        raise ReidError(
            f"{shards}: there are no {empty} images to score on; give shards that have them"
            + (instead and f", or {instead}")
        )
    rows = np.arange(len(everything))
    dataset = everything.plan.poses.dataset
    _, query, gallery = np.split(rows, np.cumsum(sizes)[:-1])
    protocol = protocol_of(dataset.name, dataset.options)
    people = everything.pids != JUNK
    if not people[gallery].any():
        RankedImages("test", everything, query, gallery, protocol).require_match(protocol, instead)
    if not junk:
        query, gallery = query[people[query]], gallery[people[gallery]]
    return RankedImages("test", everything, query, gallery, protocol)


def held_out_images(shards: Path, recipe: Recipe, class_names: tuple[str, ...] | None = None) -> RankedImages:
    """Images of the training identities that a recipe holds out, as training is validated on.

    Args:
        shards: the directory.
        recipe: how many identities it trains on and holds out.
        class_names: the person ids that a network was trained on, None for no network.

    Raises:
        ReidError: the recipe holds none out, or the network was trained on other identities than the recipe chooses
            from these shards.
    """
    [images] = held_out_of_each(open_sets([shards], "train"), recipe, class_names)
    return images


def held_out_of_each(
    sets: Sequence[NamedShards], recipe: Recipe, class_names: tuple[str, ...] | None = None
) -> list[RankedImages]:
    """`held_out_images` of each of some directories, whose people were trained on together."""
    if not recipe.validation.identities:
        raise ReidError(
            "--held-out: the recipe holds no identities out (validation.identities is 0); score on the query and "
            "gallery images"
        )
    trains = [each.shards for each in sets]
    chosen = choose_of_each(trains, recipe.identities, recipe.validation.identities, recipe.seed)
    trained = [each.person(pid) for each, (pids, _) in zip(sets, chosen, strict=True) for pid in pids]
    if class_names is not None and tuple(trained) != class_names:
        raise ReidError(
            f"--held-out: {', '.join(str(each.path) for each in sets)} {'have' if len(sets) > 1 else 'has'} other "
            "training identities than the network was trained on, so some of those held out may have been seen; give "
            "the shards it was trained on, all of them"
        )
    return [RankedImages.held_out(train, unseen) for train, (_, unseen) in zip(trains, chosen, strict=True)]


def protocol_of(name: str, options: Mapping[str, str]) -> Protocol:
    """How a dataset is scored, given the name and the options of its reader."""
    if name != "cuhk03":
        return "no-cameras" if options.get("cameras") == "none" else "market1501"
    return "cuhk03-np" if options.get("protocol") == "np" else "cuhk03-classic"
