"""A set of typical poses as a value and as a file.

`reidprep.alignment.filling.fill` uses the set, `reidprep.alignment.learning.learn` learns it; docs/canonical-poses.md
describes the method and the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import read_file
from reidprep.skeleton import INDEX, JOINTS, MIRROR

SCHEMA = "reidprep.canonical-poses"
VERSION = 2
"""1 was without the spread."""
SPREAD_DECIMALS = 7
DECIMALS = 4
"""Digits kept in the file: a ten-thousandth of the body height is 0.01 px in a 128-pixel image."""

_NEIGHBOURS = 24


@dataclass(frozen=True)
class CanonicalPoses:
    """Typical poses; every pose stands for its mirror image as well.

    Attributes:
        poses: (k, 18, 2) float32 of x, y with y downwards. The unit is the body height, from the highest to
            the lowest joint; the origin is the mean of x and the middle of that height.
        frequencies: (k,) float32, the share of the training poses that each pose stands for; sums to 1.
        provenance: where the set comes from: dataset, number of training poses, parameters.
        spread: (2, 18, 18) float64, covariance of the joints' x and of their y about a pose, equal for all poses and
            their mirror images, in squared body heights; None where it was not learnt, see `covariance`.
    """

    poses: NDArray[np.float32]
    frequencies: NDArray[np.float32]
    provenance: Mapping[str, object] = field(default_factory=dict)
    spread: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check the arrays.

        Raises:
            ValueError: a wrong shape, no pose, a value that is not finite, a frequency that is not positive, a spread
                that is no covariance.
        """
        if self.poses.ndim != 3 or self.poses.shape[1:] != (len(JOINTS), 2) or not len(self.poses):
            raise ValueError(f"poses have shape (k, {len(JOINTS)}, 2), not {self.poses.shape}")
        if self.frequencies.shape != (len(self.poses),):
            raise ValueError(f"frequencies have shape ({len(self.poses)},), not {self.frequencies.shape}")
        if not np.isfinite(self.poses).all() or np.abs(self.poses).max() > 10:
            raise ValueError("a pose has a coordinate that is not finite or beyond 10 body heights")
        if not (np.isfinite(self.frequencies) & (self.frequencies > 0)).all():
            raise ValueError("a frequency is not a positive number")
        if self.spread is not None:
            if self.spread.shape != (2, len(JOINTS), len(JOINTS)) or not np.isfinite(self.spread).all():
                raise ValueError(f"the spread is not two matrices of {len(JOINTS)} x {len(JOINTS)} finite numbers")
            if np.linalg.eigvalsh(self.spread).min() < -(10.0**-SPREAD_DECIMALS) * len(JOINTS):
                raise ValueError("the spread is no covariance: it has a negative eigenvalue")

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file that `to_json` makes of them."""
        return hashlib.sha256(to_json(self)).hexdigest()

    @cached_property
    def both(self) -> NDArray[np.float64]:
        """The poses followed by their mirror images, (2k, 18, 2)."""
        poses = self.poses.astype(np.float64)
        return np.concatenate([poses, mirrored(poses)])

    @cached_property
    def log_prior(self) -> NDArray[np.float64]:
        """Logarithm of the frequencies of `both`, (2k,), up to a constant."""
        return np.tile(np.log(self.frequencies.astype(np.float64)), 2)

    @cached_property
    def facing(self) -> NDArray[np.bool_]:
        """Which of `both` face the camera: the right shoulder is left of the left one, (2k,)."""
        x = self.both[..., 0]
        return x[:, INDEX["r_shoulder"]] < x[:, INDEX["l_shoulder"]]

    @property
    def covariance(self) -> NDArray[np.float64]:
        """How bodies differ from their typical pose, as `spread`; `local_covariance` where there is none."""
        return self.local_covariance if self.spread is None else self.spread

    @cached_property
    def local_covariance(self) -> NDArray[np.float64]:
        """How poses near to each other differ, (2, 18, 18) as `spread`.

        Half the mean outer product of the differences between each pose and its nearest ones. It says,
        for instance, that an ankle follows its knee, whatever the pose.
        """
        flat = self.both.reshape(len(self.both), -1)
        square = np.square(flat).sum(axis=1)
        distance = square[:, None] + square - 2 * flat @ flat.T
        np.fill_diagonal(distance, np.inf)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(flat) - 1)]
        difference = (flat[:, None] - flat[nearest]).reshape(-1, len(JOINTS), 2)
        return covariances(difference) / 2


def load(path: Path | None = None) -> CanonicalPoses:
    """Read a set of poses; None reads the one shipped with the package.

    Raises:
        ReidError: the file is missing, is not a set of canonical poses, or is of another version.
    """
    source = path or files("reidprep.alignment").joinpath("canonical_poses.json")
    try:
        content = json.loads(read_file(source) if isinstance(source, Path) else source.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(source, f"cannot be read ({error})") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise _refused(source, f"the schema is not {SCHEMA!r}")
    if content.get("version") not in (1, VERSION):
        raise _refused(source, f"version {content.get('version')!r}, this reidprep reads 1 and {VERSION}")
    if content.get("joints") != list(JOINTS):
        raise _refused(source, "the joints are not the 18 joints of this reidprep")
    if not isinstance(content.get("provenance"), dict):
        raise _refused(source, "the provenance is missing")
    try:
        poses = np.array(content.get("poses"), dtype=np.float32)
        frequencies = np.array(content.get("frequencies"), dtype=np.float32)
        spread = _from_lower(content["spread"]) if content["version"] > 1 else None
        return CanonicalPoses(poses, frequencies, content["provenance"], spread)
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(source, str(error)) from None


@cache
def default_poses() -> CanonicalPoses:
    """The set shipped with the package, read once."""
    return load()


def to_json(poses: CanonicalPoses) -> bytes:
    """The content of the file that `load` reads; equal sets give equal bytes.

    One pose a line, so that a change of the set is a readable difference. A set without spread is one of version 1.
    """
    head = {
        "schema": SCHEMA,
        "version": 1 if poses.spread is None else VERSION,
        "joints": list(JOINTS),
        "provenance": dict(poses.provenance),
        "frequencies": _rounded(poses.frequencies, DECIMALS + 2),
    }
    tables = {"poses": _lines([_rounded(pose, DECIMALS) for pose in poses.poses])}
    if poses.spread is not None:
        lower = np.tril_indices(len(JOINTS))
        tables = {"spread": _lines([_rounded(axis[lower], SPREAD_DECIMALS) for axis in poses.spread]), **tables}
    return (json.dumps(head)[:-1] + "".join(f', "{name}": {rows}' for name, rows in tables.items()) + "}\n").encode()


def _lines(rows: list[object]) -> str:
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


def _from_lower(lines: object) -> NDArray[np.float64]:
    """The two symmetric matrices whose lower triangles are given row by row.

    Raises:
        TypeError, ValueError: something else than two lists of numbers of the right length.
    """
    rows, columns = np.tril_indices(len(JOINTS))
    result = np.zeros((2, len(JOINTS), len(JOINTS)))
    values = np.array(lines, dtype=np.float64)
    if values.shape != (2, len(rows)):
        raise ValueError(f"the spread is not two lists of {len(rows)} numbers")
    result[:, rows, columns] = result[:, columns, rows] = values
    return result


def covariances(deviations: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Mean products of the joints' x and of their y: (n, 18, 2) -> (2, 18, 18).

    Args:
        deviations: from the mean.
        weights: (n,) summing to 1, None for equal ones.
    """
    by_axis = deviations.transpose(2, 1, 0)
    weighted = by_axis / len(deviations) if weights is None else by_axis * weights
    result: NDArray[np.float64] = weighted @ by_axis.transpose(0, 2, 1)
    return result


def mirrored(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mirror image of poses (..., 18, 2) about x = 0, left and right joints exchanged."""
    return poses[..., MIRROR, :] * (-1, 1)


def _refused(source: object, reason: str) -> ReidError:
    return ReidError(
        f"{source}: no usable canonical poses: {reason}; "
        "learn a set with 'reidprep fit-canonical', or leave --canonical out to use the default one"
    )


def _rounded(values: NDArray[np.floating], decimals: int) -> object:
    return (np.round(values.astype(np.float64), decimals) + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
