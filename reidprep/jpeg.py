"""JPEG files of anybody's: what their markers say, and their pixels if all of these are there.

libjpeg fills what is missing of a damaged file with grey, and only warns. Here a warning is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from reidprep.errors import ImageError

START = b"\xff\xd8\xff"
MAX_SCANS = 64
"""Encoders write about 10. Each scan of a progressive file takes as long as an image."""

_ALL_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1
# Within a scan, a marker is an FF that neither a zero, nor a restart, nor a further FF follows.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class JpegHeader:
    """What the markers of a JPEG file say.

    Attributes:
        width: in pixels.
        height: in pixels.
        components: 1 for grey, 3 for colour, 4 for CMYK.
        tagged: whether there may be EXIF or XMP, and an orientation in it.
        scans: how many there are, up to one more than `MAX_SCANS`.
        whole: whether the scans give every coefficient at full precision: a progressive file that was cut between two
            scans and closed with an end marker is valid, and blurred.
    """

    width: int
    height: int
    components: int
    tagged: bool
    scans: int
    whole: bool


def read_header(data: bytes) -> JpegHeader:
    """Walk through the markers of a file; no pixel is decoded.

    Raises:
        ImageError: there is no frame, or a segment that leads out of the file.
    """
    frame: bytes | None = None
    progressive = tagged = False
    scans = 0
    missing: dict[int, NDArray[np.uint8]] = {}  # component -> bits that each of its coefficients lacks
    for marker, segment in _segments(data):
        tagged |= marker == _APP1
        if marker in _ALL_FRAMES and frame is None:
            if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
                break
            frame, progressive = segment, marker in _PROGRESSIVE
            missing = {segment[6 + 3 * number]: np.full(64, 255, np.uint8) for number in range(segment[5])}
        elif marker == _SCAN and segment and len(segment) >= 4 + 2 * segment[0]:
            scans += 1
            count = segment[0]
            first, last, precision = segment[1 + 2 * count : 4 + 2 * count]
            for component in segment[1 : 1 + 2 * count : 2]:
                if component in missing:
                    kept = slice(first, last + 1) if progressive else slice(None)
                    missing[component][kept] = precision & 15 if progressive else 0
            # libjpeg, too, reads no more of a sequential file whose first scan has all components.
            if scans > MAX_SCANS or (scans == 1 and not progressive and count == len(missing)):
                break
    if frame is None:
        raise ImageError("the JPEG is damaged: it has no header")
    return JpegHeader(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        components=frame[5],
        tagged=tagged,
        scans=scans,
        whole=not any(bits.any() for bits in missing.values()),
    )


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and what belongs to them, up to the end marker or to where the file ends."""
    place = 2
    while match := _MARKER.search(data, place):
        marker, place = data[match.start() + 1], match.end()
        if marker == _END:
            return
        length = int.from_bytes(data[place : place + 2], "big")
        yield marker, data[place + 2 : place + length]
        place += max(2, length)


def decode(data: bytes, header: JpegHeader) -> NDArray[np.uint8]:
    """The pixels of a JPEG file, every one of which is in it.

    The values are those of Pillow and of OpenCV, all of which use libjpeg-turbo.

    Args:
        data: the file.
        header: what `read_header` says.

    Returns:
        (height, width, 3) uint8 RGB; of a CMYK file (height, width, 4), as stored.

    Raises:
        ImageError: cut off, damaged, of more than `MAX_SCANS` scans, or of a kind that libjpeg-turbo does not decode.
    """
    if header.scans > MAX_SCANS:
        raise ImageError(f"the JPEG has more than the {MAX_SCANS} scans allowed; save it again")
    if not header.whole:
        raise ImageError("the JPEG is cut off: some of its scans are missing")
    return pixels(data, "CMYK" if header.components == 4 else "RGB")


def pixels(
    data: bytes | NDArray[np.uint8], space: str = "RGB", out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Decode a JPEG of which all that can be known before is known, into contiguous `out` if there is one.

    Raises:
        ImageError: libjpeg has so much as a warning, or the pixels do not fit into `out`.
    """
    try:
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, space, strict=True, buffer=out)
    except ValueError as error:
        raise ImageError(f"the JPEG is damaged or cut off: {error}") from None
    return image
