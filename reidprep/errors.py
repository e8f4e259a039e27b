"""The one exception type whose message is meant for the person at the keyboard."""

from __future__ import annotations


class ReidError(Exception):
    """Something the user can mend; the message names the file or option and the remedy.

    Example:
        >>> from reidprep import ReidError, ShardSet
        >>> try:
        ...     ShardSet.open("elsewhere")
        ... except ReidError as error:
        ...     print(error)
        elsewhere: no manifest.json here; expected a directory of shards
    """


class ShortageError(ReidError):
    """The process or the machine has run out of something, which says nothing about the file that was wanted."""


class ImageError(ReidError):
    """An image that cannot be used; the message says why, the caller knows which file."""


def first_line(error: Exception) -> str:
    """The first line of another library's message, or else its type: what fits into a message of ours."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line[:300]
