from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.reidprep.export import FORMATS as OFFERED
from reid_cli.reidprep.main import main

from reidprep.export.base import FORMATS
from reidprep.poses.reader import PoseSet

from .conftest import contents


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.mark.parametrize("format", FORMATS)
def test_export(format: str, drawn_poses: Path, drawn_shards: Path, tmp_path: Path) -> None:
    source = drawn_shards if format in ("webdataset", "images") else drawn_poses
    result = invoke(source, tmp_path / "out", "--format", format, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert sum(content["images"].values()) == len(PoseSet(drawn_poses)) and content["format"] == format
    files = [tmp_path / "out"] if format == "coco" else list((tmp_path / "out").rglob("*_keypoints.json"))
    files = files or list((tmp_path / "out").rglob("*.predictions.json"))
    files = files or list((tmp_path / "out").glob("*.tar")) or list((tmp_path / "out").rglob("*.jpg"))
    assert (content["files"], content["bytes"]) == (len(files), sum(file.stat().st_size for file in files))
    text = invoke(source, tmp_path / "again", "--format", format, "--split", "query").output
    assert f"{content['images']['query']} images" in text and str(tmp_path / "again") in text


def test_the_formats_offered_are_those_of_the_library() -> None:
    assert tuple(FORMATS) == OFFERED


@pytest.mark.parametrize(
    ("source", "format", "message"),
    [
        ("poses", "webdataset", "holds poses, but --format webdataset takes shards; use --format coco or "),
        ("shards", "coco", "holds shards, but --format coco takes poses; use --format webdataset or --format images"),
        ("shards", "openpose", "holds shards, but --format openpose takes poses"),
        ("drawn", "coco", "no manifest.json here; expected a directory of poses (reidprep extract-poses) or shards"),
        ("gone", "coco", "no such directory"),
    ],
)  # fmt: skip
def test_the_wrong_kind_of_folder(
    source: str, format: str, message: str, drawn: Path, drawn_poses: Path, drawn_shards: Path, tmp_path: Path
) -> None:
    places = {"drawn": drawn, "poses": drawn_poses, "shards": drawn_shards, "gone": tmp_path / "gone"}
    result = invoke(places[source], tmp_path / "out", "--format", format)
    assert result.exit_code == 1 and f"Error: {places[source]}: {message}" in result.stderr
    assert contents(tmp_path) == {}


def test_poses_that_are_not_complete(drawn_poses: Path, tmp_path: Path) -> None:
    content = json.loads((drawn_poses / "manifest.json").read_text())
    content.pop("sha256", None)
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses" / "manifest.json").write_text(json.dumps({**content, "complete": False}))
    result = invoke(tmp_path / "poses", tmp_path / "out", "--format", "coco")
    assert result.exit_code == 1 and "the poses are not complete" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--format", "yolo"],
        ["--format", "coco", "--samples-per-tar", "5"],
        ["--format", "webdataset", "--parts"],
        ["--format", "images", "--part-size", "64x64"],
        ["--format", "webdataset", "--samples-per-tar", "0"],
    ],
)
def test_wrong_usage(arguments: list[str], drawn_poses: Path, tmp_path: Path) -> None:
    assert invoke(drawn_poses, tmp_path / "out", *arguments).exit_code == 2
    assert contents(tmp_path) == {}
