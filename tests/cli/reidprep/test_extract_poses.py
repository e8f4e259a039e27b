"""`reidprep extract-poses` with the estimators that are not the default."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.options import ESTIMATOR_SETTINGS, estimator_settings
from reid_cli.reidprep.main import main

from reidprep.poses.reader import PoseSet


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["extract-poses", *map(str, arguments)])


def test_help_lists_the_options_of_each_estimator_under_its_heading() -> None:
    text = invoke("--help").output
    headings = ["Options:", "MMPose models", "ONNX models", "Keypoint files"]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)
    for option, heading in (
        ("--estimator", 0),
        ("--json", 0),
        ("--flip-test", 0),
        ("--mmpose-config", 1),
        ("--onnx-mean", 2),
        ("--keypoints", 3),
    ):
        place = text.index(f"  {option} ")
        assert [start < place for start in places].count(True) == heading + 1
    assert text.count("--estimator files") >= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pattern", "{{pid}}", "--dataset", "csv"], "--pattern goes with --dataset pattern, not csv"),
        (["--split-by-identity", "1.5"], "1.5 is not in the range 0<=x<=1"),
        (["--onnx-padding", "1.1"], "--estimator movenet takes no --onnx-padding; it belongs to --estimator onnx"),
        (
            ["--estimator", "files", "--keypoints", "{here}", "--flip-test"],
            "--estimator files takes no --flip-test; it belongs to --estimator movenet and mmpose",
        ),
        (["--estimator", "onnx"], "--estimator onnx needs --onnx"),
        (["--estimator", "mmpose"], "--estimator mmpose needs --mmpose-config"),
        (["--estimator", "files"], "--estimator files needs --keypoints"),
        (["--estimator", "onnx", "--onnx", "{here}", "--keypoints", "{here}"], "takes no --keypoints"),
        (["--onnx-mean", "1,2"], "'1,2' is not three numbers A,B,C"),
        (["--onnx-std", "1,nan,3"], "'nan' is not a finite number"),
        (["--onnx-std", "1,b,3"], "'b' is not a valid float"),
        (["--onnx-input-size", "256"], "'256' is not HEIGHTxWIDTH"),
        (["--onnx", "{here}/missing.onnx"], "does not exist"),
        (["--keypoint-format", "posetrack"], "'posetrack' is not one of"),
        (["--dataset-option", "split=1", "--dataset-option", "split=2"], "split=1 split=2: a key is given twice"),
        (["--seed", "1", "--dataset-option", "seed=2"], "--dataset-option seed= says what an option of its own says"),
        (["--grow", "--overwrite"], "--grow keeps what --overwrite discards; give one of them"),
    ],
)
def test_wrong_combinations_are_usage_errors(drawn: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    here = Path(__file__)
    result = invoke(drawn, tmp_path / "out", *(argument.format(here=here) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_keypoint_files_with_an_image_missing(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    exported = tmp_path / "keypoints"
    result = CliRunner().invoke(main, ["export", str(drawn_poses), str(exported), "--format", "openpose"])
    assert result.exit_code == 0, result.output
    path = PoseSet(drawn_poses).column("paths")[1]
    (exported / Path(path).with_suffix("")).with_name(f"{Path(path).stem}_keypoints.json").unlink()
    arguments = (drawn, tmp_path / "poses", "--estimator", "files", "--keypoints", exported, "--confidence", 0.3)
    result = invoke(*arguments, "--json")
    assert result.exit_code == 3, result.output
    assert [entry["path"] for entry in json.loads(result.stdout)["skipped_files"]] == [path]
    assert PoseSet(tmp_path / "poses").plan.confidence == 0.3

    result = invoke(drawn, tmp_path / "other", "--estimator", "files", "--keypoints", exported, "--batch-size", 4)
    assert result.exit_code == 1 and "leave out --batch-size" in result.output
    (exported / "broken_keypoints.json").write_text('{"people": [')
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "broken_keypoints.json, line 1, column 13: is not valid JSON" in " ".join(result.output.split())


def test_files_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = dict.fromkeys(ESTIMATOR_SETTINGS)
    for name in ("config.py", "rtmpose-m"):
        assert estimator_settings("mmpose", {**nothing, "mmpose_config": name}) == {"mmpose_config": name}
    (tmp_path / "config.py").touch()
    given = {**nothing, "mmpose_config": "config.py", "mmpose_checkpoint": "https://host/m.pth"}
    expected = {"mmpose_config": str(tmp_path / "config.py"), "mmpose_checkpoint": "https://host/m.pth"}
    assert estimator_settings("mmpose", given) == expected
    given = {**nothing, "keypoints": Path("k"), "keypoint_format": "coco"}
    assert estimator_settings("files", given) == {"keypoints": tmp_path / "k", "keypoint_format": "coco"}


def test_an_onnx_file(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    result = invoke(drawn, tmp_path / "poses", "--estimator", "onnx", "--onnx", tmp_path / "model.onnx")
    assert result.exit_code == 1 and "is not a usable ONNX file" in result.output
