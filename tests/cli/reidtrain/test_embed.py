from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from reid_cli.reidtrain.main import main

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.images import read_image
from reidtrain.features.files import read_arrays

HERE = ("--workers", 1, "--device", "cpu")
SMALLEST = ("attention-driven-market1501", "model.branches=[head]")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["embed", *map(str, arguments), *map(str, HERE)])


def test_a_folder_becomes_a_file_and_what_is_wrong_with_its_images_is_told(make_run, drawn, tmp_path) -> None:
    run = make_run("run", *SMALLEST)
    shutil.copytree(drawn / "query", tmp_path / "photos/below")
    (tmp_path / "photos/damaged.jpg").write_bytes(b"\xff\xd8\xffno image")
    (tmp_path / "photos/below/moving.gif").write_bytes(b"GIF89a")
    ignored = "photos: ignored 1 file that is no image file: below/moving.gif"
    result = invoke(run, tmp_path / "photos", tmp_path / "features.npz")
    assert result.exit_code == 3 and "4 images in" in result.stdout, result.output
    assert "1 image was skipped:\n  damaged.jpg: " in result.stderr and ignored in result.stderr
    assert read_arrays(tmp_path / "features.npz", ["paths"])["paths"].tolist()[0].startswith("below/")

    result = invoke(run, tmp_path / "photos/below", tmp_path / "features", "--json", "--not-encoded")
    about = json.loads(result.stdout)
    assert result.exit_code == 0 and about["samples"] == 4 and not about["encoded"] and about["skipped_files"] == []
    assert about["notes"][0].endswith(": ignored 1 file that is no image file: moving.gif")


def test_frames_and_tiny_images_are_told(make_run, drawn, tmp_path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(drawn / "query", photos)
    people = [read_image(photo) for photo in sorted(photos.iterdir())]
    Image.fromarray(np.concatenate(people, axis=1)).save(photos / "frame.png")
    Image.fromarray(np.full((5, 5, 3), 128, np.uint8)).save(photos / "tiny.png")
    result = invoke(make_run("run", *SMALLEST), photos, tmp_path / "features.npz")
    assert result.exit_code == 0 and "6 images in" in result.stdout, result.output
    assert "1 lower than 32 pixels, 1 wider than high" in result.stderr and "few joints" in result.stderr
    assert "note: of an image with several people one is taken; give the others' boxes" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keypoints", "."], "--estimator movenet takes no --keypoints; it belongs to --estimator files"),
        (["--estimator", "onnx"], "--estimator onnx needs --onnx"),
        (["--shards", "nowhere"], "nowhere"),
    ],
)
def test_options_that_do_not_fit_the_checkpoint_are_plain_errors(options, message, make_run, drawn, tmp_path) -> None:
    result = invoke(make_run("run", *SMALLEST), drawn, tmp_path / "out.npz", *options)
    assert result.exit_code == 1 and message in result.output and not (tmp_path / "out.npz").exists()


def test_another_way_to_find_joints_is_noted(make_run, drawn, tmp_path) -> None:
    result = invoke(make_run("run", *SMALLEST), drawn / "query", tmp_path / "out.npz", "--flip-test")
    assert result.exit_code == 0 and "note: crops are cut otherwise" in result.stderr
