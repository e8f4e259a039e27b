"""Files that are broken, hostile, or something else."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidprep.keypoints.matching import Names
from reidprep.keypoints.reading import FORMATS, read_keypoints
from reidprep.skeleton import JOINTS

from .conftest import coco, mmpose, openpose, points

HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"people": [\n {"pose', r"a_keypoints\.json, line 2, column 3: is not valid JSON"),
        ("", "line 1, column 1: is not valid JSON"),
        (b'{"people": "\xff\xfe"}', "is not UTF-8 text, from byte 12 on"),
        ("[" * 200_000, "is nested too deeply|is not valid JSON"),
        ('{"people": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply|people is|person 0"),
        ('{"people": [{"pose_keypoints_2d": [' + ",".join([HUGE] * 54) + "]}]}", r"a_keypoints\.json: "),
        ('{"people": {}}', "people is an object; expected a list"),
        ("{}", "people is missing; expected a list"),
        ("[]", "a list in place of an object with the field people"),
        ("null", "null in place of an object"),
        ('{"people": [3]}', "person 0: 3 in place of an object"),
        ('{"people": [{"pose_keypoints_2d": "1,2"}]}', 'person 0: pose_keypoints_2d is "1,2"; expected a list'),
        (
            '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}',
            "person 0 has 3 numbers; OpenPose's models COCO and BODY_25",
        ),
        (json.dumps({"people": [{"pose_keypoints_2d": ["1.5"] * 54}]}), 'person 0: "1.5" in place of a number'),
        (json.dumps({"people": [{"pose_keypoints_2d": [True] * 54}]}), "person 0: true in place of a number"),
        (json.dumps({"people": [{"pose_keypoints_2d": [[1]] * 54}]}), "person 0: a list in place of a number"),
    ],
)
def test_openpose(write, content: Any, message: str) -> None:
    file = write("a_keypoints.json", content)
    with pytest.raises(ReidError, match=message) as caught:
        read_keypoints(file.parent)
    assert str(file) in str(caught.value) and len(str(caught.value)) < 600


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    document = coco({"x.jpg": [points(17)], "y.jpg": []})
    target: Any = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed(["annotations", 0, "image_id"], 5), "annotation 0: image_id 5 is none of the images"),
        (changed(["annotations", 0, "image_id"], [1]), "annotation 0: image_id is a list; expected a number or text"),
        (changed(["annotations", 0, "keypoints"], [1.0] * 50), "annotation 0: 50 numbers are no x, y, score"),
        (changed(["annotations", 0, "keypoints"], [1.0] * 63), "63 numbers .* known numbers of joints: 17 .COCO."),
        (changed(["annotations", 0, "keypoints"], {"x": 1}), "annotation 0: keypoints is an object"),
        (changed(["annotations", 0, "category_id"], [1]), None),
        (changed(["annotations", 0], 1), "annotation 0: 1 in place of an object"),
        (changed(["annotations"], {}), "annotations is an object; expected a list"),
        (changed(["images"], None), "images is null; expected a list"),
        (changed(["images", 1, "id"], 0), 'image 1 has the id 0 or the file_name "y.jpg" of one before'),
        (changed(["images", 1, "file_name"], "x.jpg"), 'image 1 has the id 1 or the file_name "x.jpg" of one before'),
        (changed(["images", 1, "file_name"], 3), "image 1: file_name is 3; expected a text"),
        (changed(["categories", 0], "person"), "category 0: "),
        (changed(["categories"], 5), "categories is 5; expected a list"),
        ([{"image_id": 1}], "result 0: keypoints is missing"),
        ([{"image_id": 1.5, "keypoints": []}], r"result 0: image_id is 1\.5"),
        ([{"image_id": -(10**30), "keypoints": [0] * 50}], "result 0: 50 numbers"),
    ],
)
def test_coco(write, document: Any, message: str | None) -> None:
    file = write("a.json", document)
    if message is None:  # of no use, but no harm
        assert not any(len(entry.people) for entry in read_keypoints(file, "coco").content.entries)
        return
    with pytest.raises(ReidError, match=message):
        read_keypoints(file, "coco")


@pytest.mark.parametrize("confidence", [None, "0.3", float("nan"), float("inf"), -1, 10**400])
def test_a_confidence_that_is_none(write, confidence: Any) -> None:
    info = {"schema": "reidprep.coco", "joints": JOINTS, "estimator": {"score_scale": "x"}, "confidence": confidence}
    with pytest.raises(ReidError, match=r"a\.json: info\.reidprep: "):
        read_keypoints(write("a.json", coco({}, info={"reidprep": info})))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"frame_id": 0, "instances": []}], "holds the frames of a video"),
        ([{"keypoints": [[1, 2]], "keypoint_scores": [1, 2]}], "expected as many keypoints"),
        ([{"keypoints": [[1, 2, 3]] * 17, "keypoint_scores": [1] * 17}], "are these 2D predictions"),
        ([{"keypoints": [[1, "2"]] * 17, "keypoint_scores": [1] * 17}], 'person 0: "2" in place of a number'),
        ([{"keypoints": [[1, 2]] * 21, "keypoint_scores": [1] * 21}], "63 numbers are no x, y, score"),
        ([{"keypoints": [[1, 2]] * 17}], "keypoint_scores is missing"),
        ({"instance_info": 3}, "instance_info is 3"),
        ("text", '"text" in place of a list of people'),
    ],
)
def test_mmpose(write, document: Any, message: str) -> None:
    with pytest.raises(ReidError, match=message):
        read_keypoints(write("a.json", json.dumps(document)), "mmpose")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [], r"the first line must name the columns path,.*; missing: path, nose_x"),
        (lambda lines: [lines[0].replace("l_ear_y", "ear"), *lines[1:]], r"missing: l_ear_y$"),
        (lambda lines: [lines[0].replace("l_ear_y", "l_ear_x"), *lines[1:]], "missing: l_ear_y"),
        (lambda lines: [lines[0] + ",nose_x", *lines[1:]], "names a column twice: nose_x"),
        (lambda lines: [lines[0], lines[1] + ",1"], "line 2: 56 values for 55 columns"),
        (lambda lines: [lines[0], "", lines[1].replace("1.5", "1_5", 1)], "line 3: nose_x '1_5' is not a number"),
        (lambda lines: [lines[0], lines[1].replace("1.5", "1,5", 1)], "line 2: 56 values"),
        (lambda lines: [lines[0], lines[1].replace("1.5", "x" * 999, 1)], "line 2: nose_x 'x{40}' is not a number"),
        (lambda lines: [lines[0], lines[1].replace("1.5", '"1.5', 1)], "is not valid CSV"),
    ],
)
def test_table(write, change, message: str) -> None:
    header = ",".join(["path", *(f"{joint}_{value}" for joint in JOINTS for value in ("x", "y", "score"))])
    good = [header, ",".join(["x.jpg", *["1.5"] * 54])]
    assert len(read_keypoints(write("good.csv", "\n".join(good))).content.entries) == 1
    with pytest.raises(ReidError, match=message):
        read_keypoints(write("t.csv", "\n".join(change(good))))


def test_what_is_no_keypoint_file(write, tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="is no keypoint file that is known; --keypoint-format is one of openpose"):
        read_keypoints(write("a.json", {"a": 1}))
    with pytest.raises(ReidError, match=r"missing\.json: cannot be read"):
        read_keypoints(tmp_path / "missing.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReidError, match="holds no NAME_keypoints.json"):
        read_keypoints(tmp_path / "empty")
    with pytest.raises(ReidError, match="is a folder; keypoints of the format coco are one file"):
        read_keypoints(tmp_path / "empty", "coco")
    with pytest.raises(ReidError, match="unknown keypoint format 'posetrack'"):
        read_keypoints(tmp_path / "empty", "posetrack")
    images = write("images.json", {"images": []})
    with pytest.raises(ReidError, match="--keypoint-images is for lists of COCO results, this is mmpose"):
        read_keypoints(write("m.json", []), images=images)
    with pytest.raises(ReidError, match="names its images itself; leave out --keypoint-images"):
        read_keypoints(write("c.json", coco({})), images=images)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(write) -> None:
    folder = write("a_keypoints.json", openpose(points(18))).parent
    os.mkfifo(folder / "b_keypoints.json")
    assert read_keypoints(folder).files == 1


@pytest.mark.parametrize("scale", [1, -1])
def test_coordinates_relative_to_the_image_are_noticed(write, scale: int) -> None:
    person = points(18)
    person[:, :2] *= scale / 128
    with pytest.raises(ReidError, match="all coordinates lie between -1 and 1; write them in pixels"):
        read_keypoints(write("a_keypoints.json", openpose(person)).parent)


def test_two_entries_of_one_name(write) -> None:
    write("results_x.json", {"instance_info": mmpose(points(17))})
    folder = write("x.json", mmpose(points(17))).parent
    with pytest.raises(ReidError, match=r"results_x\.json and .*x\.json are both about x; remove one"):
        Names(read_keypoints(folder).content.entries)


DOCUMENTS = {
    "openpose": openpose(points(18), points(25)),
    "coco": coco({"x.jpg": [points(17)], "y.jpg": [points(17, 1), points(17, 2)]}),
    "mmpose": mmpose(points(17), points(26)),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def with_one_value_changed(document: Any, data: st.DataObject) -> Any:
    """A copy in which something, at any depth, is another value, or missing."""
    if isinstance(document, dict | list) and document and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(document) if isinstance(document, dict) else range(len(document))))
        copy: Any = document.copy()
        if data.draw(st.integers(0, 4)):
            copy[key] = with_one_value_changed(document[key], data)
        else:
            del copy[key]
        return copy
    return data.draw(VALUES)


@pytest.mark.parametrize("format", list(DOCUMENTS))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(tmp_path: Path, format: str, data: st.DataObject) -> None:
    file = tmp_path / "any.json"
    file.write_text(json.dumps(with_one_value_changed(DOCUMENTS[format], data)))
    for asked in (None, *FORMATS):
        try:
            content = read_keypoints(file, asked).content
        except ReidError:
            continue
        assert all(np.isfinite(entry.people).all() for entry in content.entries)
