"""`reidtrain export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.text import counted

from ..common import print_json
from ..options import FiniteRange, json_option, which_option

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.export.formats import Format


@click.command(short_help="A trained model -> an ONNX or torch.export file.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", type=click.Choice(["onnx", "pt2"]), help="ONNX, or torch.export.  [default: by the ending of OUT]"
)
@click.option("--features", is_flag=True, help="Also give the features of each branch and of the fused parts.")
@click.option("--unit-length", is_flag=True, help="Give embeddings of length 1.")
@click.option("--attention", is_flag=True, help="Also give the attention maps.")
@click.option("--shards", type=click.Path(path_type=Path), help="Compare on crops of these too, not only on noise.")
@click.option(
    "--tolerance",
    type=FiniteRange(0),
    default=1e-3,
    show_default=False,
    help="Largest difference from the network's outputs that is accepted, as a fraction of their length.  "
    "[default: 1e-3]",
)
@which_option
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@json_option
def export(
    checkpoint: Path,
    out: Path,
    format: Format | None,
    features: bool,
    unit_length: bool,
    attention: bool,
    shards: Path | None,
    tolerance: float,
    which: Which,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the trained network of CHECKPOINT, a file or a run folder, with its preprocessing to the file OUT.

    It takes uint8 RGB crops of any size, as many as there are, and gives `embedding`, by which images are compared. The
    file is run and compared with the network before it is kept; its metadata say what it is.

    \b
    Example:
      reidtrain export run network.onnx --shards shards
      reidtrain export run network.onnx --unit-length
      reidtrain export run network.pt2 --which best --features --attention
    """
    from reidtrain.checkpoints import load_checkpoint
    from reidtrain.export.checkpoint import export_checkpoint
    from reidtrain.export.network import Outputs

    result = export_checkpoint(
        load_checkpoint(checkpoint, which),
        out,
        format,
        outputs=Outputs(features, attention, unit_length),
        shards=shards,
        tolerance=tolerance,
        overwrite=overwrite,
    )
    if as_json:
        agreements = {kind: asdict(found) for kind, found in result.agreements.items()}
        content = {"out": str(out), "bytes": result.bytes, "sha256": result.sha256}
        print_json(content | {"about": dict(result.about), "agreement": agreements})
        return
    click.echo(f"{out}: {result.bytes / 1e6:.1f} MB, {result.about['network']} network")
    for kind, found in result.agreements.items():
        click.echo(
            f"  {kind}, {counted(found.images, 'image')}: outputs differ from the network's by at most "
            f"{found.absolute:.1e}, "
            f"{found.relative:.1e} of their length ({found.output})"
        )
