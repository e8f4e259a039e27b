import dataclasses
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image, ImageEnhance
from pydantic import ValidationError

from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import Batch, ShardDataset, collate
from reidtrain.data.preprocessing import (
    Augmentation,
    ChannelMeans,
    Preprocessor,
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    erase,
    flip,
    pad_and_crop,
    resize,
)

MEANS = ChannelMeans(
    whole=(100.0, 110.0, 120.0),
    parts=((10.0, 20.0, 30.0), (40.0, 50.0, 60.0), (70.0, 80.0, 90.0), (91.0, 92.0, 93.0)),
    image=(101.0, 111.0, 121.0),
)
VIEWS = ("whole", "parts", "image")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch_of(number=6, seed=0):
    generator = seeded(seed)

    def images(*shape):
        # Channels last in memory, as they come from the loader.
        height, width = shape[-2:]
        pixels = torch.randint(0, 256, (*shape[:-2], height, width, 3), generator=generator, dtype=torch.uint8)
        return pixels.movedim(-1, -3)

    numbers = torch.arange(number)
    return Batch(
        whole=images(number, 16, 8),
        parts=images(number, 4, 4, 8),
        image=images(number, 12, 6),
        labels=numbers,
        pids=numbers + 10,
        camids=numbers % 2,
        indices=numbers,
    )


def run(augmentation, batch=None, seed=0):
    return Preprocessor(MEANS, augmentation, divisor=1.0)(batch or batch_of(), seeded(seed))


def single_images(view):
    """Every image by itself, those of the parts too: (images, 3, height, width)."""
    return view.flatten(0, -4)


@pytest.mark.parametrize("divisor", [1.0, 255.0])
def test_means_are_subtracted_and_nothing_else_by_default(divisor):
    batch = batch_of()
    out = Preprocessor(MEANS, divisor=divisor)(batch)
    for n in range(len(batch)):
        for c in range(3):
            assert torch.equal(out.whole[n, c], (batch.whole[n, c].float() - MEANS.whole[c]) / divisor)
            assert torch.equal(out.image[n, c], (batch.image[n, c].float() - MEANS.image[c]) / divisor)
            for part in range(4):
                expected = (batch.parts[n, part, c].float() - MEANS.parts[part][c]) / divisor
                assert torch.equal(out.parts[n, part, c], expected)
    for name in ("labels", "pids", "camids", "indices"):
        assert torch.equal(getattr(out, name), getattr(batch, name))


def test_views_that_are_absent_stay_so():
    out = run(Augmentation(0.5, 0.2, 0.5, 0.1, 0.1, 0.1), dataclasses.replace(batch_of(), parts=None, image=None))
    assert out.whole.dtype == torch.float32
    assert out.parts is out.image is None


def test_channels_stay_last_in_memory():
    out = run(Augmentation(0.5, 0.2, 0.5, 0.1, 0.1, 0.1))
    assert out.whole.is_contiguous(memory_format=torch.channels_last)


