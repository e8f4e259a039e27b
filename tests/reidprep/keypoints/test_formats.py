"""What each format is read as; documents as the tools write them."""

import json
from pathlib import Path

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.keypoints.reading import read_keypoints
from reidprep.skeleton import COCO17_JOINTS, INDEX, JOINTS, from_coco17

from .conftest import COCO_NAMES, coco, mmpose, openpose, points

# The parts of OpenPose's BODY_25, from its documentation.
BODY_25 = (
    "nose", "neck", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "mid_hip",
    "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear",
    "l_big_toe", "l_small_toe", "l_heel", "r_big_toe", "r_small_toe", "r_heel",
)  # fmt: skip


def by_name(names: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """(18, 3) by looking each joint up by name."""
    return np.array([values[names.index(joint)] for joint in JOINTS])


def only_entry(source: Path, format: str, **options):
    for asked in (format, None):
        keypoints = read_keypoints(source, asked, **options)
        assert keypoints.format == format
        (entry,) = keypoints.content.entries
    return entry


def test_openpose_with_both_models(write) -> None:
    coco18, body25 = points(18), points(25, 1)
    write("query/a.b_keypoints.json", openpose(coco18))
    write("other.json", "{")  # not one of OpenPose's
    write("._c_keypoints.json", b"\0\xff")  # as macOS puts beside files
    folder = write("c_keypoints.json", openpose(body25, coco18)).parent
    for format in (None, "openpose"):
        keypoints = read_keypoints(folder, format)
        assert (keypoints.format, keypoints.files, keypoints.content.confidence) == ("openpose", 2, 0.05)
        one, two = keypoints.content.entries
        assert (one.name, one.has_suffix, two.name) == ("c", False, "query/a.b")
        np.testing.assert_array_equal(one.people, [by_name(BODY_25, body25), coco18])
        np.testing.assert_array_equal(two.people, coco18[None])


def test_openpose_with_nobody_and_with_a_face_alone(write) -> None:
    assert only_entry(write("a_keypoints.json", openpose()), "openpose").people.shape == (0, 18, 3)
    assert only_entry(write("a_keypoints.json", openpose(np.zeros(0))), "openpose").people.shape == (0, 18, 3)


@pytest.mark.parametrize("score", [2.0, 1.0])
def test_coco_annotations_hold_visibility(write, score: float) -> None:
    person = np.round(points(17))
    person[:, 2] = score
    person[3] = (0, 0, 0)
    entry = only_entry(write("a.json", coco({"query/x.jpg": [person]})), "coco")
    expected = person.copy()
    expected[:, 2] /= 2
    assert (entry.name, entry.has_suffix) == ("query/x.jpg", True)
    np.testing.assert_array_equal(entry.people, from_coco17(expected[None]))
    assert "visibility" in read_keypoints(Path(entry.where.partition(":")[0])).content.score_scale


def test_coco_annotations_with_scores(write) -> None:
    one, two = points(17), points(17, 1)
    document = coco({"x.jpg": [one, two], "empty.jpg": []})
    # Neither of these is a person's pose.
    document["annotations"] += [
        {"image_id": 0, "category_id": 1, "iscrowd": 1, "keypoints": one.ravel().tolist()},
        {"image_id": 0, "category_id": 1, "bbox": [0, 0, 1, 1]},
        {"image_id": 0, "category_id": 2, "keypoints": one.ravel().tolist()},
    ]
    document["categories"].append({"id": 2, "name": "dog", "keypoints": ["tail"]})
    x, empty = read_keypoints(write("a.json", document)).content.entries
    np.testing.assert_array_equal(x.people, from_coco17(np.array([one, two])))
    assert (empty.name, len(empty.people)) == ("empty.jpg", 0)


def test_coco_results_name_their_images(write) -> None:
    person = points(17)
    flat = person.ravel().tolist()

    def results(image: object) -> Path:
        return write("r.json", [{"image_id": image, "category_id": 1, "keypoints": flat, "score": 0.5}])

    entry = only_entry(results(397133), "coco")
    assert (entry.name, entry.has_suffix) == ("000000397133", False)
    np.testing.assert_array_equal(entry.people, from_coco17(person[None]))
    assert (lambda e: (e.name, e.has_suffix))(only_entry(results("query/x.jpg"), "coco")) == ("query/x.jpg", True)
    assert (lambda e: (e.name, e.has_suffix))(only_entry(results("x"), "coco")) == ("x", False)

    images = write("instances.json", {"images": [{"id": 7, "file_name": "a/y.jpg"}, {"id": 8, "file_name": "z.jpg"}]})
    y, z = read_keypoints(results(7), images=images).content.entries
    assert (y.name, y.has_suffix, len(y.people), z.name, len(z.people)) == ("a/y.jpg", True, 1, "z.jpg", 0)
    with pytest.raises(ReidError, match=r"r\.json: result 0: image_id 9 is none of the images"):
        read_keypoints(results(9), images=images)


@pytest.mark.parametrize("count", [17, 18, 26, 133])
def test_mmpose(write, count: int) -> None:
    person = points(count)
    expected = person if count == 18 else from_coco17(person[None, :17])[0]
    if count == 26:
        expected[INDEX["neck"]] = person[18]
    one = only_entry(write("one/x.y.json", mmpose(person)), "mmpose")
    assert (one.name, one.has_suffix) == ("x.y", False)
    np.testing.assert_array_equal(one.people, expected[None])
    demo = {"meta_info": {}, "instance_info": mmpose(person, person)}
    many = only_entry(write("two/results_x.json", demo), "mmpose")
    assert (many.name, len(many.people)) == ("x", 2)
    assert len(only_entry(write("three/x.json", []), "mmpose").people) == 0


def test_a_folder_of_mmpose(write) -> None:
    write("query/x.json", mmpose(points(17)))
    folder = write("y.json", []).parent
    assert [entry.name for entry in read_keypoints(folder).content.entries] == ["y", "query/x"]


def table(names: tuple[str, ...], *rows: str) -> str:
    columns = [f"{joint}_{value}" for joint in names for value in ("x", "y", "score")]
    return "\n".join([",".join(["Path", *columns, "remark"]), *rows])


@pytest.mark.parametrize("names", [JOINTS, tuple(reversed(JOINTS)), COCO17_JOINTS])
def test_table(write, names: tuple[str, ...]) -> None:
    person = points(len(names))
    cells = ",".join(map(str, person.ravel().tolist()))
    text = table(names, f"query/x.jpg,{cells},-", "", f"query\\x.jpg,{cells},-", f"y.jpg{',' * (3 * len(names))},-")
    x, y = read_keypoints(write("t.csv", text)).content.entries
    expected = from_coco17(person[None])[0] if names is COCO17_JOINTS else by_name(names, person)
    assert (x.name, x.has_suffix, y.name) == ("query/x.jpg", True, "y.jpg")
    np.testing.assert_array_equal(x.people, [expected, expected])
    np.testing.assert_array_equal(y.people, np.zeros((1, 18, 3)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, 1e30, -1e300, 10**400])
def test_a_joint_that_is_no_position_is_missing(write, bad: object) -> None:
    values = points(18).ravel().tolist()
    for place in (3, 7, 11):
        values[place] = bad
    document = {"people": [{"pose_keypoints_2d": values}]}
    if isinstance(bad, int):
        with pytest.raises(ReidError, match="a huge number in place of a number"):
            read_keypoints(write("a_keypoints.json", document))
        return
    entry = only_entry(write("a_keypoints.json", document), "openpose")
    expected = points(18)
    expected[[1, 2, 3]] = 0
    np.testing.assert_array_equal(entry.people[0], expected)


def test_joints_outside_the_image_stay(write) -> None:
    person = points(18)
    person[4, :2] = (-500, 9000)
    assert only_entry(write("a_keypoints.json", openpose(person)), "openpose").people[0, 4, :2].tolist() == [-500, 9000]


def test_the_hash_is_over_names_and_contents(write) -> None:
    folder = write("a_keypoints.json", openpose(points(18))).parent
    hashes = [read_keypoints(folder).sha256]
    write("note.txt", "not read")
    assert read_keypoints(folder).sha256 == hashes[0]
    write("a_keypoints.json", openpose(points(18, 1)))
    hashes.append(read_keypoints(folder).sha256)
    (folder / "a_keypoints.json").rename(folder / "b_keypoints.json")
    hashes.append(read_keypoints(folder).sha256)
    assert len(set(hashes)) == 3
    renamed = folder.rename(folder.with_name("moved"))
    assert read_keypoints(renamed).sha256 == hashes[-1]


BODY25_NAMES = ["Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip"]


@pytest.mark.parametrize(
    ("names", "right"),
    [
        (COCO_NAMES, True),
        (COCO_NAMES[::-1], False),
        ([f"horse {number}" for number in range(17)], False),
        (list(JOINTS), True),
        ([*COCO_NAMES, "neck"], False),  # as trt_pose has them
        ([str(number) for number in range(18)], True),  # say nothing
        ([*BODY25_NAMES, *map(str, range(15))], True),
        ([*COCO_NAMES, *map(str, range(8))], False),
        ([*COCO_NAMES, "head", "neck", *map(str, range(7))], True),
        ([], True),
    ],
)
def test_names_of_joints_in_another_order_are_refused(write, names: list[str], right: bool) -> None:
    person = points(len(names) or 17)
    annotations = coco({"x.jpg": [person]})
    other = coco({"x.jpg": [person]})
    annotations["categories"][0]["keypoints"] = names
    other["categories"] = [{"id": 1, "name": "pedestrian", "keypoints": names}]
    results = write("r.json", [{"image_id": 0, "category_id": 1, "keypoints": person.ravel().tolist()}])
    meta = {"keypoint_id2name": dict(enumerate(names))}
    sources = [
        (write("a.json", annotations), None),
        (write("o.json", other), None),
        (results, write("i.json", annotations)),
        (write("results_x.json", {"meta_info": meta, "instance_info": mmpose(person)}), None),
    ]
    for source, images in sources:
        if right:
            assert len(read_keypoints(source, images=images).content.entries) == 1
        else:
            with pytest.raises(ReidError, match=r"json.*: keypoints are .*; expected nose, "):
                read_keypoints(source, images=images)


def test_reads_what_json_says_exactly(write) -> None:
    # The shortest decimals of float32 values.
    values = [1.1, 2.2, 0.3] * 18
    entry = only_entry(write("a_keypoints.json", json.dumps({"people": [{"pose_keypoints_2d": values}]})), "openpose")
    np.testing.assert_array_equal(entry.people[0], np.float32(values).reshape(18, 3))


def test_halpe_full_body_is_halpe_and_more(write) -> None:
    person = points(136)
    results = [{"image_id": "a.jpg", "category_id": 1, "keypoints": person.ravel().tolist()}]
    expected = only_entry(write("26.json", [{**results[0], "keypoints": person[:26].ravel().tolist()}]), "coco")
    np.testing.assert_array_equal(only_entry(write("136.json", results), "coco").people, expected.people)


@pytest.mark.parametrize(("listed", "joints"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_alphapose_open_and_cmu(write, listed: str, joints: str) -> None:
    person = points(18)
    image = {"version": "AlphaPose v0.3", listed: [{joints: person.ravel().tolist()}]}
    entry = only_entry(write("all/alphapose-results.json", {"q/a.jpg": image}), "alphapose")
    assert (entry.name, entry.has_suffix) == ("q/a.jpg", True)
    np.testing.assert_array_equal(entry.people, [person])
    entry = only_entry(write("sep-json/a.json", image).parent, "alphapose")
    assert (entry.name, entry.has_suffix) == ("a", False)
    np.testing.assert_array_equal(entry.people, [person])


def test_openpose_before_1_2(write) -> None:
    person = points(18)
    folder = write("a_keypoints.json", {"version": 1.0, "people": [{"pose_keypoints": person.ravel().tolist()}]}).parent
    np.testing.assert_array_equal(only_entry(folder, "openpose").people, [person])


def test_mmpose_before_1_0(write) -> None:
    person = points(17)
    folder = write("a.json", [{"bbox": [0, 0, 64, 128, 0.9], "keypoints": person.tolist()}]).parent
    np.testing.assert_array_equal(only_entry(folder, "mmpose").people, from_coco17(person[None]))


@pytest.mark.parametrize(
    ("factors", "message"), [((1, 1, 100), "divide percentages by 100"), ((1 / 64, 1 / 128, 1), "between -1 and 1")]
)
def test_other_scales_are_refused(write, factors: tuple[float, ...], message: str) -> None:
    with pytest.raises(ReidError, match=message):
        read_keypoints(write("a_keypoints.json", openpose(points(18) * np.float32(factors))).parent)
