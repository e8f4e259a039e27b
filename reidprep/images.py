"""Read and decode images that may be damaged or hostile, encode crops as JPEG, and cut boxes out of images.

Coordinates are continuous source pixels: the image covers [0, width] x [0, height], so pixel (0, 0) has its centre at
(0.5, 0.5). Boxes are (x0, y0, x1, y1) and may leave the image.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from reidprep import jpeg
from reidprep.errors import ImageError
from reidprep.files import read_file

MAX_PIXELS = 36 * 1024 * 1024
"""Larger images are refused from their header alone, before any pixel is decoded. A frame of 8192x4320 is smaller."""

MAX_BYTES = 256 * 1024 * 1024
"""Larger files are not read: no image within the pixel limit needs as much."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What is decoded. Pillow knows more, some of which start other programs on the file."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of this EXIF orientation upright."""


def read_image(file: str | Path) -> NDArray[np.uint8]:
    """Read an image file as (height, width, 3) uint8 RGB, as `decode_image` decodes it.

    Raises:
        ImageError: missing, not a file, or not a usable image; the message names the file.

    Example:
        >>> from reidprep import read_image
        >>> read_image("person.jpg").shape
        (128, 64, 3)
    """
    try:
        return decode_image(read_bytes(Path(file)))
    except ImageError as error:
        raise ImageError(f"{file}: {error}") from None


def read_bytes(file: Path) -> bytes:
    """Read what may be an image file.

    Raises:
        ImageError: missing, not a file, or too large; the message is the reason alone.
    """
    try:
        return read_file(file, MAX_BYTES)
    except FileNotFoundError:
        raise ImageError("file not found") from None
    except PermissionError:
        raise ImageError("no permission to read the file") from None
    except IsADirectoryError:
        raise ImageError("is a directory") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from None


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode an untrusted image file to (height, width, 3) uint8 RGB.

    Grey, palette, CMYK and 16-bit images are converted, alpha is composited over black, the EXIF
    orientation is applied. JPEG is decoded by libjpeg-turbo, every warning of which is an error; other formats by
    Pillow rather than OpenCV, because it reads the size before it decodes and reports truncated data, where OpenCV
    returns a half-grey picture.

    Raises:
        ImageError: empty, truncated, damaged, unreadable, of values without a known range, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        if data.startswith(jpeg.START):
            return _decoded_jpeg(data)
        with _quiet():
            return np.asarray(_as_rgb(_opened(data)))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"the image has more than the {MAX_PIXELS} pixels allowed") from None
    except MemoryError:
        raise ImageError("there is not enough memory to decode it") from None
    except Exception as error:  # Pillow raises nearly anything on hostile files, struct.error and TypeError among them
        raise ImageError(f"cannot be decoded: {error}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's own, larger, size warning and its EXIF remarks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _opened(data: bytes) -> Image.Image:
    """By Pillow, upright; decoded when its pixels are asked for, unless it has to be turned."""
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_pixels(image.width, image.height)
    if image.format == "PNG":
        image.verify()  # the checksums, which decoding passes over
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        return ImageOps.exif_transpose(image)
    return image


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"the image is {width}x{height} and has more than the {MAX_PIXELS} pixels allowed")


def _decoded_jpeg(data: bytes) -> NDArray[np.uint8]:
    header = jpeg.read_header(data)
    _check_pixels(header.width, header.height)
    pixels = jpeg.decode(data, header)
    if header.components != 4 and not header.tagged:
        return pixels
    with _quiet():
        if header.components == 4:  # now known to be whole; Pillow knows whose CMYK is inverted
            return np.asarray(_as_rgb(_opened(data)))
        orientation = Image.open(io.BytesIO(data), formats=FORMATS).getexif().get(_EXIF_ORIENTATION, 1)
    turned = _UPRIGHT.get(orientation)
    return pixels if turned is None else np.asarray(Image.fromarray(pixels).transpose(turned))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise ImageError("holds floating-point values, whose range is not known; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ImageError("holds values outside of 0 to 65535; save it with 8 or 16 bits")
        # 16-bit data scales by its full range, if it uses more than that of 8 bits.
        grey = values // 257 if values.max(initial=0) > 255 else values
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if "A" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        opaque = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(opaque, rgba).convert("RGB")
    return image.convert("RGB")


Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""A list of images, each (h, w, 3) uint8 RGB of its own size; (n, h, w, 3), or one image."""


def image_list(images: Images) -> Sequence[NDArray[np.uint8]]:
    """The images that an estimator was called with: a single one is a list of one.

    Raises:
        ValueError: something else than images; says which, and what makes it one.
    """
    listed = [images] if isinstance(images, np.ndarray) and images.ndim < 4 else list(images)
    for number, image in enumerate(listed):
        if problem := _problem(image):
            raise ValueError(f"image {number} {problem}; an image is a NumPy array (height, width, 3) of uint8, RGB")
    return listed


