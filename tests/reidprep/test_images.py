import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from reidprep.errors import ImageError
from reidprep.images import decode_image, decode_jpeg, encode_jpeg, read_image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int = 0, size: tuple[int, int] = (24, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_rgb_comes_back_as_it_was() -> None:
    image = picture()
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(image))), image)


def test_grey_palette_and_one_bit_become_rgb() -> None:
    grey = picture()[..., 0]
    for image in (
        Image.fromarray(grey),
        Image.fromarray(picture()).convert("P"),
        Image.fromarray(grey).convert("1"),
    ):
        result = decode_image(encoded(image))
        assert result.shape == (24, 16, 3) and result.dtype == np.uint8
        np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_scaled_by_their_range() -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    result = decode_image(encoded(Image.fromarray(values)))
    np.testing.assert_array_equal(result[0, :, 0], [0, 1, 127, 255])


def test_alpha_is_composited_over_black() -> None:
    rgba = np.full((2, 2, 4), 200, dtype=np.uint8)
    rgba[..., 3] = [[0, 255], [0, 255]]
    result = decode_image(encoded(Image.fromarray(rgba)))
    assert (result[:, 0] == 0).all() and (result[:, 1] == 200).all()


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated by a quarter turn
    upright = decode_image(encoded(Image.fromarray(picture()), "PNG", exif=exif))
    np.testing.assert_array_equal(upright, np.rot90(picture(), -1))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


JPEG = encoded(Image.fromarray(picture(size=(64, 64))), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am text", "not an image"),
        (JPEG[: len(JPEG) // 2], "damaged or cut off"),
        (JPEG[:30], "damaged"),
        (encoded(Image.fromarray(picture()))[:60], "cannot be decoded|truncated"),
        (bomb(9_000, 9_000), "9000x9000 and has more"),
        (bomb(100_000, 100_000), "more than the .* pixels allowed"),
        (bomb(0, 5), "cannot be decoded|not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_files_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_never_raise_anything_else(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = np.frombuffer(encoded(Image.fromarray(picture(size=(64, 64))), kind), np.uint8)
    for start in (0, max(0, len(whole) - 200)):  # a TIFF has its tags at the end
        data = whole.copy()
        data[start + rng.integers(0, min(200, len(data)), 5)] = rng.integers(0, 256, 5)
        with contextlib.suppress(ImageError):
            assert decode_image(data.tobytes()).shape[2] == 3


def test_a_tiff_tag_of_the_wrong_type_is_a_bad_image() -> None:
    data = bytearray(encoded(Image.fromarray(picture(size=(64, 64))), "TIFF"))
    offsets = data.index(struct.pack("<HHI", 273, 4, 1))
    data[offsets + 2] = 2  # StripOffsets as text: Pillow raises TypeError
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_image(bytes(data))


def cut_and_closed(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\xff\xd9"


def zeroed(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


def without_last_scan(data: bytes) -> bytes:
    return data[: data.rindex(b"\xff\xda")] + b"\xff\xd9"


@pytest.mark.parametrize(
    ("damage", "kind", "options"),
    [
        (cut_and_closed, "JPEG", {}),
        (zeroed, "JPEG", {}),
        (cut_and_closed, "JPEG", {"progressive": True}),
        (without_last_scan, "JPEG", {"progressive": True}),
        (cut_and_closed, "JPEG", {"restart_marker_blocks": 2}),
        (zeroed, "PNG", {}),
    ],
)
def test_damage_that_decoders_forgive_is_refused(
    damage: Callable[[bytes], bytes], kind: str, options: dict[str, object]
) -> None:
    data = encoded(Image.fromarray(picture(size=(64, 64))), kind, **options)
    assert decode_image(data).shape == (64, 64, 3)
    with pytest.raises(ImageError):
        decode_image(damage(data))


@pytest.mark.parametrize("more", [bytes(500), JPEG], ids=["zeros", "a second image"])
def test_what_follows_a_whole_jpeg_is_no_damage(more: bytes) -> None:
    np.testing.assert_array_equal(decode_image(JPEG + more), decode_image(JPEG))


def test_bytes_that_belong_to_nothing_are_damage() -> None:
    scan = JPEG.index(b"\xff\xda")
    with pytest.raises(ImageError, match="damaged or cut off: .*3 extraneous bytes"):
        decode_image(JPEG[:scan] + b"\0\1\2" + JPEG[scan:])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_decode_as_pillow_decodes_them(mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(picture()).convert(mode), "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    np.testing.assert_array_equal(decode_image(data), np.asarray(expected))


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded() -> None:
    progressive = encoded(Image.fromarray(picture()), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="more than the 64 scans allowed"):
        decode_image(progressive[:-2] + progressive[last:-2] * 5000 + b"\xff\xd9")


@pytest.mark.parametrize(
    "values", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 1 << 20, np.int32), np.full((4, 4), -1, np.int32)]
)
def test_values_whose_range_is_not_known_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ImageError, match="save it with 8 or 16 bits"):
        decode_image(encoded(Image.fromarray(values), "TIFF"))


def test_jpeg_round_trip_keeps_channel_order() -> None:
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    image[..., 0] = 220
    back = decode_jpeg(np.frombuffer(encode_jpeg(image, 95), np.uint8))
    assert np.abs(back.astype(int) - image).max() < 6


def test_decode_jpeg_refuses_other_bytes() -> None:
    with pytest.raises(ImageError, match="not a JPEG"):
        decode_jpeg(np.zeros(100, np.uint8))
    with pytest.raises(ImageError, match="not a JPEG"):
        decode_jpeg(np.zeros(0, np.uint8))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    for name, reason in (("a.jpg", "not an image in a known format"), ("b.jpg", "file not found"), ("", "a directory")):
        with pytest.raises(ImageError, match=f"^{re.escape(str(tmp_path / name))}: .*{reason}"):
            read_image(tmp_path / name)
