"""The whole pipeline in one go, on drawn pedestrians or on a real dataset."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.registry import create_estimator
from reidprep.files import FolderClaim, FolderKind
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.preview.selection import Selection
from reidprep.preview.write import write_preview
from reidprep.progress import Progress, Steps, unseen_steps
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.store.manifest import Skipped
from reidprep.synth.dataset import generate
from reidprep.synth.truth import is_drawn, load_truth, pck
from reidprep.verify import Fault, verify

DEMO = FolderKind(
    "a demo", "reidprep.demo", None, "dataset|poses|shards|preview", beside=("run", "ranked", "attention")
)
"""Beside these `make demo` puts a network and what it learnt."""
DRAWN_IDENTITIES = 24
"""Enough that a network trained on half of them tells the others apart better than before."""


@dataclass
class DemoResult:
    """What the demo made.

    Attributes:
        page: the file to open.
        images: images that became samples.
        skipped: images that could not be read.
        notes: what looked odd about the dataset.
        joints_found: share of joints the estimator found.
        pck: share of visible joints found within a tenth of the body height, None for a real dataset.
        faults: what `verify` found.
        seconds: time taken by each step, in order.
    """

    page: Path
    images: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    joints_found: float = 0.0
    pck: float | None = None
    faults: list[Fault] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    out: Path,
    *,
    data: Path | None = None,
    limit: int | None = None,
    workers: int = 1,
    progress: Steps = unseen_steps,
) -> DemoResult:
    """Dataset -> poses -> shards -> check -> preview, in one folder; what an earlier demo has done there is kept.

    Args:
        out: where everything goes.
        data: a dataset, None to draw one.
        limit: at most so many images of each split.
        workers: parallel workers.
        progress: shows how far each step is.

    Raises:
        ReidError: `out` holds something else, or a step fails.
    """
    result = DemoResult(page=out / "preview" / "index.html")

    @contextmanager
    def step(name: str) -> Iterator[Progress]:
        started = time.monotonic()
        with progress(name) as report:
            yield report
        result.seconds[name] = time.monotonic() - started

    source = data or out / "dataset"
    with FolderClaim(out, DEMO):
        if data is None:
            with step("synth"):
                if not is_drawn(source):
                    generate(source, identities=DRAWN_IDENTITIES, images_per_camera=4, workers=workers)
        with step("extract-poses") as report:
            dataset = open_dataset(source)
            poses = extract_poses(
                dataset,
                out / "poses",
                create_estimator(),
                ExtractOptions(limit=limit),
                workers=workers,
                progress=report,
            )
        with step("build-shards") as report:
            options = BuildOptions(image_size=(256, 128))
            shards = build_shards(out / "poses", out / "shards", options, workers=workers, progress=report)
        with step("verify") as report:
            result.faults = verify(out / "shards", workers=workers, progress=report)
        with step("preview"):
            write_preview(out / "shards", result.page.parent, Selection(random=0))

    result.images = shards.rows
    result.skipped, result.notes = [*poses.skipped, *shards.skipped], dataset.notes
    result.joints_found = sum(poses.summary.joints_found) / len(poses.summary.joints_found)
    if data is None:
        result.pck = _pck(source, PoseSet(out / "poses"))
    return result


def _pck(dataset: Path, poses: PoseSet) -> float:
    truth = load_truth(dataset).select(poses.column("paths").tolist())
    return pck(truth, poses.column("joints")).overall
