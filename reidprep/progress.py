"""How far long work has come, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

Result = TypeVar("Result")

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


def counted(
    results: Iterable[Result], count: Callable[[Result], int], progress: Progress, done: int, total: int
) -> Iterator[Result]:
    """Give the results on, and report each as it comes.

    Args:
        results: of the work.
        count: how much of the work a result is.
        progress: called first with what is done already.
        done: what is done already.
        total: how much work there is in all.
    """
    progress(done, total)
    for result in results:
        done += count(result)
        progress(done, total)
        yield result
