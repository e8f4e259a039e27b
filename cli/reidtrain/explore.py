"""`reidtrain explore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..common import progress
from ..options import computing_options, json_option, which_option
from ..serving import serve_samples, serving_options

if TYPE_CHECKING:
    from reidprep.inspect.samples import Samples
    from reidtrain.checkpoints import Which
    from reidtrain.explore.sources import Kind
    from reidtrain.metrics.protocols import Protocol


@click.command(short_help="Look at what a run ranks, confuses and contradicts, in the browser.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("shards", type=click.Path(path_type=Path))
@click.option(
    "--other",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Show this run beside the first: the queries that one wins.",
)
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Features of RUN or --other that extract-features made of --split test or train; may be repeated.  "
    "[default: computed]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where what is computed is kept, of --other in other.  [default: RUN/explore]",
)
@click.option(
    "--protocol",
    type=click.Choice(["market1501", "no-cameras"]),
    help="Which gallery images count.  [default: that of the dataset]",
)
@click.option("--train", is_flag=True, help="Check the labels of the images trained on too: computes their features.")
@which_option
@computing_options
@serving_options
@json_option
def explore(
    run: Path,
    shards: Path,
    other: Path | None,
    features: tuple[Path, ...],
    out: Path | None,
    protocol: Protocol | None,
    train: bool,
    which: Which,
    as_json: bool,
    **options: Any,
) -> None:
    """Look at a RUN, or one of its checkpoints, in the browser, until Ctrl-C: its queries on SHARDS and their lists.

    The pages are those of `reidprep inspect` and, beside them, every query with its ranked list, the identities that
    are confused, and the labels that the features contradict. What this needs is computed at the first start and kept.

    \b
    Example:
      reidtrain explore run shards
      reidtrain explore run shards --other baseline --features features --no-browser
    """
    from reidtrain.checkpoints import load_checkpoint, run_subfolder
    from reidtrain.evaluation.images import query_gallery_images
    from reidtrain.explore.app import explore_section
    from reidtrain.explore.attention import Attention
    from reidtrain.explore.contradictions import contradictions_of
    from reidtrain.explore.explorer import Run
    from reidtrain.explore.rankings import rankings_of
    from reidtrain.explore.sources import FOLDER, Explored, features_by_run
    from reidtrain.features.extractor import Computing

    names = ("device", "workers", "batch_size", "precision", "flip")
    computing = Computing(**{name: options.pop(name) for name in names})

    def sections(samples: Samples) -> Any:
        images = query_gallery_images(shards, junk=True)
        checkpoints = [load_checkpoint(path, which) for path in (run, other) if path is not None]
        folders = [out or run_subfolder(run, FOLDER)]
        if other is not None:
            folders.append(out / "other" if out else run_subfolder(other, FOLDER))
        given = features_by_run(features, checkpoints)
        explored = [
            Explored(checkpoint, shards, folder, some, computing)
            for checkpoint, folder, some in zip(checkpoints, folders, given, strict=True)
        ]
        runs = [
            Run(str(path), rankings_of(each, images, protocol or images.protocol, progress), Attention(each))
            for path, each in zip((run, other), explored, strict=False)
        ]
        kinds: list[Kind] = ["test", "train"] if train or explored[0].find("train") else ["test"]
        return [explore_section(runs, {str(kind): contradictions_of(explored[0], kind, progress) for kind in kinds})]

    serve_samples(shards, runs=(run,) if run.is_dir() else (), as_json=as_json, sections=sections, **options)
