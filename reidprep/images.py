"""Decode images that may be damaged or hostile."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from reidprep.errors import ImageError

MAX_PIXELS = 64 * 1024 * 1024
"""Larger images are refused from their header alone, before any pixel is decoded."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What is decoded. Pillow knows more, some of which start other programs on the file."""

_EXIF_ORIENTATION = 0x0112


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode an untrusted image file to (height, width, 3) uint8 RGB.

    Grey, palette, CMYK and 16-bit images are converted, alpha is composited over black, the EXIF
    orientation is applied. Pillow is used rather than OpenCV because it reads the size before
    it decodes and reports truncated data, where OpenCV returns a half-grey picture.

    Raises:
        ImageError: empty, truncated, unreadable or larger than `MAX_PIXELS`.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, larger, size warning and EXIF remarks
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"the image is {image.width}x{image.height} and has more than the {MAX_PIXELS} pixels allowed"
                )
            image.load()
            if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
                image = ImageOps.exif_transpose(image)
            return np.asarray(_as_rgb(image))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"the image has more than the {MAX_PIXELS} pixels allowed") from None
    except Exception as error:  # Pillow raises nearly anything on hostile files, struct.error and TypeError among them
        raise ImageError(f"cannot be decoded: {error}") from None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        # 16-bit data scales by its full range; wider types by what they hold.
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        grey = np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if "A" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        opaque = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(opaque, rgba).convert("RGB")
    return image.convert("RGB")
