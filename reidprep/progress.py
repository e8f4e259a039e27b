"""How far long work has come, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with how much is done, what an earlier run did included, and how much there is in all."""


class Steps(Protocol):
    """Opens the display of each step of work that has several."""

    def __call__(self, label: str, unit: str = "images") -> AbstractContextManager[Progress]:
        """Show a step for as long as the context lasts; what it gives is called with the units done and in total."""


def unseen(done: int, total: int) -> None:
    """Show nothing."""


def unseen_steps(label: str, unit: str = "images") -> AbstractContextManager[Progress]:
    """Show nothing of any step."""
    return nullcontext(unseen)
