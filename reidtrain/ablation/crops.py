"""The shard directories that the rows of a table are trained on: those given, or built from poses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import UNSET, UnsetType

from reidprep.errors import ReidError
from reidprep.poses.format import DatasetPlan
from reidprep.poses.reader import PoseSet
from reidprep.progress import Progress
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.cropping import crop_parameters
from reidprep.shards.format import SHARDS, Excluded, ShardPlan
from reidprep.shards.reader import ShardSet
from reidprep.store.manifest import MANIFEST, read_manifest
from reidprep.text import first_differences
from reidtrain.papers.tables import PAPER_BETA
from reidtrain.papers.variants import Alignment, AttentionDrivenVariant, Variant
from reidtrain.recipes.variants import beta_in_48ths

IMAGE_SIZE = (256, 128)


@dataclass(frozen=True)
class Crops:
    """What shards have to hold.

    Attributes:
        alignment: of the whole body and the parts; None where they are not used.
        beta: overlap of the parts in 48ths of the body height, for alignment by pose.
        image: whether the plain image is needed.
    """

    alignment: Alignment | None
    beta: int | None
    image: bool = False

    @classmethod
    def of(cls, variant: Variant) -> Crops:
        """What a resolved variant is trained on."""
        if isinstance(variant, AttentionDrivenVariant):
            return cls(variant.alignment, variant.beta)
        return cls(None, None, image=True)

    @property
    def name(self) -> str:
        """Name of the folder they are built in."""
        if self.alignment is None:
            return "image"
        return self.alignment if self.beta is None else f"{self.alignment}-beta-{self.beta}"

    def __str__(self) -> str:
        if self.alignment is None:
            return "the plain image (--with-image)"
        return f"--alignment {self.alignment}" + ("" if self.beta is None else f" --beta {self.beta / 48:.4f}")

    def served_by(self, plan: ShardPlan) -> bool:
        """Whether shards of a plan hold it."""
        if self.image and plan.image_size is None:
            return False
        if self.alignment is None:
            return True
        return plan.alignment == self.alignment and (self.beta is None or beta_in_48ths(plan) == self.beta)

    def options(self) -> BuildOptions:
        """Options to build them with."""
        beta = PAPER_BETA if self.beta is None else self.beta
        return BuildOptions(
            alignment=self.alignment or "pose", beta=beta / 48, image_size=IMAGE_SIZE if self.image else None
        )


@dataclass(frozen=True)
class Source:
    """Where the shards for some crops are.

    Attributes:
        crops: what they hold.
        path: of the shard directory.
        manifest_sha256: of its manifest; None if it is still to be built.
        given: by the user, not built here.
    """

    crops: Crops
    path: Path
    manifest_sha256: str | None
    given: bool = False


def find(crops: Crops, given: Sequence[Path], folder: Path, poses: Path | None) -> Source:
    """The first directory among those given that serves; else where it is, or will be, built.

    Args:
        crops: what is needed.
        given: shard directories.
        folder: of the shard directories that were built.
        poses: to build from, None if there are none.

    Raises:
        ReidError: nothing serves and there are no poses, or a directory that cannot be used.
    """
    for path in given:
        if crops.served_by(_plan(path)):
            return Source(crops, path, _sha256(path), given=True)
    if poses is None:
        raise ReidError(
            f"a row of the table needs shards with {crops}, which "
            + (f"{', '.join(map(str, given))} do not hold" if given else "are not given")
            + "; give the poses by --poses to have them built, or more shards by --shards"
        )
    own = folder / crops.name
    return Source(crops, own, _sha256(own) if _is_complete(own) else None)


def dataset_plan(given: Sequence[Path], poses: Path | None) -> DatasetPlan:
    """The dataset that all shards and poses show, as their manifests describe it; no others left out of shards.

    Raises:
        ReidError: several datasets, or several choices of images left out; or nothing to tell a dataset by.
    """
    plans = {str(path): _plan(path) for path in given}
    found: dict[str, tuple[DatasetPlan, Excluded | UnsetType]]
    found = {path: (plan.poses.dataset, plan.excluded) for path, plan in plans.items()}
    if poses is not None:
        found[str(poses)] = (PoseSet(poses).plan.dataset, UNSET)
    if not found:
        raise ReidError("nothing to train on: give --poses, --shards or both")
    (first, shown), *others = found.items()
    for path, other in others:
        if other != shown:
            raise ReidError(f"{first} and {path} show different datasets, or different images of one; use one of them")
    return shown[0]


def build(source: Source, poses: Path, images: Path | None, workers: int, progress: Progress) -> Source:
    """Build shards, or check those that are there and go on where an earlier run stopped.

    Args:
        source: where.
        poses: of all images.
        images: where the images are, None for where they were when the poses were estimated.
        workers: processes.
        progress: called with samples done and in total.

    Raises:
        ReidError: as `reidprep.shards.build.build_shards`.
    """
    build_shards(poses, source.path, source.crops.options(), source=images, workers=workers, progress=progress)
    return replace(source, manifest_sha256=_sha256(source.path))


def cut_otherwise(paths: Sequence[Path]) -> str:
    """A remark where crops by pose of some directories differ in more than the overlap; empty if they do not."""
    plans = {path: _plan(path) for path in paths}
    found = {path: {**crop_parameters(plan), "beta": None} for path, plan in plans.items() if plan.alignment == "pose"}
    for path, other in list(found.items())[1:]:
        first = next(iter(found))
        if differing := first_differences(found[first], other):
            return (
                f"The rows are not for comparison with each other: the crops of {first} and {path} were cut "
                f"differently ({differing})."
            )
    return ""


def _plan(path: Path) -> ShardPlan:
    return ShardSet.open(path).plan


def _sha256(path: Path) -> str:
    return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def _is_complete(path: Path) -> bool:
    return (path / MANIFEST).exists() and read_manifest(path, SHARDS).complete
