"""`reidprep build-shards`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from reidprep.text import counted

from ..common import EXIT_SKIPPED, check_grow, print_json, print_kept, print_listed, print_skipped, progress, say
from ..options import (
    WORKERS,
    FiniteRange,
    GroupedCommand,
    chosen_executor,
    colour,
    executor_options,
    executor_settings,
    grow_option,
    json_option,
    overwrite_option,
    size,
)


@click.command(
    cls=GroupedCommand,
    short_help="Poses -> shards: aligned whole body and four parts.",
    headings={
        "Joints and boxes": ("alignment", "beta", "confidence", "exact", "canonical"),
        "Crops": ("whole_size", "part_size", "with_image", "image_size", "border"),
        "Files": ("scale", "encoding", "quality", "shard_size"),
        **WORKERS,
    },
)
@click.argument("poses", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    help="Where the images are now.  [default: where they were for extract-poses]",
)
@click.option(
    "--alignment",
    type=click.Choice(["pose", "strips"]),
    default="pose",
    help="Boxes from the pose, or the whole image and four equal strips (the papers' baseline).",
)
@click.option(
    "--beta",
    type=FiniteRange(0, 1),
    default=3 / 48,
    show_default=False,
    help="Overlap of parts, as a fraction of the body height.  [default: 3/48]",
)
@click.option(
    "--confidence",
    type=FiniteRange(0),
    help="Score from which a joint counts as found.  [default: what the poses were made with]",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Leave joints that count as found exactly where they were measured, wrong ones as well.",
)
@click.option("--canonical", type=click.Path(path_type=Path), help="Canonical poses.  [default: the shipped set]")
@click.option("--whole-size", callback=size, metavar="HxW", default="384x192", help="Whole-body crop.")
@click.option("--part-size", callback=size, metavar="HxW", default="96x192", help="Part crops.")
@click.option("--with-image", is_flag=True, help="Also store the plain resized image.")
@click.option("--image-size", callback=size, metavar="HxW", help="Its size.  [default: 256x128]")
@click.option(
    "--scale",
    type=click.Choice(["source", "full"]),
    default="source",
    help="full: store crops at these sizes; source: no larger than the source images can fill, training then "
    "finishes the resize.",
)
@click.option("--encoding", type=click.Choice(["jpeg", "raw"]), default="jpeg", help="How crops are stored.")
@click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality.  [default: 95 at source scale, 90 at full]")
@click.option(
    "--border",
    callback=colour,
    metavar="R,G,B|mean",
    default="mean",
    help="Colour outside the image; mean: of the train images.",
)
@click.option("--shard-size", type=click.IntRange(1), help="Samples per file.  [default: 1024 for jpeg, 128 for raw]")
@click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    help="Leave out the images that this CSV file lists, such as inspect writes: columns path and reason.",
)
@executor_options
@grow_option
@overwrite_option
@json_option
def build_shards(
    poses: Path,
    out: Path,
    source: Path | None,
    canonical: Path | None,
    with_image: bool,
    image_size: tuple[int, int] | None,
    quality: int | None,
    shard_size: int | None,
    exclude: Path | None,
    grow: bool,
    overwrite: bool,
    as_json: bool,
    **shaping: Any,
) -> None:
    """Cut the aligned whole body and four part crops for every pose in POSES, into shards in the folder OUT.

    An interrupted run goes on where it stopped when the same command is given again.
    Exit status: 0 done, 1 error, 2 wrong usage, 3 done but some images were skipped, 130 Ctrl-C, 143 SIGTERM.

    \b
    Example:
      reidprep build-shards poses shards --with-image
      reidprep build-shards poses shards --with-image --grow
      reidprep build-shards /data/poses /data/shards --engine ray --ray-address auto
    """
    from reidprep.alignment.canonical import load
    from reidprep.poses.reader import PoseSet
    from reidprep.shards.build import BuildOptions
    from reidprep.shards.build import build_shards as run
    from reidprep.shards.exclusions import read_exclusions, unknown_paths
    from reidprep.store.fields import plain

    check_grow(grow, overwrite)
    place = executor_settings(shaping)
    if image_size and not with_image:
        raise click.UsageError("--image-size goes with --with-image")
    if quality and shaping["encoding"] == "raw":
        raise click.UsageError("--quality goes with --encoding jpeg")
    options = BuildOptions(
        image_size=(image_size or (256, 128)) if with_image else None,
        quality=quality,
        samples_per_shard=shard_size,
        **shaping,
    )
    for name, (height, width) in (("whole", options.whole_size), ("image", options.image_size or (1, 1))):
        if width > height:
            click.echo(f"note: --{name}-size is HEIGHTxWIDTH: {height}x{width} is wider than high", err=True)
    excluded = read_exclusions(exclude) if exclude else {}
    started = time.monotonic()
    with chosen_executor(**place) as executor, progress("build-shards") as report:
        manifest = run(
            poses,
            out,
            options,
            source=source,
            canonical=load(canonical),
            exclude=excluded,
            overwrite=overwrite,
            grow=grow,
            executor=executor,
            progress=report,
            log=say,
        )
    seconds = time.monotonic() - started
    summary = manifest.summary
    unknown = unknown_paths(PoseSet(poses).column("paths"), excluded) if excluded else []
    if as_json:
        print_json(
            {"out": str(out), "rows": manifest.rows, "kept": manifest.kept, "seconds": round(seconds, 2)}
            | plain(summary)
            | {"skipped_files": plain(manifest.skipped), "unknown_excluded": unknown}
        )
    elif not print_kept(manifest.kept, manifest.rows, "sample", "images", out, grow):
        counts = ", ".join(f"{count} {split}" for split, count in summary.images.items())
        share = sum(summary.joints_filled) / len(summary.joints_filled)
        click.echo(
            f"{counted(manifest.rows, 'sample')} ({counts}) in {seconds:.1f} s, {share:.1%} of joints filled, in {out}"
        )
        doubtful = ", ".join(f"{count} {name.lower()}" for name, count in summary.flags.items() if count)
        click.echo(f"flagged: {doubtful or 'none'}")
        if left_out := sum(summary.excluded.values()):
            click.echo(f"excluded: {counted(left_out, 'image')}, as {exclude} says")
    if unknown:
        print_listed(f"{counted(len(unknown), 'image')} of {exclude} not among the poses:", unknown)
    print_skipped(manifest.skipped)
    if manifest.skipped:
        sys.exit(EXIT_SKIPPED)