def bilinear(image, height, width):
    """An enlarged image (3, rows, columns), one pixel at a time: pixel centres at halves, edges held."""
    rows, columns = image.shape[1:]
    out = torch.zeros(3, height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            row = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            column = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(row), int(column)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            down, across = row - top, column - left
            out[:, y, x] = (1 - down) * ((1 - across) * image[:, top, left] + across * image[:, top, right]) + down * (
                (1 - across) * image[:, bottom, left] + across * image[:, bottom, right]
            )
    return out


# What every device but the CPU does, and what the CPU does.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.uint8, 1)])
class TestResize:
    @pytest.mark.parametrize("size", [(32, 16), (19, 8), (16, 21)])
    def test_enlarging_equals_the_explicit_loop(self, dtype, tolerance, size):
        batch = batch_of(2)
        for view in VIEWS:
            images = getattr(batch, view)
            out = resize(images.to(dtype), size)
            assert out.dtype == dtype
            assert out.shape == (*images.shape[:-2], *size)
            for image, resized in zip(single_images(images), single_images(out), strict=True):
                assert (bilinear(image.double(), *size) - resized).abs().max() <= tolerance

    def test_shrinking_averages_as_pillow_does(self, dtype, tolerance):
        image = batch_of(1).whole
        out = resize(image.to(dtype), (5, 3))
        expected = Image.fromarray(image[0].movedim(0, -1).numpy()).resize((3, 5), Image.Resampling.BILINEAR)
        assert (out[0].movedim(0, -1) - torch.from_numpy(np.array(expected, np.float32))).abs().max() <= 1

    @pytest.mark.parametrize("size", [None, (16, 8)])
    def test_nothing_to_do(self, dtype, tolerance, size):
        images = batch_of().whole.to(dtype)
        assert resize(images, size) is images

    @pytest.mark.parametrize("size", [(32, 16), (5, 3)])
    def test_channels_stay_last_in_memory(self, dtype, tolerance, size):
        batch = batch_of()
        assert resize(batch.whole.to(dtype), size).is_contiguous(memory_format=torch.channels_last)
        assert resize(batch.parts.to(dtype), size).movedim(2, -1).is_contiguous()


def test_changes_are_the_same_to_views_that_are_resized():
    batch = batch_of()
    sizes = {"whole": (24, 12), "parts": (6, 12)}
    augmentation = Augmentation(0.5, 0.2, 0.5, 0.1, 0.1, 0.1)
    out = Preprocessor(MEANS, augmentation, divisor=1, sizes=sizes)(batch, seeded())
    resized = {view: resize(getattr(batch, view), size) for view, size in sizes.items()}
    expected = Preprocessor(MEANS, augmentation, divisor=1)(dataclasses.replace(batch, **resized), seeded())
    assert out.whole.shape == (6, 3, 24, 12)
    assert out.parts.shape == (6, 4, 3, 6, 12)
    assert out.image.shape == batch.image.shape
    for view in VIEWS:
        # Mirrored before instead of after the resize: rounding may go the other way.
        assert (getattr(out, view) - getattr(expected, view)).abs().max() <= 1.5


def test_source_scale_gives_nearly_the_input_of_full_scale(drawn_poses, tmp_path):
    inputs = []
    for scale in ("full", "source"):
        build_shards(drawn_poses, tmp_path / scale, BuildOptions(scale=scale, encoding="raw", image_size=(256, 128)))
        shards = ShardSet.open(tmp_path / scale)
        dataset = ShardDataset(shards, VIEWS)
        batch = collate([dataset[index] for index in range(len(dataset))])
        inputs.append(Preprocessor(ChannelMeans.of(shards), divisor=1, sizes=shards.full_sizes)(batch))
    full, source = inputs
    assert full.whole.shape == (len(full), 3, 384, 192)
    for view in VIEWS:
        assert getattr(source, view).shape == getattr(full, view).shape
        # A shift by one source pixel would make about 4.
        assert (getattr(source, view) - getattr(full, view)).abs().mean() < 1


def test_flip_mirrors_all_views_of_a_sample_and_moves_no_part():
    plain, out = run(Augmentation()), run(Augmentation(horizontal_flip=0.5))
    decisions = []
    for n in range(6):
        views = [(getattr(plain, view)[n], getattr(out, view)[n]) for view in VIEWS]
        mirrored = torch.equal(views[0][1], views[0][0].flip(-1))
        for before, after in views:
            expected = torch.stack([row.flip(-1) for row in before]) if mirrored else before
            assert torch.equal(after, expected)
        decisions.append(mirrored)
    assert set(decisions) == {True, False}


def test_flip_by_hand():
    images = torch.arange(6.0).view(2, 1, 1, 3)
    assert flip(images, torch.tensor([False, True])).flatten().tolist() == [0, 1, 2, 5, 4, 3]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Augmentation)])
class TestEverySwitch:
    def test_changes_what_it_should_and_keeps_shapes(self, name):
        plain, out = run(Augmentation()), run(Augmentation(**{name: 1.0}))
        for view in VIEWS:
            assert getattr(out, view).shape == getattr(plain, view).shape
            assert getattr(out, view).dtype == torch.float32
            assert not torch.equal(getattr(out, view), getattr(plain, view))

    def test_follows_from_the_generator_alone(self, name):
        augmentation = Augmentation(**{name: 0.5})
        torch.manual_seed(0)
        first = run(augmentation, seed=1)
        state = torch.get_rng_state()
        second = run(augmentation, seed=1)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first.whole, second.whole)
        assert torch.equal(first.parts, second.parts)
        assert not torch.equal(first.parts, run(augmentation, seed=2).parts)

    def test_needs_a_generator(self, name):
        with pytest.raises(ValueError, match="generator"):
            Preprocessor(MEANS, Augmentation(**{name: 0.5}))(batch_of())

    @pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
    def test_refuses_other_values(self, name, value):
        with pytest.raises(ValidationError, match=name):
            Augmentation(**{name: value})


def test_pad_and_crop_equals_the_explicit_loop():
    images = torch.randn(5, 3, 4, 6, generator=seeded())
    top, left = torch.tensor([0, 4, 2, 1, 3]), torch.tensor([4, 0, 2, 3, 1])
    out = pad_and_crop(images, 2, top, left)
    for n in range(5):
        for y in range(4):
            for x in range(6):
                row, column = y + int(top[n]) - 2, x + int(left[n]) - 2
                inside = 0 <= row < 4 and 0 <= column < 6
                expected = images[n, :, row, column] if inside else torch.zeros(3)
                assert torch.equal(out[n, :, y, x], expected)


def test_pad_and_crop_shifts_every_image_by_itself_and_reaches_all_offsets():
    # A bright dot in the middle tells the shift of each image.
    batch = batch_of(300)
    dot = torch.zeros_like(batch.parts)
    dot[..., 2, 4] = 255
    out = run(Augmentation(pad_and_crop=1 / 8), dataclasses.replace(batch, parts=dot)).parts
    places = [tuple(image[0].flatten().argmax().item() for image in parts) for parts in out]
    assert {place for sample in places for place in sample} == {
        row * 8 + column for row in (1, 2, 3) for column in (3, 4, 5)
    }
    assert any(len(set(sample)) > 1 for sample in places)


