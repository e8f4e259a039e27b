from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidtrain.export.agreement import compare, random_crops

CROPS = {"image": torch.zeros(2, 4, 4, 3, dtype=torch.uint8)}
EXPECTED = {
    "embedding": torch.tensor([[3.0, 4.0], [0.0, 100.0]]),
    "map": torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]]),
}


def test_differences_are_measured_for_each_image_by_itself() -> None:
    found = {
        # The same error is 0.1 of the first image's length and far less of the second's.
        "embedding": EXPECTED["embedding"] + torch.tensor([[0.3, 0.4], [0.3, 0.4]]),
        "map": EXPECTED["map"] + torch.tensor([[[0.0, 0.0]], [[0.0, 0.02]]]),
    }
    agreement = compare(lambda _: EXPECTED, lambda _: found, [CROPS, CROPS])
    assert (agreement.images, agreement.output) == (4, "embedding")
    assert agreement.absolute == pytest.approx(0.4, rel=1e-5) and agreement.relative == pytest.approx(0.1, rel=1e-5)


def test_equal_outputs() -> None:
    agreement = compare(lambda _: EXPECTED, lambda _: EXPECTED, [CROPS])
    assert (agreement.absolute, agreement.relative) == (0, 0)


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"map": EXPECTED["map"] * math.nan}, "map"),
        ({"embedding": EXPECTED["embedding"][:1]}, "embedding"),
        ({"map": EXPECTED["embedding"]}, "map"),
    ],
)
def test_what_cannot_be_compared_is_no_agreement(change: dict[str, torch.Tensor], output: str) -> None:
    agreement = compare(lambda _: EXPECTED, lambda _: EXPECTED | change, [CROPS])
    assert math.isnan(agreement.relative) and agreement.output == output


def test_a_missing_output_is_no_agreement() -> None:
    found = {"embedding": EXPECTED["embedding"]}
    assert math.isnan(compare(lambda _: EXPECTED, lambda _: found, [CROPS]).relative)


def test_swapped_images_differ() -> None:
    found = {name: values.flip(0) for name, values in EXPECTED.items()}
    assert compare(lambda _: EXPECTED, lambda _: found, [CROPS]).relative > 1


def test_noise_varies_in_all_that_may_vary() -> None:
    sizes = {"whole": (48, 24), "parts": (16, 24)}
    batches, again = (random_crops(("whole", "parts"), sizes) for _ in range(2))
    shapes = {view: [tuple(crops[view].shape) for crops in batches] for view in sizes}
    assert len({shape[0] for shape in shapes["whole"]}) == 3
    for view, (height, width) in sizes.items():
        heights, widths = ({shape[axis] for shape in shapes[view]} for axis in (-3, -2))
        assert min(heights) < height < max(heights) and min(widths) < width < max(widths)
        assert {height, width} <= heights | widths
        assert all(torch.equal(first[view], second[view]) for first, second in zip(batches, again, strict=True))
