"""What manifests are made of: kinds of values, and the check of JSON values against types that say what may be there.

The types are frozen dataclasses. A field that is not always written is `UNSET` where it is not; keys that a type does
not know are passed over, so that what a later program adds can be read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from msgspec import Meta, ValidationError, convert, to_builtins

from reidprep.errors import ReidError
from reidprep.skeleton import JOINTS

Count = Annotated[int, Meta(ge=0, le=2**53)]
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Number of a person or camera; fits an int64."""
Share = Annotated[float, Meta(ge=0, le=1)]
Score = Annotated[float, Meta(ge=-3e38, le=3e38)]
"""A joint's score on the scale of its estimator; fits a float32."""
Level = Annotated[float, Meta(ge=0, le=255)]
Colour = tuple[Level, Level, Level]
"""Red, green and blue."""
JointShares = Annotated[tuple[Share, ...], Meta(min_length=len(JOINTS), max_length=len(JOINTS))]
JointCounts = Annotated[tuple[Count, ...], Meta(min_length=len(JOINTS), max_length=len(JOINTS))]
Side = Annotated[int, Meta(ge=1, le=16384)]
"""Height or width of an image, in pixels."""
Size = tuple[Side, Side]
"""Height and width."""

_Kind = TypeVar("_Kind")


def checked(values: object, kind: type[_Kind], file: Path, field: str = "") -> _Kind:
    """JSON values as the type that says what they may be.

    Args:
        values: what `file` holds.
        kind: the type.
        file: for the message.
        field: where in the file the values are, empty for the whole of it.

    Raises:
        ReidError: something is missing or is not what it should be; names file and field.
    """
    try:
        return convert(values, kind, str_keys=True)
    except (ValidationError, RecursionError) as error:
        raise ReidError(f"{file}: {_located(str(error), field)}; make the directory again") from None


def plain(value: object) -> Any:
    """The JSON values that `checked` takes, of what it gives; fields in their order, without those that are not set."""
    return json.loads(json.dumps(to_builtins(value, str_keys=True)))


def _located(message: str, field: str) -> str:
    """`plan.whole_size[0]: expected int, got str` for msgspec's "Expected `int`, got `str` - at `$.whole_size[0]`"."""
    what, _, where = message.partition(" - at ")
    where = (where or "$").replace("`key` in ", "a key of ").replace("`", "").replace("$", field)
    if missing := re.fullmatch("Object missing required field `(.*)`", what):
        where, what = f"{where}.{missing[1]}", "is missing"
    where, what = where.replace("key of .", "key of ").lstrip("."), what[0].lower() + what[1:].replace("`", "")
    return f"{where}: {what}" if where else what
