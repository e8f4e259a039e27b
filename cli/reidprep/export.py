"""`reidprep export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reidprep.text import counted

from ..common import print_json, progress
from ..options import json_option, size, splits_option

FORMATS = ("coco", "openpose", "openpifpaf", "webdataset", "images")


@click.command(short_help="Poses -> COCO, OpenPose, OpenPifPaf; shards -> WebDataset, images.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    required=True,
    help="coco: poses as one JSON file; openpose, openpifpaf: poses as a folder with one JSON file per image; "
    "webdataset: shards as a folder of tar files; images: shards as JPEG files in the layout of Market-1501.",
)
@splits_option
@click.option("--samples-per-tar", type=click.IntRange(1), help="Samples in a tar file.  [default: 1000]")
@click.option(
    "--size", callback=size, metavar="HxW", help="For images: size of the whole bodies.  [default: as stored]"
)
@click.option("--parts", is_flag=True, help="For images: the four parts too, each in a folder of its own.")
@click.option("--part-size", callback=size, metavar="HxW", help="For images: size of the parts.  [default: as stored]")
@click.option("--keypoints", is_flag=True, help="For images: OpenPifPaf's JSON beside each, in pixels of the crop.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in OUT.")
@json_option
def export(
    source: Path,
    out: Path,
    format: str,
    splits: tuple[Any, ...],
    samples_per_tar: int | None,
    size: tuple[int, int] | None,
    parts: bool,
    part_size: tuple[int, int] | None,
    keypoints: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write SOURCE, a pose or shard folder, in the format of other tools. OUT is the file (coco) or the folder.

    \b
    Example:
      reidprep export poses poses.json --format coco
      reidprep export poses openpose --format openpose --split query
      reidprep export poses pifpaf --format openpifpaf
      reidprep export shards tars --format webdataset
      reidprep export shards crops --format images --size 256x128 --parts
    """
    from reidprep.export.base import check_kind
    from reidprep.export.coco import export_coco
    from reidprep.export.images import export_images
    from reidprep.export.openpifpaf import export_openpifpaf
    from reidprep.export.openpose import export_openpose
    from reidprep.export.webdataset import export_webdataset

    special: dict[str, dict[str, Any]] = {
        "webdataset": {"samples_per_tar": samples_per_tar},
        "images": {"size": size, "parts": parts, "part_size": part_size, "keypoints": keypoints},
    }
    given = {(other, name): value for other, some in special.items() for name, value in some.items() if value}
    for other, name in given:
        if other != format:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --format {other}")
    if part_size and not parts:
        raise click.UsageError("--part-size goes with --parts")
    check_kind(source, format)
    runs: dict[str, Any] = {
        "coco": export_coco,
        "openpose": export_openpose,
        "openpifpaf": export_openpifpaf,
        "webdataset": export_webdataset,
        "images": export_images,
    }
    run = runs[format]
    options: dict[str, Any] = {"splits": splits, "overwrite": overwrite}
    options |= {name: value for (_, name), value in given.items()}
    with progress("export") as report:
        result = run(source, out, progress=report, **options)
    if as_json:
        content = {"out": str(out), "format": format, "images": dict(result.images)}
        notes = {"notes": list(result.notes)} if result.notes else {}
        print_json(content | {"files": result.files, "bytes": result.bytes} | notes)
        return
    counts = ", ".join(f"{count} {split}" for split, count in result.images.items())
    click.echo(
        f"{counted(sum(result.images.values()), 'image')} ({counts}) in {counted(result.files, 'file')}, "
        f"{result.bytes / 1e6:.1f} MB, in {out}"
    )
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