def test_erase_equals_the_explicit_loop():
    images = torch.randn(4, 3, 5, 6, generator=seeded())
    rectangles = torch.tensor([[0, 0, 5, 6], [1, 2, 2, 3], [4, 5, 1, 1], [2, 2, 0, 3]])
    out = erase(images, *rectangles.T)
    for n, (top, left, height, width) in enumerate(rectangles.tolist()):
        for y in range(5):
            for x in range(6):
                erased = top <= y < top + height and left <= x < left + width
                assert torch.equal(out[n, :, y, x], torch.zeros(3) if erased else images[n, :, y, x])


def test_erasing_draws_rectangles_of_the_stated_size_and_share():
    number, height, width = 400, 32, 16
    ones = torch.full((number, 32, 16, 3), 255, dtype=torch.uint8).movedim(-1, -3)
    batch = dataclasses.replace(batch_of(number), whole=ones, parts=None, image=None)
    erased = run(Augmentation(random_erasing=0.5), batch).whole[:, 0] == 0
    areas = erased.flatten(1).sum(dim=1)
    assert 0.4 < (areas > 0).float().mean() < 0.6
    boxes = []
    for mask in erased[areas > 0]:
        rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
        tall, wide = len(rows), len(columns)
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert mask.sum() == tall * wide
        assert tall * wide <= 0.4 * height * width + (tall + wide) / 2 + 1
        boxes.append((int(rows[0]), int(columns[0]), tall, wide))
    assert {top == 0 for top, *_ in boxes} == {left == 0 for _, left, *_ in boxes} == {True, False}
    assert min(tall / wide for *_, tall, wide in boxes) < 0.5
    assert max(tall / wide for *_, tall, wide in boxes) > 2


@pytest.mark.parametrize(
    ("adjust", "enhance"),
    [
        (adjust_brightness, ImageEnhance.Brightness),
        (adjust_contrast, ImageEnhance.Contrast),
        (adjust_saturation, ImageEnhance.Color),
    ],
)
def test_colour_jitter_agrees_with_pillow(adjust, enhance):
    pixels = batch_of(4).whole
    factors = torch.tensor([0.0, 0.4, 1.0, 1.7])
    out = adjust(pixels.float(), factors)
    for n, factor in enumerate(factors.tolist()):
        picture = enhance(Image.fromarray(pixels[n].movedim(0, -1).numpy())).enhance(factor)
        expected = torch.from_numpy(np.array(picture, np.float32)).movedim(-1, 0)
        # Pillow rounds its grey, and cuts the result to whole numbers.
        assert (out[n] - expected).abs().max() <= 2


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_jitter_is_the_same_for_all_views_of_a_sample(name):
    batch = batch_of(8)
    same = {"whole": batch.whole, "image": batch.whole, "parts": torch.stack([batch.whole] * 4, dim=1)}
    flat = ChannelMeans((0.0,) * 3, ((0.0,) * 3,) * 4, (0.0,) * 3)
    out = Preprocessor(flat, Augmentation(**{name: 0.5}), divisor=1.0)(dataclasses.replace(batch, **same), seeded())
    assert torch.allclose(out.whole, out.image)
    for part in range(4):
        assert torch.allclose(out.whole, out.parts[:, part], atol=1e-3)
    assert out.whole.amin() >= 0
    assert out.whole.amax() <= 255
    assert not torch.allclose(out.whole, batch.whole.float(), atol=5)


def test_brightness_factors_cover_the_stated_range():
    number = 500
    grey = torch.full((number, 2, 2, 3), 100, dtype=torch.uint8).movedim(-1, -3)
    batch = dataclasses.replace(batch_of(number), whole=grey, parts=None, image=None)
    values = run(Augmentation(brightness=0.2), batch).whole[:, 0, 0, 0] + MEANS.whole[0]
    assert 80 <= values.min() < 82
    assert 118 < values.max() <= 120


def test_erased_and_padded_pixels_hold_the_mean():
    out = run(Augmentation(random_erasing=1.0))
    for view in VIEWS:
        assert all((image == 0).all(dim=0).any() for image in single_images(getattr(out, view)))


def test_means_come_from_the_shards_and_travel_in_the_state(drawn_shards):
    shards = ShardSet.open(drawn_shards)
    means = ChannelMeans.of(shards)
    stored = shards.manifest.summary.channel_means
    assert (means.whole, means.parts, means.image) == (stored.whole, stored.parts, stored.image)
    other = Preprocessor(MEANS)
    other.load_state_dict(Preprocessor(means).state_dict())
    assert other.parts_mean[:, :, 0, 0].tolist() == [pytest.approx(part) for part in means.parts]
