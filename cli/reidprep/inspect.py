"""`reidprep inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from ..common import print_json
from ..options import json_option


@click.command(name="inspect", short_help="Look through shards or poses in the browser.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="SHARDS|POSES")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, help="Port to listen at, 0 for a free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen at.")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="Answer under this name too, such as that of a proxy; repeat."
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="Where the source images are now.  [default: where they were]",
)
@click.option(
    "--run",
    "runs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN",
    help="Show the curves, ranked lists and attention maps in this run folder, or folder of pictures; repeat.",
)
@click.option(
    "--exclude-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="List of samples to leave out.  [default: exclude.csv in the directory]",
)
@json_option
def inspect(
    directory: Path,
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    no_browser: bool,
    source: Path | None,
    runs: tuple[Path, ...],
    exclude_file: Path | None,
    as_json: bool,
) -> None:
    """Look through the samples of a shard or pose directory in the browser, until Ctrl-C.

    Filter, sort and compare samples, look at all images of a person, and mark what is wrong: the list of marked samples
    is written to exclude.csv, which build-shards --exclude reads.

    \b
    Example:
      reidprep inspect shards
      reidprep inspect shards --run run --port 0 --no-browser
    """
    import secrets
    import webbrowser

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
    app = create_app(samples, exclusions, secrets.token_urlsafe(32), Hosts(host, allow_host), pictures)
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
            click.echo(f"{len(samples.index):,} samples at {address}  (Ctrl-C ends)")
        if not no_browser:
            webbrowser.open(address)

    serve(app, listener, ready)
