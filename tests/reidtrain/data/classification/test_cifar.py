from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("torch")

from reidprep.errors import ImageError, ReidError
from reidtrain.data.classification.registry import open_classification

FILES = {"train.bin": [3, 99, 0, 3], "test.bin": [0, 7]}


@pytest.mark.parametrize("folder", [".", "cifar-100-binary"])
def test_fine_labels_and_names(save_cifar, folder):
    root = save_cifar(FILES, folder)
    (root / folder / "fine_label_names.txt").write_text("".join(f"name{label}\n" for label in range(100)))
    data = open_classification(root)

    assert (data.name, data.root) == ("cifar-100", root / folder)
    assert data.classes == tuple(f"name{label}" for label in range(100))
    assert data.train.labels.tolist() == FILES["train.bin"]
    assert data.val.labels.tolist() == FILES["test.bin"]
    assert [data.val.images.name(index) for index in range(2)] == ["test.bin, image 0", "test.bin, image 1"]
    assert data.notes == (
        "train.bin has 4 images, the published file 50,000",
        "test.bin has 2 images, the published file 10,000",
    )


def test_pixels_are_read_from_planes_also_after_pickling(save_cifar):
    root = save_cifar(FILES)
    images = pickle.loads(pickle.dumps(open_classification(root).train.images))
    data = (root / "train.bin").read_bytes()

    for index in range(4):
        pixels = images.read(index)
        assert pixels.shape == (32, 32, 3)
        for row, column, colour in [(0, 0, 0), (31, 31, 2), (5, 17, 1)]:
            assert pixels[row, column, colour] == data[index * 3074 + 2 + colour * 1024 + row * 32 + column]


def test_without_names_and_without_test_images(save_cifar):
    data = open_classification(save_cifar({"train.bin": [0, 1]}))

    assert data.classes == tuple(map(str, range(100)))
    assert data.val is None
    assert "fine_label_names.txt is missing: classes are called by their numbers" in data.notes


def test_a_file_that_shrinks_is_no_image(save_cifar):
    root = save_cifar(FILES)
    images = open_classification(root).train.images
    with (root / "train.bin").open("r+b") as file:
        file.truncate(3074 * 3 + 100)

    assert images.read(2).shape == (32, 32, 3)
    with pytest.raises(ImageError, match="shorter"):
        images.read(3)
    (root / "train.bin").unlink()
    with pytest.raises(ImageError, match="No such file"):
        images.read(0)


def spoil(root, what):
    train = root / "train.bin"
    if what == "cut":
        train.write_bytes(train.read_bytes()[:-1])
    elif what == "empty":
        train.write_bytes(b"")
    elif what == "label":
        records = np.fromfile(train, np.uint8).reshape(-1, 3074)
        records[2, 1] = 100
        records.tofile(train)
    elif what == "names":
        (root / "fine_label_names.txt").write_text("apple\n" * 100)
    elif what == "gone":
        train.unlink()
    elif what == "one class":
        train.write_bytes(train.read_bytes()[:3074])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut", r"train\.bin: 12,295 bytes are no whole number of records of 3,074 bytes"),
        ("empty", r"train\.bin: 0 bytes"),
        ("label", r"train\.bin, image 2 has label 100, but there are 100 classes"),
        ("names", r"fine_label_names\.txt: 1 different names, not 100"),
        ("gone", r"test\.bin without train\.bin"),
        ("one class", "all training images are of one class, 3"),
    ],
)
def test_damaged_files_are_refused(save_cifar, what, message):
    root = save_cifar(FILES)
    spoil(root, what)
    with pytest.raises(ReidError, match=message):
        open_classification(root)


@pytest.mark.parametrize(
    ("name", "opened", "message"),
    [
        ("meta", ".", "the Python version of CIFAR-100"),
        ("cifar-100-python/meta", ".", "the Python version of CIFAR-100"),
        ("train.bin", "train.bin", "is a file; give the folder"),
        ("other", "gone", "does not exist"),
    ],
)
def test_other_things_are_refused(tmp_path, name, opened, message):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ReidError, match=message):
        open_classification(tmp_path / opened)