def _problem(image: object) -> str | None:
    if not isinstance(image, np.ndarray):
        return f"is a {type(image).__name__}: read files by reidprep.read_image"
    if image.ndim == 2:
        return f"has shape {image.shape}, it is grey: make it RGB by np.stack([image] * 3, axis=-1)"
    if image.ndim == 3 and image.shape[2] == 4:
        return f"has shape {image.shape}: leave out the fourth channel by image[..., :3]"
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        return f"has shape {image.shape}, channels first: put them last by image.transpose(1, 2, 0)"
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        return f"has shape {image.shape}"
    if np.issubdtype(image.dtype, np.floating):
        return f"is {image.dtype}: if it is 0 to 1, take (image * 255).round().astype(np.uint8)"
    if image.dtype != np.uint8:
        return f"is {image.dtype}: if it is 0 to 255, take image.astype(np.uint8)"
    return None


def crop_box(
    image: NDArray[np.uint8], box: ArrayLike, size: tuple[int, int], border: Sequence[float] = (0, 0, 0)
) -> NDArray[np.uint8]:
    """Resample what a box covers to a fixed size; what lies outside the image gets the border colour.

    Of a box that does not leave the image the outermost pixels are repeated instead of being blended with that colour.

    Args:
        image: (h, w, 3) uint8.
        box: (x0, y0, x1, y1), x1 > x0 and y1 > y0, sub-pixel positions honoured.
        size: (height, width) of the result.
        border: colour of three values 0 to 255, in the image's channel order.

    Returns:
        (height, width, 3) uint8, bilinear; averaged first where it shrinks by two or more.

    Raises:
        ValueError: a box without width or height or with a side that is not finite, or an image of another type.

    Example:
        >>> from reidprep import crop_box, read_image
        >>> image = read_image("person.jpg")
        >>> upper_half = crop_box(image, (0, 0, 64, 64), (96, 96))
        >>> upper_half.shape
        (96, 96, 3)
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64).tolist()
    height, width = size
    if not (0 < x1 - x0 < np.inf and 0 < y1 - y0 < np.inf):
        raise ValueError(f"a box is (x0, y0, x1, y1) with x1 > x0 and y1 > y0, not {(x0, y0, x1, y1)}")
    if image.dtype != np.uint8:
        raise ValueError(f"images are uint8, 0 to 255, not {image.dtype}")
    inside = x0 >= 0 and y0 >= 0 and x1 <= image.shape[1] and y1 <= image.shape[0]
    image, shrink_x, shrink_y = _reduced(image, (x1 - x0) / width, (y1 - y0) / height)
    scale_x, scale_y = width / ((x1 - x0) * shrink_x), height / ((y1 - y0) * shrink_y)
    matrix = np.array(
        [
            [scale_x, 0, scale_x * (0.5 - x0 * shrink_x) - 0.5],
            [0, scale_y, scale_y * (0.5 - y0 * shrink_y) - 0.5],
        ]
    )
    crop = cv2.warpAffine(
        image,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if inside else cv2.BORDER_CONSTANT,
        borderValue=tuple(float(c) for c in border),
    )
    return crop.astype(np.uint8, copy=False)


def _reduced(image: NDArray[np.uint8], ratio_x: float, ratio_y: float) -> tuple[NDArray[np.uint8], float, float]:
    """Average an image down by whole factors where bilinear sampling would skip pixels."""
    factor_x, factor_y = max(1, int(ratio_x)), max(1, int(ratio_y))
    if factor_x == factor_y == 1:
        return image, 1.0, 1.0
    height, width = image.shape[:2]
    small = (max(1, round(width / factor_x)), max(1, round(height / factor_y)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return reduced, small[0] / width, small[1] / height


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Encode an RGB image (h, w, 3) as a baseline JPEG, with half the resolution of colour.

    By OpenCV: simplejpeg's encoder gives the same bytes from quality 96 on, and below that takes libjpeg-turbo's fast
    transform, which costs 1.2 dB at quality 95.
    """
    # Contiguous: OpenCV takes twice as long for a view with its channels swapped.
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError(f"OpenCV could not encode an image of shape {image.shape}")
    return data.tobytes()


def decode_jpeg(data: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Decode JPEG bytes that this package wrote to (h, w, 3) uint8 RGB, into contiguous `out` if there is one.

    Raises:
        ImageError: the bytes are not a JPEG, not a whole one, or one that does not fit into `out`.
    """
    if data[:3].tobytes() != jpeg.START:
        raise ImageError("the bytes are not a JPEG image")
    return jpeg.pixels(data, out=out)
