"""Recipes from YAML, with overrides, and mistakes named with what was probably meant."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from reidprep.errors import ReidError
from reidprep.files import open_file
from reidtrain.recipes.names import SHIPPED, check_recipe_name, recipe_names, shown, unknown
from reidtrain.recipes.schema import NETWORKS, Recipe

_LONGEST = 100_000
"""Characters of a recipe."""
_DEEPEST = 20
"""Mappings and lists within each other."""
_MOST = 10_000
"""Values in a recipe, those that aliases repeat counted each time."""
_KEY = re.compile(r"\w+(\.\w+)*", re.ASCII)


def recipe_lines() -> dict[str, str]:
    """What each shipped recipe is for, in a line, by name: the first sentence of the file."""
    return {name: _text(name).partition("\n")[0].removeprefix("# ") for name in recipe_names()}


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
    config = _read(source)
    for override in overrides:
        _override(config, override)
    return recipe_from_dict(_plain(OmegaConf.to_container(config)), str(source))


def recipe_from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Check the values of a recipe; `recipe_to_dict` is the way back.

    Raises:
        ReidError: as `load_recipe`; messages start with `source`.
    """
    values = dict(values)
    network = values.pop("network", None)
    try:
        if not (isinstance(network, str) and network in NETWORKS):
            raise ReidError(f"network: {unknown(network, NETWORKS)}")
        model = _validated(NETWORKS[network], values.get("model") or {}, ("model",))
        recipe: Recipe = _validated(Recipe, {**values, "model": model})
        return recipe
    except ReidError as error:
        raise ReidError(f"{source}: {error}") from None


def stored_recipe(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values that a checkpoint or run folder holds, complete with those of switches that came after it was written.

    Before `model.stage6_dilation`, stage 6 had the dilation of stage 5; before `model.depth` there was ResNet-50 alone;
    before `checkpoint` and `training`, every epoch was saved, and trained for its own sake.
    """
    values = {"checkpoint": {"minutes": 0.0}, "training": {"max_minutes": None}, **values}
    model = values.get("model")
    if values.get("network") != "self-attention" or not isinstance(model, Mapping):
        return values
    as_trained = {"stage6_dilation": 4 if model.get("dilation", True) else 1, "depth": 50}
    return {**values, "model": {**as_trained, **model}}


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain values, complete with those that were left at their defaults, for YAML, JSON and checkpoints."""
    return {"network": recipe.network, **_plain(dataclasses.asdict(recipe))}


def recipe_to_yaml(recipe: Recipe) -> str:
    """The complete recipe as the text of a file that `load_recipe` reads."""
    return str(yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, default_flow_style=None, width=120))


def changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Our value and theirs by each path at which two recipes, as dictionaries, differ."""
    first, second = dict(_leaves(ours, "")), dict(_leaves(theirs, ""))
    return {
        key: (first.get(key, "absent"), second.get(key, "absent"))
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    }


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """The changes in words."""
    return [f"{key} is {new}, was {old}" for key, (new, old) in changes(ours, theirs).items()]


def _text(shipped: str) -> str:
    return (SHIPPED / f"{shipped}.yaml").read_text(encoding="utf-8")


def _read(source: str | Path) -> DictConfig:
    name = str(source)
    check_recipe_name(name)
    if name in recipe_names():
        text = _text(name)
    else:
        try:
            with TextIOWrapper(open_file(Path(source)), encoding="utf-8") as file:
                text = file.read(_LONGEST + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise ReidError(f"{source}: the recipe cannot be read ({error})") from None
    values = _parsed(text, name)
    if not isinstance(values, DictConfig):
        raise ReidError(f"{source}: a recipe is a mapping of keys to values; see docs/recipes.md")
    base = values.pop("base", None)
    # A file of that name in the recipe's own folder would be ambiguous, so bases are shipped recipes alone.
    if base is not None and base not in recipe_names():
        raise ReidError(f"{source}: base {unknown(base, recipe_names())}")
    return values if base is None else _merged(_read(base), values)


def _parsed(text: str, source: str) -> Any:
    """The values of a text as OmegaConf has them, which reads neither environment nor files here."""
    try:
        _check_text(text)
        return OmegaConf.from_dotlist([f"value={text}"])["value"]
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ReidError(f"{source}: not valid YAML: {' '.join(str(error).split())[:300]}") from None
    except ReidError as error:
        raise ReidError(f"{source}: {error}") from None


def _check_text(text: str) -> None:
    """Refuse what would take a parser forever, and all that is not plain values."""
    if len(text) > _LONGEST:
        raise ReidError(f"more than {_LONGEST} characters are no recipe")
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ReidError(f"values lie more than {_DEEPEST} deep in each other")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ReidError(f"the tag {tag!r} is not taken; write the value alone")
    node = yaml.compose(text, yaml.SafeLoader)
    if node is not None:
        size, depth = _extent(node, {})
        if size > _MOST or depth > _DEEPEST:
            raise ReidError(f"aliases make it more than {_MOST} values, or more than {_DEEPEST} deep; write values out")


def _extent(node: yaml.Node, known: dict[yaml.Node, tuple[int, int]]) -> tuple[int, int]:
    """Values and depth of a node once its aliases are written out; infinite for one that contains itself."""
    if node not in known:
        known[node] = (_MOST + 1, _DEEPEST + 1)
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in children for child in pair]
        elif isinstance(node, yaml.ScalarNode) and ("${" in node.value or node.value == "???"):
            raise ReidError(f"{node.value!r}: recipes take values as they are; write out what it stands for")
        extents = [_extent(child, known) for child in children]
        known[node] = (1 + sum(size for size, _ in extents), 1 + max((depth for _, depth in extents), default=0))
    return known[node]


def _merged(base: DictConfig, values: DictConfig) -> DictConfig:
    """`values` over `base`: mappings key by key, lists as a whole."""
    for key, value in values.items():
        try:
            base.merge_with({key: value})
        except TypeError:
            # A list where the base has a mapping, or the other way round: for the checks, which say where.
            base[key] = value
    return base


def _override(config: DictConfig, override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not _KEY.fullmatch(path):
        raise ReidError(f"--set {override}: expected key=value, such as stages.0.epochs=10")
    value = _parsed(text, f"--set {override}")
    keys = path.split(".")
    if len(keys) > _DEEPEST:
        raise ReidError(f"--set {override}: there is no key of so many parts")
    for depth, key in enumerate(keys):
        entries = OmegaConf.select(config, ".".join(keys[:depth])) if depth else config
        if isinstance(entries, ListConfig) and not (key.isdecimal() and int(key) < len(entries)):
            where = ".".join(keys[:depth])
            raise ReidError(f"--set {override}: {where} has entries 0 to {len(entries) - 1}, not {key!r}")
    OmegaConf.update(config, path, value, merge=False)


def _validated(kind: Any, values: Any, path: tuple[str, ...] = ()) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        # Hundreds of wrong keys are no better told one by one.
        raise ReidError("; ".join(_explained(entry, kind, path) for entry in error.errors()[:5])) from None
    except ReidError as error:
        # The network's own checks.
        raise ReidError(".".join([*path, str(error)])) from None


def _explained(error: Any, kind: Any, path: tuple[str, ...]) -> str:
    """A mistake that pydantic found in values of a kind of dataclass, which stand under a path of the recipe."""
    where = ".".join(map(str, [*path, *error["loc"]]))
    value = error["input"]
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] == "literal_error":
        choices = [choice.strip(" '") for choice in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        return f"{where}: {unknown(value, choices)}"
    if error["type"] == "unexpected_keyword_argument":
        *parents, key = error["loc"]
        paths = [path for path in _paths(Recipe) if path.endswith(f".{key}")] if kind is Recipe and not parents else []
        if paths:
            return f"{where} is not known; did you mean {' or '.join(paths)}?"
        return f"{where}: {unknown(key, _keys(kind, parents))}"
    if error["type"] == "dataclass_type":
        return f"{where} is {shown(value)}; it must be a mapping of keys to values"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where} is {shown(value)}: {message[0].lower()}{message[1:]}"


def _keys(kind: Any, parents: Iterable[str | int]) -> list[str]:
    """Keys of the dataclass that stands under a path within values of a kind."""
    root = kind
    for key in parents:
        kind = get_args(kind)[0] if isinstance(key, int) else get_type_hints(kind)[key]
    return [
        *(entry.name for entry in dataclasses.fields(kind)),
        *(["network", "base"] if kind is root is Recipe else []),
    ]


def _paths(kind: Any, start: str = "") -> Iterator[str]:
    """Paths of what a dataclass of a recipe may hold, by the first entry of lists."""
    for name, hint in get_type_hints(kind).items():
        yield start + name
        first = ".0." if get_origin(hint) is tuple else "."
        for each in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(each):
                yield from _paths(each, start + name + first)


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
