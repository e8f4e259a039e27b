"""Loading pre-trained weights, and saying which layers they did not serve."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reidprep.errors import ReidError, first_line
from reidprep.files import check_archive
from reidprep.pickles import numpy_scalars, why_refused
from reidtrain.models.attention_driven import AttentionDrivenNet

CHECKPOINT_KEY = "reidtrain"
"""Under which a checkpoint of this toolkit says what its weights are."""

# Where others keep the state dict in what they save.
_STATE_KEYS = ("state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.")
_FEW = 8


@dataclass(frozen=True)
class LoadReport:
    """What `load_matching` did, by parameter and buffer names.

    Attributes:
        loaded: in both, with equal shapes.
        missing: in the model only; they keep their values.
        unused: in the weights only.
        mismatched: in both with different shapes, as (name, shape of the weights, shape of the model).
        prefix: what was taken off the names of the weights; see `load_matching`.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    prefix: str = ""

    def describe(self) -> list[str]:
        """Lines for the reader: the count, then the layers that got nothing and the weights that were left over."""
        lines = [f"{len(self.loaded)} of {len(self.loaded) + len(self.missing) + len(self.mismatched)} tensors loaded"]
        if self.prefix:
            lines[0] += f", named without {self.prefix!r}"
        if self.missing:
            lines.append(f"not in the weights, left as they were: {', '.join(layers(self.missing))}")
        if self.unused:
            lines.append(f"in the weights, not in the model: {', '.join(layers(self.unused))}")
        lines += [f"another shape: {name} is {theirs}, the model has {ours}" for name, theirs, ours in self.mismatched]
        return lines


def layers(names: tuple[str, ...]) -> list[str]:
    """Names of the modules that own the tensors, once each, in their order."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def read_weights(path: Path, prefix: str = "", model: nn.Module | None = None) -> dict[str, Tensor]:
    """State dict of a file made by `torch.save`, without unpickling anything but plain values.

    Args:
        path: a state dict, or a checkpoint with one under `state_dict` or `model`; what else is in it is passed over.
        prefix: keep the names that start with it, and take it off; checkpoints of this toolkit have their own.
        model: the network the weights are for. Part branches of a checkpoint of this toolkit are then matched to its
            by name; see `adapt_parts`.

    Raises:
        ReidError: the file is missing, no such file, or holds something else.
    """
    content = _loaded(path)
    about = content.get(CHECKPOINT_KEY)
    inside = (content[key] for key in _STATE_KEYS if isinstance(content.get(key), Mapping))
    state = next(inside, content)
    prefix = prefix if about is None else "model."
    tensors = {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if isinstance(name, str) and name.startswith(prefix) and isinstance(value, Tensor)
    }
    for name, value in tensors.items():
        if problem := unusable(value):
            raise ReidError(f"{path}: {name} {problem}")
    if not tensors:
        found = [f"{key} ({type(value).__name__})" for key, value in list(state.items())[:_FEW]]
        raise ReidError(
            f"{path} holds no tensors{f' under {prefix!r}' if prefix else ''}, so it is not a state dict; it has "
            f"{', '.join(found) or 'nothing'}{' ...' if len(state) > _FEW else ''}. Give a state dict, or one under "
            f"{' or '.join(_STATE_KEYS)}"
        )
    if about is None or not isinstance(model, AttentionDrivenNet):
        return tensors
    try:
        return adapt_parts(tensors, about["recipe"]["model"]["branches"], model.config.branches)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise ReidError(
            f"{path} does not say which branches its weights are of; give a checkpoint of an attention-driven network"
        ) from None


def trained_recipe(path: Path) -> Mapping[str, Any]:
    """The recipe that a checkpoint of this toolkit was trained by, as it is stored; empty for weights of other origin.

    Raises:
        ReidError: as `read_weights`.
    """
    about = _loaded(path).get(CHECKPOINT_KEY)
    recipe = about.get("recipe") if isinstance(about, Mapping) else None
    return recipe if isinstance(recipe, Mapping) else {}


def load_torch(path: Path, noun: str, remedy: str) -> Any:
    """What `torch.save` wrote; nothing but tensors, plain values and NumPy's numbers is unpickled.

    Args:
        path: the file.
        noun: what it is to be, for messages.
        remedy: what to give instead, for messages.

    Raises:
        ReidError: missing, no regular file, damaged, or an archive that unpacks to more than its size.
    """
    try:
        check_archive(path)
        with torch.serialization.safe_globals(numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickles PyTorch says what its error says as well
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ReidError(f"{path} does not exist") from None
    except OSError as error:
        raise ReidError(f"{path} cannot be read as {noun} ({error.strerror or error}); {remedy}") from None
    except ReidError:
        raise
    except Exception as error:  # PyTorch raises nearly anything on damaged files, struct.error among them
        reason = why_refused(error) or first_line(error)
        raise ReidError(f"{path} cannot be read as {noun} ({reason}); {remedy}") from None


def unusable(tensor: object) -> str | None:
    """Why something is no tensor of a network on the CPU; None if it is one."""
    if not isinstance(tensor, Tensor):
        return f"is a {type(tensor).__name__}"
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return f"is a {tensor.layout} tensor on {tensor.device}, without the values that are needed"
    if tensor.is_complex() or tensor.is_quantized:
        return f"holds {tensor.dtype}"
    return None


def _loaded(path: Path) -> Mapping[Any, Any]:
    content = load_torch(path, "weights", "give a state dict, saved by torch.save(model.state_dict(), ...)")
    if not isinstance(content, Mapping):
        raise ReidError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def load_matching(model: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Load every tensor that the model has under the same name and in the same shape; report the others.

    Where no name is the model's, what other programs put before the names is taken off: `module.` (DataParallel),
    `_orig_mod.` (torch.compile), `model.` and `backbone.` (a network within another).

    Raises:
        ReidError: not one tensor matches; the model is unchanged.
    """
    own = model.state_dict()
    removed = ""
    while not own.keys() & state_dict.keys():
        prefix = next((prefix for prefix in _WRAPPERS if any(name.startswith(prefix) for name in state_dict)), None)
        if prefix is None:
            break
        removed += prefix
        state_dict = {name.removeprefix(prefix): value for name, value in state_dict.items()}
    shared = [name for name in own if name in state_dict]
    loaded = tuple(name for name in shared if own[name].shape == state_dict[name].shape)
    report = LoadReport(
        loaded=loaded,
        missing=tuple(name for name in own if name not in state_dict),
        unused=tuple(name for name in state_dict if name not in own),
        mismatched=tuple(
            (name, tuple(state_dict[name].shape), tuple(own[name].shape)) for name in shared if name not in set(loaded)
        ),
        prefix=removed,
    )
    if not loaded:
        raise ReidError(
            f"none of the {len(state_dict)} tensors fits the model: the weights have names such as "
            f"{next(iter(state_dict), 'none')!r}, the model {next(iter(own), 'none')!r}; give weights of this model"
        )
    model.load_state_dict({name: state_dict[name] for name in loaded}, strict=False)
    return report


