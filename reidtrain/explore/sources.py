"""Features that the pages are made from: given ones, kept ones, or computed ones, which are then kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.progress import Progress
from reidprep.store.manifest import MANIFEST
from reidtrain.checkpoints import Checkpoint
from reidtrain.features.extract import extract_to_file
from reidtrain.features.extractor import Computing
from reidtrain.features.files import read_about

FOLDER = "explore"
"""Where in a run folder what is computed of it is kept."""

Kind = Literal["test", "train"]
"""The queries and the gallery, or the images trained on."""


@dataclass(frozen=True)
class Explored:
    """A run, the shards it is looked at on, and where what is computed is kept.

    Attributes:
        checkpoint: the trained network.
        shards: a complete shard directory.
        out: folder for features, rankings and attention.
        given: files or folders of features that there are.
        computing: how the network computes what is not there.
    """

    checkpoint: Checkpoint
    shards: Path
    out: Path
    given: Sequence[Path] = ()
    computing: Computing = field(default_factory=Computing)

    @cached_property
    def wanted(self) -> dict[str, Any]:
        """What a file made from these features says about itself; how they are computed only where that was asked."""
        asked: dict[str, Any] = {"flip": True} if self.computing.flip else {}
        if self.computing.precision is not None:
            asked["precision"] = self.computing.precision
        return {
            "checkpoint_sha256": self.checkpoint.sha256,
            "manifest_sha256": file_sha256(self.shards / MANIFEST),
            **asked,
        }

    def file(self, what: str) -> Path:
        """Where something about these shards is kept: those of other shards are beside it."""
        return self.out / f"{what}-{str(self.wanted['manifest_sha256'])[:12]}"

    def find(self, kind: Kind) -> Path | None:
        """Features that there are of some images; None if they have to be computed.

        Raises:
            ReidError: those given are of another network, of other shards or of other images.
        """
        for path in self.given:
            about = read_about(path)
            if differing := differences(about, self.wanted):
                raise ReidError(f"--features {path}: {differing}; give those that 'reidtrain extract-features' made")
            if about.get("images") not in ("test", "train"):
                raise ReidError(
                    f"--features {path}: holds the images {about.get('images')!r}; give those of --split test or train"
                )
            if about["images"] == kind:
                return path
        kept = self.file(f"features-{kind}")
        try:
            fits = not differences(read_about(kept), {**self.wanted, "images": kind})
        except ReidError:  # none, or what a killed run has left
            fits = False
        return kept if fits else None

    def features(self, kind: Kind, progress: Progress) -> Path:
        """A file or folder of features of some images.

        Args:
            kind: of which.
            progress: called with images done and in total, if they are computed.

        Raises:
            ReidError: as `find` and `extract_to_file`.
        """
        found = self.find(kind)
        if found is None:
            found = self.file(f"features-{kind}")
            extract_to_file(
                self.checkpoint,
                self.shards,
                found,
                images=kind,
                computing=self.computing,
                overwrite=True,
                progress=progress,
            )
        return found


def differences(about: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In what a file is not what is wanted, in words; empty if it is."""
    return ", ".join(
        f"{name} is {about.get(name)!r:.30}, wanted {value!r:.30}"
        for name, value in wanted.items()
        if about.get(name) != value
    )


def features_by_run(paths: Sequence[Path], checkpoints: Sequence[Checkpoint]) -> list[list[Path]]:
    """Files of features by the network that they are of; those of none of them go to the first, which refuses them.

    Raises:
        ReidError: as `read_about`.
    """
    hashes = [checkpoint.sha256 for checkpoint in checkpoints]
    found: list[list[Path]] = [[] for _ in checkpoints]
    for path in paths:
        of = read_about(path).get("checkpoint_sha256")
        found[hashes.index(of) if of in hashes else 0].append(path)
    return found
