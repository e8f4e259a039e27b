"""A run whose network has seen no training, explored on drawn people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("starlette")
from starlette.testclient import TestClient

from reidprep.inspect.app import create_app, open_samples
from reidprep.inspect.exclusions import Exclusions
from reidprep.inspect.security import Hosts
from reidtrain.checkpoints import Checkpoint
from reidtrain.evaluation.images import query_gallery_images
from reidtrain.explore.app import explore_section
from reidtrain.explore.attention import Attention
from reidtrain.explore.contradictions import Contradictions, contradictions_of
from reidtrain.explore.explorer import Run
from reidtrain.explore.rankings import rankings_of
from reidtrain.explore.sources import Explored
from reidtrain.features.extractor import Computing

BASE = "http://127.0.0.1:8765"
TOKEN = "the token"
OTHER = {"branches": ["head"], "attention": "none"}


@pytest.fixture(scope="session")
def explored(
    drawn_shards: Path, make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Explored:
    """The run; what is computed of it is kept for all tests."""
    checkpoint = make_checkpoint("attention-driven", {"branches": ["whole", "head"]})
    return Explored(
        checkpoint, drawn_shards, tmp_path_factory.mktemp("explored"), computing=Computing("cpu", workers=0)
    )


@pytest.fixture(scope="session")
def a_run(explored: Explored) -> Run:
    """Its rankings."""
    images = query_gallery_images(explored.shards, junk=True)
    return Run("the run", rankings_of(explored, images, "market1501"), Attention(explored))


@pytest.fixture(scope="session")
def two_runs(
    explored: Explored,
    a_run: Run,
    make_checkpoint: Callable[..., Checkpoint],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Run]:
    """It, and that of a smaller network without attention."""
    other = replace(
        explored, checkpoint=make_checkpoint("attention-driven", OTHER), out=tmp_path_factory.mktemp("other")
    )
    images = query_gallery_images(explored.shards, junk=True)
    return [a_run, Run("the other run", rankings_of(other, images, "market1501"), Attention(other))]


@pytest.fixture(scope="session")
def contradictions_found(explored: Explored) -> dict[str, Contradictions]:
    """What it says about the labels."""
    return {kind: contradictions_of(explored, kind) for kind in ("test", "train")}


@pytest.fixture(scope="session")
def client(
    explored: Explored,
    two_runs: list[Run],
    contradictions_found: dict[str, Contradictions],
    tmp_path_factory: pytest.TempPathFactory,
) -> TestClient:
    """A browser on this machine. For reading only."""
    samples = open_samples(explored.shards)
    exclusions = Exclusions(tmp_path_factory.mktemp("marked") / "exclude.csv", samples.index.paths)
    app = create_app(
        samples, exclusions, TOKEN, Hosts("127.0.0.1"), (), [explore_section(two_runs, contradictions_found)]
    )
    return TestClient(app, base_url=BASE, follow_redirects=False)
