from __future__ import annotations

import multiprocessing
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from reidprep.alignment.boxes import strip_boxes
from reidprep.errors import ReidError
from reidprep.images import crop_box
from reidtrain.data.classification.registry import open_classification
from reidtrain.data.classification.samples import _strip_means, channel_means, classification_dataset
from reidtrain.data.dataset import BatchLoader
from reidtrain.data.preprocessing import Preprocessor
from reidtrain.data.samplers import ShuffledBatchSampler

ALL = ("whole", "parts", "image")
SIZES = {"whole": (384, 192), "parts": (96, 192), "image": (64, 32)}
PATHS = tuple(f"{split}/{name}/{number}.png" for split in ("train", "val") for name in "ab" for number in range(5))


@pytest.mark.parametrize("size", [(50, 40), (333, 500), (1000, 90)])
def test_views_are_the_image_and_its_strips(save_images, size):
    data = open_classification(save_images("a/0.png", "b/0.png", size=size))
    item = classification_dataset(data, "train", ALL, SIZES)[1]
    pixels = data.train.images.read(1)
    border = pixels.mean(axis=(0, 1))
    boxes = strip_boxes([(size[1], size[0])])[0]

    assert (item.label, item.pid, item.camid, item.index) == (1, 1, 0, 1)
    assert np.array_equal(item.whole.numpy(), crop_box(pixels, boxes[0], (384, 192), border))
    assert np.array_equal(item.image.numpy(), crop_box(pixels, boxes[0], (64, 32), border))
    for strip, box in zip(item.parts.numpy(), boxes[1:], strict=True):
        np.testing.assert_allclose(strip.astype(int), crop_box(pixels, box, (96, 192), border), atol=1)


def test_cifar_stays_as_it_is_at_its_own_size(save_cifar):
    data = open_classification(save_cifar({"train.bin": [4, 5]}))
    item = classification_dataset(data, "train", ("image",), {"image": (32, 32)})[1]

    assert np.array_equal(item.image.numpy(), data.train.images.read(1))
    assert item.whole is None
    assert item.parts is None
    assert item.label == 5


@pytest.mark.parametrize("workers", ["fork", "forkserver"])
def test_batches_go_the_way_of_shards(save_images, workers, request):
    if workers not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {workers} on this system")
    data = open_classification(save_images(*PATHS))
    dataset = classification_dataset(data, "val", ALL, SIZES)
    sampler = ShuffledBatchSampler(len(dataset), 4, seed=0)
    context = request.getfixturevalue(workers) if workers == "forkserver" else workers
    loader = BatchLoader(dataset, batch_sampler=sampler, num_workers=2, multiprocessing_context=context)
    preprocess = Preprocessor(channel_means(data, np.random.default_rng(0)))
    seen = []
    for batch, indices in zip(loader, sampler, strict=True):
        ready = preprocess(batch)
        assert batch.indices.tolist() == indices
        assert batch.labels.tolist() == dataset.labels[indices].tolist()
        assert ready.whole.shape == (len(indices), 3, 384, 192)
        assert ready.parts.shape == (len(indices), 4, 3, 96, 192)
        assert ready.image.shape == (len(indices), 3, 64, 32)
        seen += indices
    assert sorted(seen) == list(range(10))


def test_an_unreadable_image_is_replaced_by_the_next_of_its_class(save_images):
    root = save_images(*PATHS)
    (root / "train/a/4.png").write_bytes(b"\x89PNG cut short")
    (root / "train/a/0.png").write_bytes(b"")
    dataset = classification_dataset(open_classification(root), "train", ("image",), SIZES)

    with pytest.warns(UserWarning, match=r"train/a/4\.png: .*; train/a/1\.png takes its place"):
        item = dataset[4]
    assert torch.equal(item.image, dataset[1].image)
    assert (item.label, item.index) == (0, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset[-1].index == 9


def test_reading_gives_up_when_no_image_of_a_class_is_left(save_images):
    root = save_images(*PATHS)
    dataset = classification_dataset(open_classification(root), "train", ("image",), SIZES)
    for path in (root / "train" / "b").iterdir():
        path.unlink()

    with pytest.raises(ReidError, match=r"train/b/0\.png: file not found, and no other image of its class"):
        dataset[5]


def test_indices_out_of_range_and_unknown_views_are_errors(save_images):
    data = open_classification(save_images(*PATHS))
    with pytest.raises(IndexError):
        classification_dataset(data, "train", ("image",), SIZES)[10]
    with pytest.raises(ReidError, match="unknown view 'body'"):
        classification_dataset(data, "train", ("body",), SIZES)


@given(height=st.integers(1, 41), width=st.integers(1, 5), seed=st.integers(0, 9))
def test_strip_means_weigh_rows_by_their_share(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    # Each row four times: then a strip is a whole number of rows.
    expected = np.repeat(image, 4, axis=0).reshape(4, height * width, 3).mean(axis=1)

    np.testing.assert_allclose(_strip_means(image), expected, atol=1e-9)


def test_channel_means_of_all_images_and_of_a_sample(save_images):
    data = open_classification(save_images(*PATHS))
    images = [data.train.images.read(index).astype(float) for index in range(10)]
    means = channel_means(data, np.random.default_rng(0))

    np.testing.assert_allclose(means.whole, np.mean(images, axis=(0, 1, 2)))
    np.testing.assert_allclose(means.parts[3], np.mean([image[15:] for image in images], axis=(0, 1, 2)))
    assert means.image == means.whole
    sampled = channel_means(data, np.random.default_rng(0), images=3)
    assert sampled == channel_means(data, np.random.default_rng(0), images=3)
    assert sampled != means


def test_channel_means_leave_out_a_few_unreadable_images_and_refuse_many(save_images):
    root = save_images(*PATHS)
    data = open_classification(root)
    rest = np.mean([data.train.images.read(index) for index in range(1, 10)], axis=(0, 1, 2))
    (root / "train/a/0.png").write_bytes(b"no image")

    np.testing.assert_allclose(channel_means(data, np.random.default_rng(0)).whole, rest)
    (root / "train/a/1.png").unlink()
    with pytest.raises(ReidError, match=r"2 of 10 training images .* first train/a/0\.png: not an image"):
        channel_means(data, np.random.default_rng(0))
