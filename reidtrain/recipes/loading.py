"""Recipes from YAML, with overrides, and mistakes named with what was probably meant."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from reidprep.errors import ReidError
from reidtrain.recipes.schema import NETWORKS, Recipe

_SHIPPED = resources.files(__package__) / "shipped"


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _SHIPPED.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(source: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """A shipped recipe by name, or one from a file, with some values replaced.

    Args:
        source: name of a shipped recipe, or path of a YAML file.
        overrides: `key=value`, where the key is a path such as `stages.0.optimizer.lr` and the value is YAML.

    Raises:
        ReidError: no such recipe, no valid YAML, a key or value that is not known; the nearest right one is named.

    Example:
        >>> from reidtrain import load_recipe
        >>> recipe = load_recipe("attention-driven-market1501", ["stages.0.epochs=60"])
        >>> recipe.network, recipe.stages[0].epochs
        ('attention-driven', 60)
    """
    values = _read(source)
    for override in overrides:
        _override(values, override)
    return recipe_from_dict(values, str(source))


def recipe_from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Check the values of a recipe; `recipe_to_dict` is the way back.

    Raises:
        ReidError: as `load_recipe`; messages start with `source`.
    """
    values = dict(values)
    network = values.pop("network", None)
    try:
        if network not in NETWORKS:
            raise ReidError(f"network: {_unknown(network, NETWORKS)}")
        _check_keys(values, Recipe, "")
        model = values.get("model") or {}
        _check_keys(model, NETWORKS[network], "model")
        recipe: Recipe = _validated(Recipe, {**values, "model": _validated(NETWORKS[network], model, "model.")}, "")
        return recipe
    except ReidError as error:
        raise ReidError(f"{source}: {error}") from None


def stored_recipe(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values that a checkpoint or run folder holds, complete with those of switches that came after it was written.

    Before `model.stage6_dilation`, stage 6 had the dilation of stage 5.
    """
    model = values.get("model")
    if values.get("network") != "self-attention" or not isinstance(model, Mapping) or "stage6_dilation" in model:
        return values
    return {**values, "model": {**model, "stage6_dilation": 4 if model.get("dilation", True) else 1}}


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain values, complete with those that were left at their defaults, for YAML, JSON and checkpoints."""
    return {"network": recipe.network, **_plain(dataclasses.asdict(recipe))}


def recipe_to_yaml(recipe: Recipe) -> str:
    """The complete recipe as the text of a file that `load_recipe` reads."""
    return str(yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, default_flow_style=None, width=120))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Paths at which two recipes, as dictionaries, differ, with both values."""
    first, second = dict(_leaves(ours, "")), dict(_leaves(theirs, ""))
    return [
        f"{key} is {first.get(key, 'absent')}, was {second.get(key, 'absent')}"
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]


def _read(source: str | Path) -> dict[str, Any]:
    name = str(source)
    shipped = _SHIPPED / f"{name}.yaml"
    if name in recipe_names():
        text = shipped.read_text(encoding="utf-8")
    elif Path(source).suffix in (".yaml", ".yml") or Path(source).is_file():
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ReidError(f"{source}: the recipe cannot be read ({error})") from None
    else:
        raise ReidError(f"recipe {_unknown(name, recipe_names())}; or give a .yaml file")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ReidError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ReidError(f"{source}: a recipe is a mapping of keys to values; see docs/recipes.md")
    base = values.pop("base", None)
    # A file of that name in the recipe's own folder would be ambiguous, so bases are shipped recipes alone.
    if base is not None and base not in recipe_names():
        raise ReidError(f"{source}: base {_unknown(base, recipe_names())}")
    return _merged(_read(base), values) if base is not None else values


def _merged(base: Any, values: Any) -> Any:
    """`values` over `base`: mappings key by key, all else as a whole."""
    if not (isinstance(base, dict) and isinstance(values, dict)):
        return values
    return {**base, **{key: _merged(base.get(key), value) for key, value in values.items()}}


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ReidError(f"--set {override}: expected key=value, such as stages.0.epochs=10")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ReidError(f"--set {override}: the value is not valid YAML") from None
    *parents, last = path.split(".")
    target: Any = values
    for depth, key in enumerate(parents):
        if isinstance(target, dict):
            # Left at its default so far; whether there is such a key is checked with the rest.
            target = target.setdefault(key, {})
        else:
            target = target[_position(target, key, override, parents[:depth])]
    if isinstance(target, dict):
        target[last] = value
    else:
        target[_position(target, last, override, parents)] = value


def _position(target: Any, key: str, override: str, parents: Sequence[str]) -> int:
    where = ".".join(parents)
    if not isinstance(target, list):
        raise ReidError(f"--set {override}: {where} is {target!r}, which has no {key!r}")
    if not key.isdecimal() or int(key) >= len(target):
        raise ReidError(f"--set {override}: {where} has entries 0 to {len(target) - 1}, not {key!r}")
    return int(key)


def _check_keys(values: Any, kind: Any, path: str) -> None:
    """Refuse keys that dataclass `kind` lacks, all the way down; values are left to pydantic."""
    if get_origin(kind) is tuple and isinstance(values, list):
        for index, entry in enumerate(values):
            _check_keys(entry, get_args(kind)[0], f"{path}.{index}")
    if isinstance(kind, UnionType) or not dataclasses.is_dataclass(kind):
        return
    if not isinstance(values, dict):
        raise ReidError(f"{path} is {values!r}; it must be a mapping of keys to values")
    hints = get_type_hints(kind)
    for key, value in values.items():
        inner = f"{path}.{key}" if path else str(key)
        if key not in hints:
            choices = {**dict.fromkeys(hints), **({} if path else {"network": None, "base": None})}
            raise ReidError(f"{inner}: {_unknown(key, choices)}")
        _check_keys(value, hints[key], inner)


def _validated(kind: Any, values: Mapping[str, Any], prefix: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        raise ReidError("; ".join(_explained(entry, prefix) for entry in error.errors())) from None


def _explained(error: Any, prefix: str) -> str:
    path = prefix + ".".join(str(key) for key in error["loc"])
    if error["type"] == "missing":
        return f"{path} is missing"
    if error["type"] == "literal_error":
        choices = [choice.strip(" '") for choice in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        return f"{path}: {_unknown(error['input'], choices)}"
    message = error["msg"]
    return f"{path} is {error['input']!r}: {message[0].lower()}{message[1:]}"


def _unknown(value: object, choices: Iterable[str]) -> str:
    choices = list(choices)
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{value!r} is not known; {hint}There are {', '.join(choices)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """Paths and values; lists of plain values count as one value."""
    if isinstance(value, Mapping):
        entries: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(entry, Mapping) for entry in value):
        entries = enumerate(value)
    else:
        yield path, value
        return
    for key, entry in entries:
        yield from _leaves(entry, f"{path}.{key}" if path else str(key))
