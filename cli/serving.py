"""What the commands that show samples in the browser share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reidprep.text import counted

from .common import print_json

if TYPE_CHECKING:
    from reidprep.inspect.samples import Samples
    from reidprep.inspect.site import Section

Command = TypeVar("Command", bound=Callable[..., Any])


def serving_options(command: Command) -> Command:
    """Give a command what `serve_samples` is told."""
    for option in reversed(
        (
            click.option(
                "--port", type=click.IntRange(0, 65535), default=8765, help="Port to listen at, 0 for a free one."
            ),
            click.option("--host", default="127.0.0.1", help="Address to listen at."),
            click.option(
                "--allow-host",
                multiple=True,
                metavar="NAME",
                help="Answer under this name too, such as that of a proxy; may be repeated.",
            ),
            click.option("--no-browser", is_flag=True, help="Do not open a browser."),
            click.option(
                "--source",
                type=click.Path(exists=True, path_type=Path),
                help="Where the source images are now.  [default: where they were]",
            ),
            click.option(
                "--exclude-file",
                type=click.Path(dir_okay=False, path_type=Path),
                help="List of samples to leave out.  [default: exclude.csv in the directory]",
            ),
        )
    ):
        command = option(command)
    return command


def serve_samples(
    directory: Path,
    *,
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    no_browser: bool,
    source: Path | None,
    runs: tuple[Path, ...],
    exclude_file: Path | None,
    as_json: bool,
    sections: Callable[[Samples], Sequence[Section]] = lambda samples: (),
) -> None:
    """Serve the samples of a directory until Ctrl-C.

    Args:
        directory: shards or poses.
        port: to listen at, 0 for a free one.
        host: to listen at.
        allow_host: further names to answer under.
        no_browser: open none.
        source: where the source images are now.
        runs: whose pictures to show.
        exclude_file: list of samples to leave out.
        as_json: print the address as JSON.
        sections: makes further pages for the opened directory, once the port is known to be free.
    """
    import secrets
    import webbrowser
    from threading import Thread

    from reidprep.inspect.app import create_app, open_samples
    from reidprep.inspect.exclusions import Exclusions
    from reidprep.inspect.runs import find_run_pictures
    from reidprep.inspect.security import LOOPBACK, Hosts
    from reidprep.inspect.server import address_of, listen, serve
    from reidprep.poses.format import EXCLUDE

    listener = listen(host, port)
    samples = open_samples(directory, source)
    exclusions = Exclusions(exclude_file or directory / EXCLUDE, samples.index.paths)
    pictures = [found for run in runs for found in find_run_pictures(run)]
    app = create_app(
        samples, exclusions, secrets.token_urlsafe(32), Hosts(host, allow_host), pictures, sections(samples)
    )
    address = address_of(listener, host)
    if host not in LOOPBACK:
        click.echo(
            f"warning: {host} can be reached from other machines: whoever reaches it sees all images, and can change "
            "the list of excluded samples",
            err=True,
        )
    if samples.source_problem:
        click.echo(f"the source images cannot be read: {samples.source_problem}", err=True)

    def ready() -> None:
        if as_json:
            print_json({"url": address, "kind": samples.kind, "samples": len(samples.index)})
        else:
            click.echo(f"{counted(len(samples.index), 'sample')} at {address}  (Ctrl-C ends)")
        if not no_browser:
            # Aside: a browser in the terminal, or one that $BROWSER names, is waited for, and waits for the page.
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(app, listener, ready)
