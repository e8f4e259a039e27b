from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from reidprep.errors import ImageError, ReidError
from reidtrain.data.classification.registry import open_classification

TRAIN = ("train/dog/b.png", "train/dog/a.JPEG", "train/cat/x.jpg", "train/cat/deeper/y.bmp")
VAL = ("val/cat/v.png", "val/dog/w.png")


def names(split):
    return [split.images.name(index) for index in range(len(split))]


def test_both_splits_in_sorted_order(save_images):
    root = save_images(*TRAIN, *VAL)
    data = open_classification(str(root))

    assert (data.name, data.root, data.classes, data.notes) == ("image-folder", root, ("cat", "dog"), ())
    assert names(data.train) == ["train/cat/deeper/y.bmp", "train/cat/x.jpg", "train/dog/a.JPEG", "train/dog/b.png"]
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert names(data.val) == list(VAL)
    assert data.val.labels.tolist() == [0, 1]
    assert data.split("val") is data.val


def test_validation_labels_are_those_of_training(save_images):
    data = open_classification(save_images("train/a/1.png", "train/b/1.png", "train/c/1.png", "val/c/1.png"))

    assert data.val.labels.tolist() == [2]
    assert data.notes == ("2 classes have no validation image: a, b",)


def test_classes_alone_are_for_training(save_images):
    data = open_classification(save_images("dog/a.png", "cat/b.png", ".cache/c.png"))

    assert data.classes == ("cat", "dog")
    assert names(data.train) == ["cat/b.png", "dog/a.png"]
    assert data.val is None
    assert "no validation images" in data.notes[0]
    with pytest.raises(ReidError, match="no split 'val'; there are train"):
        data.split("val")


def test_a_class_may_be_called_train(save_images):
    assert open_classification(save_images("bus/a.png", "train/a.png")).classes == ("bus", "train")


@pytest.mark.parametrize("name", ["a folder/größe.png", "images.jpg/a.png"])
def test_pixels_are_read_also_after_pickling(save_images, name):
    root = save_images(f"cat/{name}", "dog/b.png")
    images = pickle.loads(pickle.dumps(open_classification(root).train.images))

    np.testing.assert_array_equal(images.read(0), np.asarray(Image.open(root / "cat" / name)))
    (root / "cat" / name).unlink()
    with pytest.raises(ImageError, match="file not found"):
        images.read(0)


def test_other_files_are_counted_and_links_to_folders_not_followed(save_images):
    root = save_images(*TRAIN, *VAL)
    (root / "train/dog/readme.txt").touch()
    (root / "train/dog/loop").symlink_to(root / "train")

    data = open_classification(root)
    assert len(data.train) == 4
    assert data.notes == ("2 files are no image by its suffix and left out",)


def test_hidden_files_and_folders_are_left_out_at_any_depth(save_images):
    root = save_images(*TRAIN, "train/cat/.trash/x.jpg", "train/cat/._x.jpg", "train/.git/y.jpg")
    found = names(open_classification(root).train)
    assert found == ["train/cat/deeper/y.bmp", "train/cat/x.jpg", "train/dog/a.JPEG", "train/dog/b.png"]


def test_classes_may_be_links(save_images):
    root = save_images("elsewhere/cat/a.png", "set/dog/b.png")
    (root / "set" / "cat").symlink_to(root / "elsewhere" / "cat")

    assert names(open_classification(root / "set").train) == ["cat/a.png", "dog/b.png"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a.png"], "no class in it"),
        (["train/cat/a.png"], "all training images are of one class, cat"),
        (["train/cat/a.png", "train/dog/readme.txt"], r"train: no image in 1 class: dog; add images"),
        ([*TRAIN, "val/mouse/a.png"], r"val: 1 folder is no class of train: mouse; sort the validation"),
        ([*TRAIN, "val/a.png"], "val: no class in it"),
        (["val/cat/a.png", "val/dog/a.png"], "has val/ but no train/"),
    ],
)
def test_folders_that_are_no_data_set_are_refused(tmp_path, paths, message):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(ReidError, match=message):
        open_classification(tmp_path)


def test_the_fingerprint_follows_names_and_labels(save_images):
    root = save_images(*TRAIN, *VAL)
    first = open_classification(root).fingerprint
    assert first == open_classification(root).fingerprint

    (root / "train/dog/b.png").rename(root / "train/cat/b.png")
    moved = open_classification(root).fingerprint
    (root / "val/dog/w.png").rename(root / "val/dog/x.png")
    assert len({first, moved, open_classification(root).fingerprint}) == 3
