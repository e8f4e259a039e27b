"""Loading pre-trained weights, and saying which layers they did not serve."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reidprep.errors import ReidError


@dataclass(frozen=True)
class LoadReport:
    """What `load_matching` did, by parameter and buffer names.

    Attributes:
        loaded: in both, with equal shapes.
        missing: in the model only; they keep their values.
        unused: in the weights only.
        mismatched: in both with different shapes, as (name, shape of the weights, shape of the model).
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def describe(self) -> list[str]:
        """Lines for the reader: the count, then the layers that got nothing and the weights that were left over."""
        lines = [f"{len(self.loaded)} of {len(self.loaded) + len(self.missing) + len(self.mismatched)} tensors loaded"]
        if self.missing:
            lines.append(f"not in the weights, left as they were: {', '.join(layers(self.missing))}")
        if self.unused:
            lines.append(f"in the weights, not in the model: {', '.join(layers(self.unused))}")
        lines += [f"another shape: {name} is {theirs}, the model has {ours}" for name, theirs, ours in self.mismatched]
        return lines


def layers(names: tuple[str, ...]) -> list[str]:
    """Names of the modules that own the tensors, once each, in their order."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def read_weights(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """State dict of a file made by `torch.save`, without unpickling anything but tensors.

    Args:
        path: a state dict, or a checkpoint with one under `state_dict`.
        prefix: keep the names that start with it, and take it off.

    Raises:
        ReidError: the file is missing, no such file, or holds something else.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ReidError(f"{path} does not exist") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ReidError(
            f"{path} cannot be read as weights ({str(error).splitlines()[0] if str(error) else 'damaged'}); "
            "give a state dict saved by torch.save"
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ReidError(f"{path} holds {type(content).__name__}, not a state dict")
    tensors = {
        name.removeprefix(prefix): value
        for name, value in content.items()
        if isinstance(name, str) and name.startswith(prefix) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ReidError(f"{path} holds no tensors{f' under {prefix!r}' if prefix else ''}; it is not a state dict")
    return tensors


def load_matching(model: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Load every tensor that the model has under the same name and in the same shape; report the others.

    Raises:
        ReidError: not one tensor matches; the model is unchanged.
    """
    own = model.state_dict()
    shared = [name for name in own if name in state_dict]
    loaded = tuple(name for name in shared if own[name].shape == state_dict[name].shape)
    report = LoadReport(
        loaded=loaded,
        missing=tuple(name for name in own if name not in state_dict),
        unused=tuple(name for name in state_dict if name not in own),
        mismatched=tuple(
            (name, tuple(state_dict[name].shape), tuple(own[name].shape)) for name in shared if name not in set(loaded)
        ),
    )
    if not loaded:
        raise ReidError(
            f"none of the {len(state_dict)} tensors fits the model: the weights have names such as "
            f"{next(iter(state_dict), 'none')!r}, the model {next(iter(own), 'none')!r}; give weights of this model"
        )
    model.load_state_dict({name: state_dict[name] for name in loaded}, strict=False)
    return report
