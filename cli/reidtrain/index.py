"""`reidtrain index`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.text import counted

from ..common import print_json, progress
from ..options import json_option

if TYPE_CHECKING:
    from reidtrain.metrics.distances import Metric
    from reidtrain.retrieval.index import Kind


@click.command(short_help="Index a gallery, for a faster search.")
@click.argument("gallery", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="GALLERY...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the index to.")
@click.option(
    "--kind",
    type=click.Choice(["ivfpq", "hnsw"]),
    default="ivfpq",
    help="ivfpq: small, on disk; hnsw: the whole features and a graph, in memory.",
)
@click.option("--metric", type=click.Choice(["euclidean", "cosine"]), default="euclidean", help="Distance.")
@click.option("--seed", type=int, default=0, help="Draws what ivfpq learns from.")
@click.option("--overwrite", is_flag=True, help="Replace the index that OUT holds.")
@json_option
def index(
    gallery: tuple[Path, ...], out: Path, kind: Kind, metric: Metric, seed: int, overwrite: bool, as_json: bool
) -> None:
    """Index a gallery for `reidtrain search --index`.

    GALLERY are .npy files of features, (images, dimension), or .npz files with the array gallery_features; several
    are one gallery. Needs the extra faiss.

    \b
    Example:
      reidtrain index gallery-*.npy --out index
      reidtrain search query.npy gallery-*.npy --index index
    """
    from reidtrain.retrieval.files import open_gallery, require_one_network
    from reidtrain.retrieval.index import build_index

    require_one_network(gallery)
    with progress("index") as report:
        facts = build_index(
            open_gallery(gallery), out, kind=kind, metric=metric, seed=seed, overwrite=overwrite, progress=report
        )
    if as_json:
        print_json({"out": str(out), **asdict(facts)})
    else:
        click.echo(
            f"{facts.kind} index of {counted(facts.images, 'image')}, {counted(facts.dimension, 'dimension')}, "
            f"{facts.metric} distance"
        )
