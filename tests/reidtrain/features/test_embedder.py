"""Features of images are those of the way over poses and shards; what cannot be done is said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep import read_image
from reidprep.alignment.align import Flag
from reidprep.alignment.canonical import load
from reidprep.errors import ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.shards.reader import ShardSet
from reidprep.store.fields import plain
from reidtrain.checkpoints import Checkpoint
from reidtrain.features.embedder import Embedder, embed_to_file
from reidtrain.features.extract import extract_features
from reidtrain.features.extractor import Computing
from reidtrain.features.files import read_about, read_arrays

HERE = Computing(device="cpu", workers=2, batch_size=5)


def changed(checkpoint: Checkpoint, **poses: object) -> Checkpoint:
    """The same network, as if trained on shards of other poses."""
    plan = checkpoint.shard_plan()
    used = replace(plan, poses=replace(plan.poses, **poses))
    return replace(checkpoint, source={**checkpoint.source, "plan": plain(used)})


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    return make_checkpoint("attention-driven", {"branches": ["whole", "head"], "attention": "none"})


@pytest.fixture(scope="module")
def embedder(checkpoint: Checkpoint, estimator: PoseEstimator) -> Embedder:
    return Embedder(checkpoint, HERE, estimator=estimator)


@pytest.mark.parametrize(
    ("network", "model", "flip"),
    [
        ("attention-driven", {"branches": ["whole", "head", "lower_leg"]}, True),
        ("self-attention", {"dilation": False, "multi_level": False, "stage6": False}, False),
    ],
)
def test_features_of_a_folder_are_those_of_its_shards(
    network, model, flip, make_checkpoint, drawn, drawn_shards
) -> None:
    checkpoint, how = make_checkpoint(network, model), replace(HERE, flip=flip)
    over_shards = extract_features(checkpoint, drawn_shards, computing=replace(how, workers=0))
    features = Embedder(checkpoint, how)(drawn)
    assert features.paths is not None and sorted(features.paths) == list(features.paths)
    places = {path: row for row, path in enumerate(features.paths.tolist())}
    rows = np.array([places[path] for path in over_shards.paths.tolist()])
    assert len(features.paths) == len(rows) == 22 and set(features.pids) == {-1}
    assert features.dimensions == over_shards.dimensions
    for name, theirs in over_shards.arrays.items():
        np.testing.assert_allclose(features.arrays[name][rows], theirs, atol=4e-6 * np.abs(theirs).max())
    if network == "attention-driven":
        assert features.flags is not None
        assert features.flags[rows].tolist() == ShardSet.open(drawn_shards).column("flags").tolist()


def test_encoding_is_left_out_on_demand(checkpoint, embedder, drawn, estimator) -> None:
    raw = Embedder(checkpoint, HERE, encoded=False, estimator=estimator)(drawn / "query").embedding
    encoded = embedder(drawn / "query").embedding
    difference = np.linalg.norm(raw - encoded, axis=1).max()
    assert 1e-5 < difference < 0.1 * np.linalg.norm(encoded, axis=1).min()


def test_images_may_be_files_arrays_or_boxes_in_frames(embedder, drawn) -> None:
    files = sorted((drawn / "query").iterdir())[:3]
    expected = embedder(drawn / "query")
    images = [read_image(file) for file in files]
    frame = np.concatenate(images, axis=1)
    width = images[0].shape[1]
    boxes = [(number * width, 0, (number + 1) * width, frame.shape[0]) for number in range(3)]
    boxed = embedder(frame, boxes)
    assert boxed.paths is not None and boxed.paths[1] == f"0#xywh={width},0,{width},{frame.shape[0]}"
    for features in (embedder(files), embedder(images), boxed, embedder([frame, images[0]], [boxes, []])):
        np.testing.assert_allclose(features.embedding, expected.embedding[:3], atol=1e-5)
    twice = embedder(frame, [boxes[1], boxes[1], boxes[0]])  # a row each
    np.testing.assert_allclose(twice.embedding, expected.embedding[[1, 1, 0]], atol=1e-5)


def test_a_csv_file_lists_images_and_boxes(embedder, drawn, tmp_path) -> None:
    names = [file.name for file in sorted((drawn / "query").iterdir())[:2]]
    frame = np.concatenate([read_image(drawn / "query" / name) for name in names], axis=1)
    Image.fromarray(frame).save(tmp_path / "frame.png")
    (tmp_path / "people.csv").write_text("path,x,y,width,height\nframe.png,0,0,64,128\nframe.png,64,0,64,128\n")
    features = embedder(tmp_path / "people.csv")
    assert features.paths is not None and features.paths[1] == "frame.png#xywh=64,0,64,128"
    np.testing.assert_allclose(features.embedding, embedder(drawn / "query").embedding[:2], atol=1e-5)


def test_what_cannot_be_read_is_skipped_and_listed(embedder, drawn, tmp_path) -> None:
    good = next((drawn / "query").iterdir())
    (tmp_path / "good.jpg").write_bytes(good.read_bytes())
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:500])
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    embedded = embedder.embed(tmp_path)
    assert embedded.features.paths is not None and embedded.features.paths.tolist() == ["good.jpg"]
    assert [entry.path for entry in embedded.skipped] == ["cut.jpg"] and "cut off" in embedded.skipped[0].reason
    with pytest.raises(ReidError, match=r"cut\.jpg: .*Embedder\.embed, which skips it"):
        embedder(tmp_path)
    (tmp_path / "good.jpg").unlink()
    with pytest.raises(ReidError, match="none of 1 image can be used"):
        embedder.embed(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [("nothing", "no such file"), ("empty", "holds no image"), ("list.txt", "is no image"), ("list.csv", "path")],
)
def test_what_is_no_images_is_refused(source, message, embedder, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("a.jpg\n")
    (tmp_path / "list.csv").write_text("file\na.jpg\n")
    with pytest.raises(ReidError, match=message):
        embedder(tmp_path / source)


@pytest.mark.parametrize(
    "boxes",
    [[(0, 0, 0, 10)], [(500, 0, 600, 10)], [(0, 0, np.nan, 10)], [(0, 0, 10)], [(0, 0, 64, 99, 0.9)] * 4],
)
def test_boxes_without_pixels_are_refused(boxes, embedder) -> None:
    with pytest.raises(ValueError, match="box"):
        embedder(np.zeros((128, 64, 3), np.uint8), boxes)


@pytest.mark.parametrize("size", [(5, 5), (128, 64), (1, 1), (40, 600)])
def test_an_image_without_a_person_has_features_and_a_doubt(size, embedder) -> None:
    features = embedder(np.full((*size, 3), 128, np.uint8))
    assert np.isfinite(features.embedding).all() and features.flags is not None
    assert Flag.FEW_JOINTS in Flag(int(features.flags[0]))


def test_the_file_says_how_its_features_were_made(embedder, drawn, tmp_path) -> None:
    about, embedded = embed_to_file(embedder, drawn / "query", tmp_path / "features.npz")
    assert read_about(tmp_path / "features.npz") == json.loads(json.dumps(about))
    assert about["crops"]["estimator"]["name"] == "movenet" and about["encoded"] and about["samples"] == 4
    arrays = read_arrays(tmp_path / "features.npz", ["features", "head", "pids", "paths", "flags"])
    np.testing.assert_array_equal(arrays["features"], embedded.features.embedding)
    with pytest.raises(ReidError, match="exists already"):
        embed_to_file(embedder, drawn / "query", tmp_path / "features.npz")


@pytest.mark.parametrize(
    ("planned", "message"),
    [
        ("files", "keypoint files, .*--estimator files --keypoints"),
        ("onnx", "--onnx FILE"),
        ("mmpose", "--mmpose-config"),
    ],
)
def test_an_estimator_that_cannot_be_made_again_is_asked_for(planned, message, checkpoint) -> None:
    plan = replace(checkpoint.shard_plan().poses.estimator, name=planned)
    with pytest.raises(ReidError, match=message):
        Embedder(changed(checkpoint, estimator=plan), HERE)


def test_another_estimator_is_taken_with_a_note(checkpoint, drawn, embedder, estimator) -> None:
    plan = replace(checkpoint.shard_plan().poses.estimator, name="files", score_scale="of another kind")
    other = Embedder(changed(checkpoint, estimator=plan, confidence=0.7), HERE, estimator=estimator)
    assert len(other.notes) == 1 and "name files -> movenet" in other.notes[0]
    assert other.plan.confidence == 0.3
    np.testing.assert_allclose(other(drawn / "query").embedding, embedder(drawn / "query").embedding, atol=1e-6)


def test_other_canonical_poses_and_calibrations_are_asked_for_or_noted(checkpoint, drawn, embedder) -> None:
    plan = checkpoint.shard_plan()
    plan = replace(plan, canonical_sha256="0" * 64, noise=replace(plan.noise, sha256="1" * 64))
    other = replace(checkpoint, source={**checkpoint.source, "plan": plain(plan)})
    with pytest.raises(ReidError, match="give their file by --canonical, or .* --canonical shipped"):
        Embedder(other, HERE)
    taken = Embedder(other, HERE, canonical=load())
    assert "other canonical poses; another calibration" in taken.notes[0]
    assert taken.about()["crops"] == embedder.about()["crops"]


def test_a_checkpoint_of_before_takes_the_plan_of_its_shards(checkpoint, drawn_shards, drawn, embedder) -> None:
    older = {key: value for key, value in checkpoint.source.items() if key != "plan"}
    before = replace(checkpoint, source={**older, "path": "/nowhere", "manifest_sha256": "0"})
    with pytest.raises(ReidError, match="give them by --shards"):
        Embedder(before, HERE)
    sha256 = hashlib.sha256((drawn_shards / "manifest.json").read_bytes()).hexdigest()
    found = replace(checkpoint, source={**older, "path": str(drawn_shards), "manifest_sha256": sha256})
    expected = embedder(drawn / "query").embedding
    for again in (Embedder(before, HERE, shards=drawn_shards), Embedder(found, HERE)):
        np.testing.assert_array_equal(again(drawn / "query").embedding, expected)


def test_a_damaged_plan_is_named(checkpoint) -> None:
    with pytest.raises(ReidError, match=r"the plan of its shards is damaged \(.*\); give --shards"):
        Embedder(replace(checkpoint, source={**checkpoint.source, "plan": {"beta": 2}}), HERE)


def test_a_network_of_other_images_has_no_crops(checkpoint) -> None:
    with pytest.raises(ReidError, match="trained on no shards of people"):
        Embedder(replace(checkpoint, source={"kind": "folder"}), HERE)
