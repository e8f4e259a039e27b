"""`reidtrain attention`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.records import SPLITS
from reidprep.text import counted

from ..common import print_album, progress
from ..options import choice_options, device_option, json_option, per_sheet_option, which_option

if TYPE_CHECKING:
    from reidprep.records import Split
    from reidtrain.checkpoints import Which


@click.command(short_help="Draw attention maps over the crops.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("shards", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path), metavar="CHECKPOINT", help="Draw those of this one beside.")
@choice_options("samples", 12, "--samples")
@click.option("--split", type=click.Choice(SPLITS), default="query", help="Where they are from.")
@which_option
@per_sheet_option(6, "Samples")
@device_option
@json_option
def attention(
    checkpoint: Path,
    shards: Path,
    out: Path,
    against: Path | None,
    limit: int,
    random: int | None,
    split: Split,
    which: Which,
    per_sheet: int,
    device: str,
    as_json: bool,
) -> None:
    """Draw where a trained network looks in samples of SHARDS.

    CHECKPOINT is a file or a run folder. Attention-driven networks show blocks 2 to 4, for the whole body and for the
    parts, put back where they were cut; self-attention networks show stages 4 to 6. Writes PNG sheets and one HTML page
    to the folder OUT; earlier pictures there are replaced. Without --random the samples are spread evenly.

    \b
    Example:
      reidtrain attention run shards maps
      reidtrain attention without-sac shards maps --against with-sac
    """
    from reidtrain.features.extractor import Computing
    from reidtrain.plots.attention import load_viewed, write_attention

    paths = [checkpoint] if against is None else [checkpoint, against]
    viewed = load_viewed(paths, shards, Computing(device), which)
    with progress("draw", "samples") as report:
        album = write_attention(
            viewed, shards, out, split=split, count=limit, seed=random, per_sheet=per_sheet, progress=report
        )
    print_album(album, counted(album.shown, "sample", "samples"), as_json)
