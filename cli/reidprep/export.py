"""`reidprep export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reidprep.records import SPLITS

from ..common import print_json, progress
from ..options import json_option

FORMATS = ("coco", "openpose", "webdataset")


@click.command(short_help="Poses -> COCO or OpenPose files; shards -> WebDataset.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    required=True,
    help="coco: poses as one JSON file; openpose: poses as a folder with one JSON file per image; "
    "webdataset: shards as a folder of tar files.",
)
@click.option("--split", "splits", type=click.Choice(SPLITS), multiple=True, default=SPLITS, help="May be repeated.")
@click.option("--samples-per-tar", type=click.IntRange(1), help="Samples in a tar file.  [default: 1000]")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in OUT.")
@json_option
def export(
    source: Path,
    out: Path,
    format: str,
    splits: tuple[Any, ...],
    samples_per_tar: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write SOURCE, a pose or shard folder, in the format of other tools. OUT is the file (coco) or the folder.

    \b
    Example:
      reidprep export poses poses.json --format coco
      reidprep export poses openpose --format openpose --split query
      reidprep export shards tars --format webdataset
    """
    from reidprep.export.base import check_kind
    from reidprep.export.coco import export_coco
    from reidprep.export.openpose import export_openpose
    from reidprep.export.webdataset import export_webdataset

    if samples_per_tar and format != "webdataset":
        raise click.UsageError("--samples-per-tar goes with --format webdataset")
    check_kind(source, format)
    run: Any = {"coco": export_coco, "openpose": export_openpose, "webdataset": export_webdataset}[format]
    options: dict[str, Any] = {"splits": splits, "overwrite": overwrite}
    if samples_per_tar:
        options["samples_per_tar"] = samples_per_tar
    with progress("export") as report:
        result = run(source, out, progress=report, **options)
    if as_json:
        content = {"out": str(out), "format": format, "images": dict(result.images)}
        print_json(content | {"files": result.files, "bytes": result.bytes})
        return
    counts = ", ".join(f"{count} {split}" for split, count in result.images.items())
    files = "1 file" if result.files == 1 else f"{result.files} files"
    click.echo(f"{sum(result.images.values())} images ({counts}) in {files}, {result.bytes / 1e6:.1f} MB, in {out}")
