"""What every keypoint reader gives, and what they share: JSON that anyone may have written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import read_file
from reidprep.skeleton import JOINTS, SKELETONS, known_skeletons, to_18_joints
from reidprep.text import counted, printable, quoted

FARTHEST = 1e6
"""A position farther than this from the image's corner, in pixels, is none."""


@dataclass(frozen=True)
class Entry:
    """The people that a keypoint file has for one image.

    Attributes:
        name: the image as the file calls it, folders separated by /.
        has_suffix: the name ends in the image's suffix (.jpg); else the format leaves it out.
        where: the file, and the place in it, for messages.
        people: (m, 18, 3) x, y, score; a joint that is missing is 0, 0, 0.
        size: width and height of the image, None if the file does not say.
    """

    name: str
    has_suffix: bool
    where: str
    people: NDArray[np.float32]
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Content:
    """What a keypoint file, or a folder of them, holds.

    Attributes:
        entries: in the order of the files.
        score_scale: what the scores mean.
        confidence: the score from which a joint counts as found.
    """

    entries: Sequence[Entry]
    score_scale: str
    confidence: float = 0.3


def load_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ReidError: it cannot be read, or is not JSON; names the line.
    """
    try:
        return json.loads(read_file(file).decode("utf-8-sig"))
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise ReidError(
            f"{file}, line {error.lineno}, column {error.colno}: is not valid JSON ({error.msg}); is the file complete?"
        ) from None
    except UnicodeDecodeError as error:
        raise ReidError(f"{file}: is not UTF-8 text, from byte {error.start} on") from None
    except RecursionError:
        raise ReidError(f"{file}: is nested too deeply for a keypoint file") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise ReidError(f"{file}: {error}") from None


def field(value: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`value[name]`, of a certain type.

    Raises:
        ReidError: `value` is no object, the field is missing, or of another type.
    """
    if not isinstance(value, dict):
        raise ReidError(f"{where}: {shown(value)} in place of an object with the field {name}")
    found = value.get(name)
    if not isinstance(found, kind) or isinstance(found, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(
            {"dict": "object", "str": "text", "int": "number"}.get(k.__name__, "list") for k in kinds
        )
        has = f"is {shown(found)}" if name in value else "is missing"
        raise ReidError(f"{where}: {name} {has}; expected a{'n' * (expected[0] in 'aeio')} {expected}")
    return found


def numbers(values: Sequence[Any], where: str) -> list[float]:
    """A flat list of JSON numbers; None (null) becomes NaN.

    Raises:
        ReidError: something else is among them.
    """
    result = []
    for value in values:
        if type(value) is float:
            result.append(value)
        elif value is None:
            result.append(float("nan"))
        elif type(value) is int and abs(value) < 1 << 1000:
            result.append(float(value))
        else:
            raise ReidError(f"{where}: {shown(value)} in place of a number")
    return result


def flat_joints(values: Sequence[Any], where: str) -> NDArray[np.float32]:
    """x, y, score of joint after joint -> (18, 3).

    Raises:
        ReidError: not numbers, or of no known skeleton.
    """
    return joints(np.array(numbers(values, where)), where)


def joints(values: NDArray[np.float64], where: str) -> NDArray[np.float32]:
    """Numbers x, y, score of joint after joint -> (18, 3), joints that are not numbers, or far away, set to 0, 0, 0.

    Raises:
        ReidError: of no known skeleton.
    """
    if len(values) % 3 or len(values) // 3 not in SKELETONS:
        raise ReidError(
            f"{where}: {counted(len(values), 'number')} are no x, y, score of a known skeleton; known numbers of "
            "joints: "
            f"{known_skeletons()}"
        )
    points = values.reshape(-1, 3)
    with np.errstate(invalid="ignore"):
        usable = (np.abs(points) < FARTHEST).all(axis=1, keepdims=True)
    return to_18_joints(np.where(usable, points, 0)[None]).reshape(18, 3)


def check_names(names: Any, where: str) -> None:
    """Refuse names of joints that are in another order than `to_18_joints` takes as many joints to be in.

    17 names must be COCO's; of other numbers only the names of our joints count.

    Args:
        names: what a file holds as the names of its joints; what is no list of text says nothing.
        where: the file, and the place in it, for messages.

    Raises:
        ReidError: they are.
    """
    if not isinstance(names, list) or len(names) not in SKELETONS or not all(isinstance(name, str) for name in names):
        return
    numbered = np.arange(len(names), dtype=np.float32)[None, :, None].repeat(3, axis=2)
    # A neck between two shoulders is at none.
    places = dict(zip(map(_plain, JOINTS), to_18_joints(numbered)[0, :, 0].tolist(), strict=True))
    found = {place: plain for place, name in enumerate(names) if (plain := _plain(name)) in places or len(names) == 17}
    if any(places.get(plain) != place for place, plain in found.items()):
        expected = sorted((place, joint) for joint in JOINTS if (place := places[_plain(joint)]).is_integer())
        raise ReidError(
            f"{where}: keypoints are {quoted(map(printable, names), 25)}; expected "
            f"{', '.join(joint.replace('l_', 'left_').replace('r_', 'right_') for _, joint in expected)}"
        )


def _plain(name: str) -> str:
    """`lshoulder` for left_shoulder, LShoulder and l_shoulder."""
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    return letters.replace("left", "l").replace("right", "r")


def stack(people: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(m, 18, 3) of m people's joints, which may be none."""
    return np.array(people, dtype=np.float32).reshape(-1, 18, 3)


def shown(value: object) -> str:
    """A value for a message, cut short."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "a huge number"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
