"""Names of the shipped recipes. Imports no network, so that a wrong name is told at once."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from reidprep.errors import ReidError

SHIPPED = resources.files(__package__) / "shipped"
"""The folder of the shipped recipes."""


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in SHIPPED.iterdir() if entry.name.endswith(".yaml"))


def check_recipe_name(source: str) -> None:
    """Check that a recipe is a shipped one by its name, or may be a file.

    Raises:
        ReidError: neither; the nearest name is said.
    """
    names = recipe_names()
    if not (source in names or source.endswith((".yaml", ".yml")) or Path(source).is_file()):
        raise ReidError(f"recipe {unknown(source, names)}; or give a .yaml file")


def unknown(value: object, choices: Iterable[str]) -> str:
    """Say that a value is none of the choices, and which of them was probably meant."""
    choices = list(choices)
    near = difflib.get_close_matches(str(value), choices, n=1) if isinstance(value, str) else []
    hint = f"did you mean {near[0]!r}? There" if near else "there"
    return f"{shown(value)} is not known; {hint} are {', '.join(choices)}"


def shown(value: object) -> str:
    """A value, shortened; of numbers without end not even Python would print the digits."""
    return "a very large number" if isinstance(value, int) and value.bit_length() > 64 else reprlib.repr(value)