_STACKED_BY_PART = ("parts.", "part_classifiers.", "fusion.importance.")
_MIXED_PARTS = ("fusion.fc.", "fused_classifier.")


def adapt_parts(
    state_dict: Mapping[str, Tensor], from_branches: Sequence[str], to_branches: Sequence[str]
) -> dict[str, Tensor]:
    """Weights of an `AttentionDrivenNet` for one with other branches; shapes alone would not tell parts apart.

    The part branches are stacked along the first dimension (see `layers`), so those of a subset are slices. Layers that
    mix parts, the FC fusion and the fused classifier, cannot be taken apart: they are left out unless the parts are
    the same. So are all part branches if one is wanted that the weights lack.

    Args:
        state_dict: of the network with `from_branches`.
        from_branches: branches of the weights, see `BRANCHES`.
        to_branches: branches of the network to load them into.

    Returns:
        What there is of the network's state dict; the whole-body branch and the first convolution are passed on.
    """
    from_parts, to_parts = ([name for name in names if name != "whole"] for names in (from_branches, to_branches))
    if from_parts == to_parts or not to_parts:
        return dict(state_dict)
    left_out = _MIXED_PARTS if set(to_parts) <= set(from_parts) else (*_MIXED_PARTS, *_STACKED_BY_PART)
    chosen = [from_parts.index(name) for name in to_parts if name in from_parts]
    return {
        name: _chosen(value, len(from_parts), chosen) if name.startswith(_STACKED_BY_PART) else value
        for name, value in state_dict.items()
        if not name.startswith(left_out)
    }


def _chosen(stacked: Tensor, count: int, chosen: list[int]) -> Tensor:
    """Some of `count` equal pieces along the first dimension; a counter of batches has none and serves all."""
    return stacked if not stacked.ndim else stacked.reshape(count, -1, *stacked.shape[1:])[chosen].flatten(0, 1)
