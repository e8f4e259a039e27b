"""`reidtrain search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.text import counted, printable

from ..common import print_album, print_json, progress
from ..options import json_option
from .lists import SHOWN_QUERIES, draw_options, list_option, print_rest

if TYPE_CHECKING:
    from reidtrain.metrics.distances import Metric


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
@list_option
@draw_options
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="For --draw: the folder of the images.  [default: what the files say]",
)
@click.option("--query-images", type=click.Path(path_type=Path), help="That of the queries, if it is another.")
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
    listing: Path | None,
    draw: Path | None,
    per_sheet: int,
    images: Path | None,
    query_images: Path | None,
    as_json: bool,
) -> None:
    """Find the gallery images nearest to each query.

    QUERY and GALLERY are .npy files of features, (images, dimension), or .npz files with the arrays query_features
    and gallery_features, or features alone. Without GALLERY, that of QUERY is searched. Several files are one gallery,
    counted through. The search is exact and reads .npy files in blocks, so they may be larger than the memory; --index
    is faster and may miss some.

    \b
    Example:
      reidtrain search features.npz --top 10
      reidtrain search query.npy gallery-*.npy --metric cosine --out nearest.npz
      reidtrain search query.npy gallery-*.npy --index index --json
      reidtrain search features.npz --draw found --list found.csv
    """
    from reidprep.drawing.album import ALBUM
    from reidprep.files import check_folder, claim_file
    from reidtrain.evaluation.lists import as_record, found_lists, require_list_file, write_lists
    from reidtrain.features.files import GALLERY, QUERY
    from reidtrain.plots.ranked import write_found
    from reidtrain.retrieval.exact import search as run
    from reidtrain.retrieval.files import open_side, require_one_network, write_nearest
    from reidtrain.retrieval.index import search_index

    if index is not None and metric:
        raise click.UsageError("--metric is that of the index; leave it out")
    if index is None and (candidates or visits):
        raise click.UsageError("--candidates and --visits need --index")
    if draw is None and (images is not None or query_images is not None):
        raise click.UsageError("--images and --query-images go with --draw")
    if listing is not None:
        require_list_file(listing)
    if out is not None:
        claim_file(out, overwrite=True)
    if draw is not None:
        check_folder(draw, ALBUM, overwrite=True)
    require_one_network([query, *gallery])
    asked, searched = open_side([query], QUERY), open_side(gallery or (query,), GALLERY)
    pictures = None if draw is None else (asked.pictures(query_images or images), searched.pictures(images))
    features, parts = asked.parts[0], searched.parts
    if index is not None:
        wanted = candidates or max(200, top)
        nearest = search_index(features, index, parts, top=top, candidates=wanted, visits=visits or 256)
    else:
        with progress("search") as report:
            nearest = run(features, parts, top=top, metric=metric or "euclidean", progress=report)
    if out is not None:
        write_nearest(out, nearest)
    # Images of one camera, or of cameras that nobody knows, would all be junk.
    cameras = len(asked.known.cameras | searched.known.cameras) != 1
    found = found_lists(asked.known, searched.known, nearest.indices, nearest.distances, cameras=cameras)
    if listing is not None:
        write_lists(listing, found)
    album = None
    if draw is not None and pictures is not None:
        shown = counted(len(found), "query", "queries")
        with progress("draw", "queries") as report:
            album = write_found(
                found, *pictures, draw, title="nearest images", what=shown, per_sheet=per_sheet, progress=report
            )
    if as_json:
        drawn = {} if album is None else {"page": str(album.page), "sheets": [str(sheet) for sheet in album.sheets]}
        rows = [[as_record(entry) for entry in each.entries] for each in found]
        print_json({"queries": len(found), "nearest": rows, **drawn})
        return
    for each in found[:SHOWN_QUERIES]:
        named = f" ({printable(each.image.path)})" if each.image.path else ""
        images_found = (
            f"{printable(entry.image.path or str(entry.index))} "
            f"({entry.distance:.4g}{f', {entry.verdict}' if entry.verdict else ''})"
            for entry in each.entries
        )
        click.echo(f"query {each.query}{named}: {', '.join(images_found)}")
    print_rest(found, "--json, --list and --out give all")
    if album is not None:
        print_album(album, shown, as_json)
