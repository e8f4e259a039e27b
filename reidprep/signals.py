"""Ctrl-C and SIGTERM during long work: noted, and acted on where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from itertools import takewhile
from types import FrameType
from typing import Any, TypeVar

from reidprep.errors import Interrupted

Task = TypeVar("Task")

WHOLE_FILES = "whole files are kept; the same command does the rest"

_NOTED = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Notes Ctrl-C and SIGTERM for the time of a `with` block; a second Ctrl-C ends the work at once.

    Outside of the main thread, and for signals that whoever started the process has switched off, it does nothing.

    Args:
        at_once: for work that others do, which is not waited for, so that the first signal ends it too: what was kept,
            and how to go on.

    Attributes:
        caught: the signal that came, None if none did.

    Raises:
        Interrupted: at the end of the block, if a signal came and was to end the work at once.
    """

    def __init__(self, at_once: str | None = None) -> None:
        self._at_once = at_once
        self.caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is KeyboardInterrupt and self.caught is not None and self._at_once is not None:
            raise Interrupted(self.caught, self._at_once) from None

    def listen(self) -> None:
        """Listen (again, where a library has put handlers of its own in front)."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _NOTED:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before.setdefault(number, signal.signal(number, self._note))

    def until(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks, until a signal comes."""
        return takewhile(lambda _: self.caught is None, tasks)

    def stop(self, kept: str) -> None:
        """End the work if a signal has come.

        Args:
            kept: what was kept, and how to go on.

        Raises:
            Interrupted: one has.
        """
        if self.caught is not None:
            raise Interrupted(self.caught, kept)

    def _note(self, number: int, frame: FrameType | None) -> None:
        second = self.caught is not None
        self.caught = signal.Signals(number)
        # Libraries that wait for others let this exception through a signal's handler, but none of ours.
        if self._at_once is not None or (second and number == signal.SIGINT):
            raise KeyboardInterrupt
