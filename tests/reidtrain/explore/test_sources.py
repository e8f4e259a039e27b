"""Features that are not those of the run are refused, and what is damaged is made again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reidprep.errors import ReidError
from reidprep.progress import unseen
from reidtrain.checkpoints import load_checkpoint, run_subfolder
from reidtrain.evaluation.images import query_gallery_images
from reidtrain.explore import contradictions, rankings
from reidtrain.explore.contradictions import contradictions_of
from reidtrain.explore.rankings import rankings_of
from reidtrain.explore.sources import FOLDER, Explored, features_by_run
from reidtrain.features.files import read_about

from .conftest import OTHER


@pytest.fixture
def given(explored: Explored, a_run, tmp_path: Path) -> Path:
    """A copy of the run's features."""
    return Path(shutil.copytree(explored.file("features-test"), tmp_path / "features"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint_sha256": "0"}, "checkpoint_sha256 is '0'"),
        ({"manifest_sha256": "0"}, "manifest_sha256 is '0'"),
        ({"images": "all"}, "--split test or train"),
    ],
)
def test_features_of_something_else_are_refused(explored: Explored, given: Path, changes, message: str) -> None:
    file = given / "features.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(ReidError, match=message):
        replace(explored, given=[given]).find("test")


def test_features_go_to_the_run_that_they_are_of(explored: Explored, given: Path, make_checkpoint) -> None:
    other = make_checkpoint("attention-driven", OTHER)
    assert features_by_run([given], [explored.checkpoint, other]) == [[given], []]
    assert features_by_run([given], [other, explored.checkpoint]) == [[], [given]]
    assert replace(explored, given=[given]).find("test") == given


def test_a_checkpoint_outside_of_a_run_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="say where by --out"):
        run_subfolder(tmp_path / "some.ckpt", FOLDER)
    assert run_subfolder(tmp_path, FOLDER) == tmp_path / "explore"


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_damaged_file_is_made_again(
    explored: Explored, a_run, contradictions_found, tmp_path: Path, monkeypatch, kept: int
) -> None:
    copy = replace(explored, out=Path(shutil.copytree(explored.out, tmp_path / "kept")))
    images = query_gallery_images(explored.shards, junk=True)
    for file in copy.out.glob("*.h5"):
        file.write_bytes(file.read_bytes()[:kept])
    made = []
    for module, name in ((rankings, "rank"), (contradictions, "find_contradictions")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, **k: made.append(real.__name__) or real(*a, **k))
    again = rankings_of(copy, images, "market1501")
    assert (again.lists == a_run.rankings.lists).all()
    contradictions_of(copy, "test")
    assert made == ["rank", "find_contradictions"]


def test_what_a_killed_run_left_of_its_features_is_made_again(explored: Explored, tmp_path: Path) -> None:
    copy = replace(explored, out=tmp_path)
    (copy.file("features-test") / ".features.unfinished").mkdir(parents=True)
    assert copy.find("test") is None
    assert read_about(copy.features("test", unseen))["images"] == "test"


def test_features_are_named_after_the_checkpoint_that_was_loaded(explored: Explored, tmp_path: Path) -> None:
    # A run that is looked at while it trains replaces its checkpoint.
    last = Path(shutil.copy(explored.checkpoint.path, tmp_path / "last.ckpt"))
    copy = replace(explored, checkpoint=load_checkpoint(last), out=tmp_path / "kept")
    loaded = copy.wanted["checkpoint_sha256"]
    last.write_bytes(last.read_bytes() + b"later")
    assert read_about(copy.features("train", unseen))["checkpoint_sha256"] == loaded
