"""What the commands share: plain errors, progress, JSON output."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from reidprep.errors import Interrupted, ReidError
from reidprep.progress import Progress
from reidprep.text import counted, printable, utf8

if TYPE_CHECKING:
    from rich.console import Console

    from reidprep.drawing.album import Album

EXIT_SKIPPED = 3
"""Exit status of a command that finished but had to leave images out."""

TRAINING_MODULES = ("torch", "lightning", "tensorboard", "pydantic", "yaml", "matplotlib", "scipy")
"""What the extra `train` brings."""
EXTRAS = {"train": TRAINING_MODULES, "inspect": ("starlette", "uvicorn")}
"""Modules that an extra brings, as their absence shows."""

CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}
SECONDS_BETWEEN_LINES = 10.0


class Group(click.Group):
    """A command group that prints a `ReidError` as a plain error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of use, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit status 1 on an error the user can mend, 128 and its number for a signal."""
        try:
            return super().invoke(ctx)
        except Interrupted as stopped:
            click.echo(str(stopped), err=True)
            ctx.exit(128 + stopped.signal)
        except KeyboardInterrupt:
            click.echo("stopped by Ctrl-C", err=True)
            ctx.exit(128 + signal.SIGINT)
        except ReidError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            # Such as a name too long even to ask whether there is such a file.
            if error.filename is None:
                raise
            name = printable(os.fsdecode(error.filename))
            raise click.ClickException(f"{name}: {error.strerror or error}") from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            extra = next((extra for extra, modules in EXTRAS.items() if package in modules), None)
            if extra is None:
                raise
            raise click.ClickException(
                f"this needs {package}, which is not installed: pip install 'reidprep[{extra}]'"
            ) from None


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    click.echo(utf8(json.dumps(value, ensure_ascii=False)).decode())


def print_skipped(skipped: list[Any]) -> None:
    """List the images left out, with reasons, on standard error."""
    if skipped:
        print_listed(
            f"{counted(len(skipped), 'image was', 'images were')} skipped:",
            [f"{entry.path}: {entry.reason}" for entry in skipped],
            "; the manifest lists all",
        )


def print_kept(kept: int, total: int, noun: str, what: str, out: object, grown: bool = False) -> bool:
    """Say how much an earlier run had made; whether that was everything, so that there is nothing else to say."""
    if kept == total:
        click.echo(f"nothing to do: {counted(total, noun)} kept in {out}; --overwrite if {what} changed")
    elif grown and kept:
        click.echo(f"{counted(kept, noun)} kept, {total - kept:,} new")
    elif kept:
        click.echo(f"{kept:,} of {counted(total, noun)} kept from an earlier run; --overwrite if {what} changed")
    return kept == total


def check_grow(grow: bool, overwrite: bool) -> None:
    """Raise if a directory is both to be kept and not to be kept."""
    if grow and overwrite:
        raise click.UsageError("--grow keeps what --overwrite discards; give one of them")


def print_replaced(replaced: Sequence[str]) -> None:
    """List the images that were computed again as they are others now, on standard error."""
    if replaced:
        title = f"{counted(len(replaced), 'image was', 'images were')} replaced since, and computed again:"
        print_listed(title, replaced)


def print_listed(title: str, lines: Sequence[str], rest: str = "", limit: int = 20) -> None:
    """The title and the first lines on standard error, then how many more there are and where the rest is."""
    click.echo(title, err=True)
    for line in lines[:limit]:
        click.echo(f"  {printable(line)}", err=True)
    if len(lines) > limit:
        click.echo(f"  ... and {len(lines) - limit} more{rest}", err=True)


def print_album(album: Album, shown: str, as_json: bool, **more: object) -> None:
    """Print where the pictures are, and in JSON whatever `more` is to be said."""
    if as_json:
        sheets = [str(sheet) for sheet in album.sheets]
        print_json({"page": str(album.page), "sheets": sheets, "shown": album.shown, **more})
    else:
        click.echo(f"{shown} on {counted(len(album.sheets), 'sheet', 'sheets')}; open {album.page}")


@contextmanager
def progress(label: str, unit: str = "images") -> Iterator[Progress]:
    """Show done/total, rate and remaining time on standard error: a bar on a terminal, else a line now and then."""
    with progress_of(label, unit=unit) as (report,):
        yield report


@contextmanager
def progress_of(label: str, *steps: str, unit: str = "images") -> Iterator[list[Progress]]:
    """Show work as `progress` does, and steps in between, each for as long as it takes."""
    labels = (label, *steps)
    if not _on_terminal():
        yield [_line_printer(each, unit) for each in labels]
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=_console()) as bars:

        def reporter(each: str) -> Progress:
            task = bars.add_task(each, total=None, rate="", visible=each == label)
            rate = _Rate()

            def update(done: int, total: int) -> None:
                if done < bars.tasks[task].completed:  # a step that is done again
                    bars.reset(task)
                shown = each == label or done < total
                bars.update(task, completed=done, total=total, rate=f"{rate(done):.0f} {unit}/s", visible=shown)

            return update

        yield [reporter(each) for each in labels]


def say(line: str) -> None:
    """A line for the reader on standard error, above the bars of a terminal."""
    if _on_terminal():
        _console().print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
    else:
        click.echo(line, err=True)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@cache
def _console() -> Console:
    """The one of bars and lines: two would write over each other."""
    from rich.console import Console

    return Console(stderr=True)


class _Rate:
    """Items per second since the first call, not counting what was done before it; anew when fewer are done."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None
        self.last = 0

    def __call__(self, done: int) -> float:
        now = time.monotonic()
        if self.first is None or done < self.last:
            self.first = (now, done)
        self.last = done
        return (done - self.first[1]) / max(1e-9, now - self.first[0]) if done > self.first[1] else 0.0


def _line_printer(label: str, unit: str) -> Progress:
    rate = _Rate()
    last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        speed = rate(done)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and speed:
            last = now
            left = (total - done) / speed
            click.echo(f"{label}: {done}/{total} {unit}, {speed:.0f} {unit}/s, {left:.0f} s left", err=True)

    return update
