"""The exceptions whose messages are meant for the person at the keyboard."""

from __future__ import annotations

from signal import Signals


class ReidError(Exception):
    """Something the user can mend; the message names the file or option and the remedy.

    Example:
        >>> from reidprep import ReidError, ShardSet
        >>> try:
        ...     ShardSet.open("elsewhere")
        ... except ReidError as error:
        ...     print(error)
        elsewhere: no such directory; expected a directory of shards (reidprep build-shards)
    """


class ShortageError(ReidError):
    """The process or the machine has run out of something, which says nothing about the file that was wanted."""


class ImageError(ReidError):
    """An image that cannot be used; the message says why, the caller knows which file."""


class Interrupted(BaseException):
    """Work that was stopped by a signal; the message says what was kept, and how to go on.

    As a `KeyboardInterrupt`, it passes by those who catch errors to go on with something else.

    Attributes:
        signal: its number.
    """

    def __init__(self, signal: Signals, kept: str) -> None:
        super().__init__(f"stopped by {'Ctrl-C' if signal == Signals.SIGINT else signal.name}: {kept}")
        self.signal = signal


def first_line(error: Exception) -> str:
    """The first line of another library's message, or else its type: what fits into a message of ours."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line[:300]
