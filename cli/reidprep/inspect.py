"""`reidprep inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import json_option
from ..serving import serve_samples, serving_options

if TYPE_CHECKING:
    from reidprep.inspect.samples import Samples
    from reidprep.inspect.site import Section


@click.command(name="inspect", short_help="Look through shards or poses in the browser.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="SHARDS|POSES")
@serving_options
@click.option(
    "--run",
    "runs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN",
    help="Show the curves, ranked lists and attention maps in this run folder, or folder of pictures; may be repeated.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    metavar="SHARDS",
    help="Show which crops lie elsewhere in these shards of the same images, and by how much.",
)
@json_option
def inspect(directory: Path, source: Path | None, compare: Path | None, **options: Any) -> None:
    """Look through the samples of a shard or pose directory in the browser, until Ctrl-C.

    Filter, sort and compare samples, look at all images of a person, and mark what is wrong: the list of marked samples
    is written to exclude.csv, which build-shards --exclude reads.

    \b
    Example:
      reidprep inspect shards
      reidprep inspect shards --run run --port 0 --no-browser
      reidprep inspect shards --compare other-shards
    """

    def sections(samples: Samples) -> list[Section]:
        from reidprep.inspect.compare import Comparison, compare_section

        return [compare_section(Comparison(samples, compare, source))] if compare else []

    serve_samples(directory, source=source, sections=sections, **options)
