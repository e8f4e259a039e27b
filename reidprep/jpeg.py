"""JPEG encoding and decoding of crops: data this package wrote itself."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ImageError


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Encode an RGB image (h, w, 3) as a baseline JPEG."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError(f"OpenCV could not encode an image of shape {image.shape}")
    return data.tobytes()


def decode_jpeg(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Decode JPEG bytes that this package wrote to (h, w, 3) uint8 RGB.

    Raises:
        ImageError: the bytes are not a JPEG.
    """
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if image is None:
        raise ImageError("the bytes are not a JPEG image")
    return image.astype(np.uint8, copy=False)
