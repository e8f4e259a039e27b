"""Pictures as responses: kept by browsers for good, and a picture of the reason where there is none."""

from __future__ import annotations

import hashlib
import textwrap
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.errors import ReidError
from reidprep.images import encode_jpeg
from reidprep.inspect.samples import Picture, Samples

MAX_SIDE = 2048
"""Larger source images are shown at this size."""
_QUALITY = 95
_FOR_GOOD = "private, max-age=31536000, immutable"
_FOR_A_WHILE = "private, max-age=300"


def picture_response(request: Request, samples: Samples, index: int, name: str) -> Response:
    """One picture of a sample.

    Args:
        request: the request.
        samples: the opened directory.
        index: the sample.
        name: `source`, or one of `Samples.crops`.
    """
    try:
        samples.check_unchanged()
        picture = source_picture(samples.source(index)) if name == "source" else samples.crop(index, name)
    except ReidError as error:
        return Response(placeholder(str(error)), 404, media_type="image/svg+xml")
    tag = f'"{hashlib.sha256(picture.data).hexdigest()[:20]}"'
    # Source images may change, and an address without the version may lead to other shards tomorrow.
    lasting = _FOR_A_WHILE if name == "source" else _FOR_GOOD
    current = request.query_params.get("v") == samples.version
    headers = {"ETag": tag, "Cache-Control": lasting if current else "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


def source_picture(image: NDArray[np.uint8]) -> Picture:
    """A source image, (h, w, 3) uint8 RGB, as a JPEG: encoded anew, so that nothing but pixels leaves."""
    shrink = MAX_SIDE / max(image.shape[:2])
    if shrink < 1:
        height, width = (max(1, round(side * shrink)) for side in image.shape[:2])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(encode_jpeg(image, _QUALITY), "image/jpeg")


def placeholder(reason: str) -> bytes:
    """A picture that says why there is none, as SVG."""
    lines = textwrap.wrap("".join(c if c.isprintable() else "?" for c in reason), 26)[:14]
    text = "".join(f'<tspan x="8" y="{40 + 14 * number}">{escape(line)}</tspan>' for number, line in enumerate(lines))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 256" width="160" height="256" '
        'font-family="sans-serif" font-size="11" fill="#e6e8eb"><rect width="160" height="256" fill="#5b2328"/>'
        f'<text x="8" y="20" font-weight="bold">cannot be shown</text><text>{text}</text></svg>'
    ).encode()
