"""What the commands share: plain errors, progress, JSON output."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from reidprep.errors import Interrupted, ReidError
from reidprep.progress import Progress
from reidprep.text import counted, printable

if TYPE_CHECKING:
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
    click.echo(json.dumps(value, ensure_ascii=False))


def print_skipped(skipped: list[Any]) -> None:
    """List the images left out, with reasons, on standard error."""
    if skipped:
        print_listed(
            f"{len(skipped)} images were skipped:",
            [f"{entry.path}: {entry.reason}" for entry in skipped],
            "; the manifest lists all",
        )


def print_kept(kept: int, total: int, noun: str, what: str, out: object) -> bool:
    """Say how much an earlier run had made; whether that was everything, so that there is nothing else to say."""
    if kept == total:
        click.echo(f"nothing to do: {total:,} {noun} kept in {out}; --overwrite if {what} changed")
    elif kept:
        click.echo(f"{kept:,} of {total:,} {noun} kept from an earlier run; --overwrite if {what} changed")
    return kept == total


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
    if sys.stderr is None or not sys.stderr.isatty():
        yield _line_printer(label, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, rate="")
        rate = _Rate()

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, rate=f"{rate(done):.0f} {unit}/s")

        yield update


class _Rate:
    """Items per second since the first call, not counting what was done before it."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None

    def __call__(self, done: int) -> float:
        now = time.monotonic()
        self.first = self.first or (now, done)
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
