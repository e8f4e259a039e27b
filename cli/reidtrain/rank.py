"""`reidtrain rank`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.text import counted

from ..common import print_album, progress
from ..options import (
    COMPUTING,
    GroupedCommand,
    batch_size_option,
    choice_options,
    decoders_option,
    device_option,
    json_option,
    metric_option,
    per_sheet_option,
    which_option,
)
from .lists import list_option, print_found

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.metrics.distances import Metric
    from reidtrain.metrics.protocols import Protocol


@click.command(
    cls=GroupedCommand,
    short_help="Draw ranked lists: queries and their nearest gallery images.",
    headings={"Which lists": ("limit", "random", "worst", "top", "metric", "protocol"), **COMPUTING},
)
@click.argument("source", type=click.Path(path_type=Path), metavar="CHECKPOINT|FEATURES.npz")
@click.argument("shards", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT|FEATURES.npz",
    help="Draw the lists of this one too, below the others.",
)
@click.option("--against-shards", type=click.Path(path_type=Path), help="Shards for --against.  [default: SHARDS]")
@choice_options("queries", 24, "--queries")
@click.option("--top", type=click.IntRange(1, 50), default=10, help="Gallery images in each list.")
@click.option("--worst", is_flag=True, help="The queries with the lowest average precision, lowest first.")
@click.option(
    "--protocol",
    type=click.Choice(["market1501", "no-cameras"]),
    default="market1501",
    help="Leave out the query's person at the query's camera, or take no notice of cameras.",
)
@list_option
@metric_option
@which_option
@per_sheet_option(6, "Queries")
@device_option
@decoders_option
@batch_size_option
@json_option
def rank(
    source: Path,
    shards: Path,
    out: Path,
    against: Path | None,
    against_shards: Path | None,
    limit: int,
    random: int | None,
    top: int,
    worst: bool,
    protocol: Protocol,
    listing: Path | None,
    metric: Metric,
    which: Which,
    per_sheet: int,
    device: str,
    workers: int,
    batch_size: int,
    as_json: bool,
) -> None:
    """Draw queries of SHARDS and the gallery images nearest to each, right ones in green, wrong ones in red.

    Their names are printed, and written by --list. Writes PNG sheets and one HTML page to the folder OUT; earlier
    pictures there are replaced. Features come from a checkpoint or run folder, or from a file as `reidtrain score`
    takes it, with its images in the order of the shards. Without --worst or --random the queries are spread evenly.

    \b
    Example:
      reidtrain rank run shards lists --worst
      reidtrain rank baseline shards lists --against run --top 5
    """
    from reidprep.drawing.album import ALBUM
    from reidprep.files import check_folder
    from reidtrain.evaluation.lists import as_records, require_list_file, write_lists
    from reidtrain.evaluation.sources import Source, compared_features
    from reidtrain.features.extractor import Computing
    from reidtrain.plots.ranked import draw_ranked_lists, rank_queries

    if against_shards is not None and against is None:
        raise click.UsageError("--against-shards needs --against")
    if listing is not None:
        require_list_file(listing)
    check_folder(out, ALBUM, overwrite=True)
    sources = [Source(source, shards)]
    if against is not None:
        sources.append(Source(against, against_shards or shards))
    with progress("features") as report:
        features = compared_features(sources, Computing(device, workers, batch_size), report, which)
    ranked = rank_queries(
        features, shards, count=limit, top=top, worst=worst, seed=random, metric=metric, protocol=protocol
    )
    with progress("draw", "queries") as report:
        album = draw_ranked_lists(ranked, out, per_sheet=per_sheet, progress=report)
    found = ranked.found()
    if listing is not None:
        write_lists(listing, found)
    if not as_json:
        print_found(found)
    print_album(album, counted(album.shown, "query", "queries"), as_json, queries=as_records(found))
