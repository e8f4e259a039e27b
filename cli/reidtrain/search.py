"""`reidtrain search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..common import print_json, progress
from ..options import json_option

if TYPE_CHECKING:
    from reidtrain.metrics.distances import Metric

SHOWN_QUERIES = 20


@click.command(short_help="Find the gallery images nearest to a query.")
@click.argument("query", type=click.Path(path_type=Path), metavar="QUERY")
@click.argument("gallery", nargs=-1, type=click.Path(path_type=Path), metavar="[GALLERY]...")
@click.option("--top", type=click.IntRange(1), default=20, help="How many to find for each query.")
@click.option(
    "--metric",
    type=click.Choice(["euclidean", "cosine"]),
    help="Distance.  [default: euclidean, or that of the index]",
)
@click.option(
    "--index", type=click.Path(path_type=Path), help="Folder of an index of this gallery, by reidtrain index."
)
@click.option(
    "--candidates", type=click.IntRange(1), help="Images that the index proposes per query.  [default: 200, or --top]"
)
@click.option("--visits", type=click.IntRange(1), help="Lists read, or nodes queued, by the index.  [default: 256]")
@click.option("--out", type=click.Path(path_type=Path), help="Write the indices and distances to this .npz file.")
@json_option
def search(
    query: Path,
    gallery: tuple[Path, ...],
    top: int,
    metric: Metric | None,
    index: Path | None,
    candidates: int | None,
    visits: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the gallery images nearest to each query.

    QUERY and GALLERY are .npy files of features, (images, dimension), or .npz files with the arrays query_features
    and gallery_features. Without GALLERY, that of QUERY is searched. Several files are one gallery, counted through.
    The search is exact and reads .npy files in blocks, so they may be larger than the memory; --index is faster and
    may miss some.

    \b
    Example:
      reidtrain search features.npz --top 10
      reidtrain search query.npy gallery-*.npy --metric cosine --out nearest.npz
      reidtrain search query.npy gallery-*.npy --index index --json
    """
    from reidprep.text import printable
    from reidtrain.features.files import read_array
    from reidtrain.retrieval.exact import search as run
    from reidtrain.retrieval.files import as_records, image_paths, open_gallery, write_nearest
    from reidtrain.retrieval.index import search_index

    if index is not None and metric:
        raise click.UsageError("--metric is that of the index; leave it out")
    if index is None and (candidates or visits):
        raise click.UsageError("--candidates and --visits need --index")
    features = read_array(query, "query_features")
    files = gallery or (query,)
    parts = open_gallery(files)
    paths = image_paths(files, parts)
    if index is not None:
        wanted = candidates or max(200, top)
        nearest = search_index(features, index, parts, top=top, candidates=wanted, visits=visits or 256)
    else:
        with progress("search") as report:
            nearest = run(features, parts, top=top, metric=metric or "euclidean", progress=report)
    if out is not None:
        write_nearest(out, nearest)
    found = as_records(nearest, paths)
    if as_json:
        print_json({"queries": len(found), "nearest": found})
        return
    for number, row in enumerate(found[:SHOWN_QUERIES]):
        images = (f"{printable(str(entry.get('path', entry['index'])))} ({entry['distance']:.4g})" for entry in row)
        click.echo(f"query {number}: {', '.join(images)}")
    if len(found) > SHOWN_QUERIES:
        click.echo(f"... and {len(found) - SHOWN_QUERIES} more queries; --json and --out give all")
