import numpy as np
import pytest

from reidprep.datasets.images import Box
from reidprep.errors import ReidError
from reidprep.keypoints.base import Entry
from reidprep.keypoints.matching import Names

NOBODY = np.zeros((0, 18, 3), np.float32)


def entries(*names: str, suffix: bool = False) -> list[Entry]:
    return [Entry(name, suffix, f"{name}.json", NOBODY) for name in names]


@pytest.mark.parametrize(
    ("name", "suffix", "path", "fits"),
    [
        ("query/x.jpg", True, "query/x.jpg", True),
        ("x.jpg", True, "query/x.jpg", True),
        ("/data/market/query/x.jpg", True, "query/x.jpg", True),
        ("C:/market/query/x.jpg", True, "query/x.jpg", True),
        ("./query/x.jpg", True, "query/x.jpg", True),
        ("gallery/x.jpg", True, "query/x.jpg", False),
        ("x.png", True, "query/x.jpg", False),
        ("1x.jpg", True, "x.jpg", False),
        ("x", False, "query/x.jpg", True),
        ("query/x", False, "query/x.jpg", True),
        ("x.0", False, "query/x.0.jpg", True),
        ("x", False, "query/x.0.jpg", False),
        ("gallery/x", False, "query/x.jpg", False),
        ("", True, "x.jpg", False),
        ("/", False, "x.jpg", False),
    ],
)
def test_which_names_fit(name: str, suffix: bool, path: str, fits: bool) -> None:
    match = Names(entries(name, suffix=suffix)).find(path)
    assert (match is not None) == fits


def test_the_whole_path_goes_before_its_end() -> None:
    names = Names(entries("x", "query/x"))
    assert names.find("query/x.jpg").entry.name == "query/x"
    assert names.find("gallery/x.jpg").entry.name == "x"
    both = Names(entries("x") + entries("a/x.jpg", suffix=True))
    assert both.find("a/x.jpg").entry.name == "a/x.jpg"


def test_two_that_fit_are_named() -> None:
    with pytest.raises(ReidError, match=r"b/x\.jpg: both a/b/x\.json .a/b/x. and c/b/x\.json .c/b/x. fit"):
        Names(entries("a/b/x", "c/b/x")).find("b/x.jpg")


def test_one_that_fits_two_images_is_named() -> None:
    names = Names(entries("x"))
    names.check(["a/x.jpg", "a/y.jpg", "a/x.jpg"])
    with pytest.raises(ReidError, match=r"x\.json: x fits both a/x\.jpg and b/x\.jpg"):
        names.check(["a/x.jpg", "b/x.jpg"])


@pytest.mark.parametrize(("names", "message"), [(("other",), "name 'other'"), ((), "name no image")])
def test_names_that_fit_no_image_at_all(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ReidError, match=rf"no image has keypoints: .*{message}.*the dataset 'a/x\.jpg'"):
        Names(entries(*names)).check(["a/y.jpg", "a/x.jpg"])
    Names([]).check([])


def test_boxes_in_frames() -> None:
    path = "frames/1.jpg#xywh=10,20,30,40"
    names = Names(entries("frames/1.jpg", suffix=True))
    assert names.find(path).box == Box(10, 20, 30, 40)
    names.check([path, "frames/1.jpg#xywh=0,0,5,5"])
    of_box = Names(entries("frames/1#xywh=10,20,30,40", "frames/1"))
    assert of_box.find(path).box is None and of_box.find(path).entry.name.endswith("40")
    assert of_box.find("frames/1.jpg#xywh=0,0,5,5").box == Box(0, 0, 5, 5)
    assert of_box.find("frames/1.jpg").box is None
    assert of_box.find("frames/2.jpg#xywh=0,0,5,5") is None
