"""`reidtrain extract-features`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reidprep.text import counted

from ..common import print_json, progress
from ..options import computing_options, json_option, which_option

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.features.extract import Images


@click.command(short_help="Shards -> features of a trained model.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("shards", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["test", "train", "query", "gallery", "all"]),
    default="test",
    help="Whose features; test is query and gallery, with arrays of their own.",
)
@which_option
@computing_options
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@json_option
def extract_features(
    checkpoint: Path,
    shards: Path,
    out: Path,
    split: Images,
    which: Which,
    overwrite: bool,
    as_json: bool,
    **computing: Any,
) -> None:
    """Compute the features of SHARDS by the trained network of CHECKPOINT, a file or a run folder.

    OUT holds the embedding, of the attention-driven network also the whole-body, part and fused features, and person
    ids, cameras and paths. It is an .npz file, which `reidtrain score`, `rank` and `search` read; or, if its name ends
    otherwise, a folder of .npy files, which need not fit into memory.

    \b
    Example:
      reidtrain extract-features run shards features.npz
      reidtrain extract-features run shards gallery --split gallery --flip
    """
    from reidtrain.checkpoints import load_checkpoint
    from reidtrain.features.extract import extract_to_file
    from reidtrain.features.extractor import Computing

    with progress("features") as report:
        about = extract_to_file(
            load_checkpoint(checkpoint, which),
            shards,
            out,
            images=split,
            computing=Computing(**computing),
            overwrite=overwrite,
            progress=report,
        )
    if as_json:
        print_json({"out": str(out), **about})
    else:
        sizes = ", ".join(f"{name} {size}" for name, size in about["dimensions"].items())
        click.echo(f"{out}: {counted(about['samples'], 'image')} ({about['images']}), epoch {about['epoch']}; {sizes}")
