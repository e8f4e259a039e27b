"""`reidtrain find`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reidprep.text import counted

from ..common import EXIT_SKIPPED, print_album, print_json, progress
from ..options import (
    COMPUTING,
    GroupedCommand,
    embedding_options,
    embedding_settings,
    json_option,
    metric_option,
)
from .embed import doubtful_images, open_embedder, print_remarks
from .lists import draw_options, list_option, print_found

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.metrics.distances import Metric


@click.command(cls=GroupedCommand, short_help="Find the people of some images in a gallery.", headings=COMPUTING)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("queries", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="QUERY...")
@click.argument("gallery", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1, 1000), default=10, help="How many to find for each query.")
@metric_option
@list_option
@draw_options
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="For --draw, of a gallery of features: the folder of its images.  [default: what the file says]",
)
@embedding_options
@json_option
def find(
    checkpoint: Path,
    queries: tuple[Path, ...],
    gallery: Path,
    top: int,
    metric: Metric,
    listing: Path | None,
    draw: Path | None,
    per_sheet: int,
    images: Path | None,
    which: Which,
    as_json: bool,
    **embedding: Any,
) -> None:
    """Find the images of GALLERY that are nearest to the people of each QUERY, by the network of CHECKPOINT.

    A QUERY is an image of one person, a folder of such images, or a .csv file that lists some (see reidtrain embed).
    GALLERY is the same; or features that embed or extract-features wrote by this checkpoint; or shards, whose gallery
    split is searched. Nobody needs to be labelled; where a gallery is, persons and cameras are told.
    Exit status: 0 done, 1 error, 2 wrong usage, 3 done but some images were skipped.

    \b
    Example:
      reidtrain find run person.jpg photos --draw found
      reidtrain find run person.jpg features.npz --top 20 --list found.csv
      reidtrain find run queries/ shards --json
    """
    from reidprep.drawing.album import ALBUM
    from reidprep.files import check_folder
    from reidprep.store.fields import plain
    from reidtrain.evaluation.lists import as_records, require_list_file, write_lists
    from reidtrain.plots.ranked import write_found
    from reidtrain.retrieval.find import find as run

    if images is not None and draw is None:
        raise click.UsageError("--images goes with --draw")
    if listing is not None:
        require_list_file(listing)
    if draw is not None:
        check_folder(draw, ALBUM, overwrite=True)
    embedder = open_embedder(checkpoint, which, **embedding_settings(embedding))
    finding = run(
        embedder, queries, gallery, top=top, metric=metric, images=images, draws=draw is not None, progress=progress
    )
    found = finding.lists
    if listing is not None:
        write_lists(listing, found)
    album = None
    if draw is not None:
        shown = counted(len(found), "query", "queries")
        with progress("draw", "queries") as report:
            album = write_found(
                found, finding.query, finding.gallery, draw,
                title=f"{gallery}: nearest images", what=shown, per_sheet=per_sheet, progress=report,
            )  # fmt: skip
    skipped = [entry for some in finding.embedded for entry in some.skipped]
    if as_json:
        pictures = {} if album is None else {"page": str(album.page), "sheets": [str(sheet) for sheet in album.sheets]}
        doubtful = [doubtful_images(some) for some in finding.embedded]
        notes = [note for some in finding.embedded for note in some.notes]
        told = {"doubtful": doubtful, "skipped_files": plain(skipped), "notes": notes}
        print_json({"queries": as_records(found), **told, **pictures})
    else:
        print_found(found)
        if album is not None:
            print_album(album, shown, as_json)
    for some in finding.embedded:
        print_remarks(some)
    if skipped:
        sys.exit(EXIT_SKIPPED)
