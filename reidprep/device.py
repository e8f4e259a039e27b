"""What networks compute on."""

from __future__ import annotations

from typing import Literal

from reidprep.errors import ReidError

Device = Literal["cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")
"""What may be asked for."""


def choose_device(asked: str, has_cuda: bool, remedy: str) -> Device:
    """The device that is asked for; with `auto` a GPU if there is one.

    Args:
        asked: one of `DEVICES`.
        has_cuda: whether the library that computes finds a GPU.
        remedy: what its user can do if it finds none.

    Raises:
        ReidError: an unknown name, or a GPU that is not there.
    """
    if asked not in DEVICES:
        raise ReidError(f"unknown device {asked!r}; choose {', '.join(DEVICES[:-1])} or {DEVICES[-1]}")
    if asked == "cuda" and not has_cuda:
        raise ReidError(f"--device cuda: {remedy}, or choose --device cpu")
    return "cuda" if has_cuda and asked != "cpu" else "cpu"


def torch_device(asked: str) -> Device:
    """The device that a network of PyTorch computes on.

    Raises:
        ReidError: see `choose_device`.
    """
    import torch

    return choose_device(asked, torch.cuda.is_available(), "PyTorch finds no GPU here; install a build of it for CUDA")
