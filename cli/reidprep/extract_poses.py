"""`reidprep extract-poses`."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from reidprep.text import counted

from ..common import EXIT_SKIPPED, check_grow, print_json, print_kept, print_replaced, print_skipped, progress
from ..options import (
    WORKERS,
    FiniteRange,
    GroupedCommand,
    chosen_executor,
    estimator_options,
    estimator_settings,
    executor_options,
    executor_settings,
    grow_option,
    json_option,
    key_values,
    overwrite_option,
    splits_option,
)

DATASETS = (
    "market1501",
    "dukemtmc",
    "msmt17",
    "cuhk03",
    "mars",
    "occluded-reid",
    "p-dukemtmc",
    "csv",
    "pattern",
    "folders",
)


@click.command(
    cls=GroupedCommand,
    short_help="Dataset -> poses: 18 joints for every image.",
    headings={
        "Dataset": ("dataset", "dataset_options", "pattern", "split_by_identity", "seed", "splits", "limit"),
        "Pose estimator": ("estimator", "device", "batch_size", "confidence", "flip_test"),
        **WORKERS,
    },
)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(DATASETS), help="Layout of SOURCE.  [default: detected]")
@click.option(
    "--dataset-option",
    "dataset_options",
    multiple=True,
    callback=key_values,
    metavar="KEY=VALUE",
    help="Option of the dataset reader, see docs/datasets.md; may be repeated.",
)
@click.option(
    "--pattern",
    metavar="FORM",
    help="Form of the images' paths below SOURCE: {pid}, {cam}, {frame}, {split}, {tracklet}, and * for anything.",
)
@click.option(
    "--split-by-identity",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    help="Share of the people that train, where SOURCE does not say who does; the others are for testing.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 999999999),
    help="Who trains, and which images are queries, where SOURCE does not say.  [default: 0]",
)
@splits_option
@estimator_options
@click.option(
    "--limit", type=click.IntRange(1), help="At most so many images of each split, of whole identities.  [default: all]"
)
@click.option("--rows-per-part", type=click.IntRange(1), default=2048, help="Images per file.")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    help="Leave unreadable images out and list them, or stop at the first.",
)
@executor_options
@grow_option
@overwrite_option
@json_option
def extract_poses(
    source: Path,
    out: Path,
    dataset: str | None,
    dataset_options: dict[str, str],
    pattern: str | None,
    split_by_identity: float | None,
    seed: int | None,
    splits: tuple[Any, ...],
    estimator: str,
    device: str,
    batch_size: int | None,
    confidence: float | None,
    limit: int | None,
    rows_per_part: int,
    on_error: Any,
    grow: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Estimate 18 joints for every image of the dataset SOURCE and write them to the folder OUT.

    An interrupted run goes on where it stopped when the same command is given again.
    Exit status: 0 done, 1 error, 2 wrong usage, 3 done but some images were skipped, 130 Ctrl-C, 143 SIGTERM.

    \b
    Example:
      reidprep extract-poses Market-1501-v15.09.15 poses --workers 4
      reidprep extract-poses people.csv poses
      reidprep extract-poses people poses --dataset folders --split-by-identity 0.5 --seed 0
      reidprep extract-poses photos poses --pattern '{pid}_c{cam}_{frame}'
      reidprep extract-poses market poses --grow
      reidprep extract-poses market poses --estimator mmpose --mmpose-config rtmpose-m
      reidprep extract-poses market poses --estimator onnx --onnx rtmpose-m.onnx
      reidprep extract-poses market poses --estimator files --keypoints openpose-output
      reidprep extract-poses /data/market /data/poses --engine ray --ray-address auto
    """
    from reidprep.datasets.registry import open_dataset
    from reidprep.datasets.selection import select
    from reidprep.datasets.summary import lost_tracklets
    from reidprep.estimators.registry import create_estimator
    from reidprep.poses.extract import ExtractOptions
    from reidprep.poses.extract import extract_poses as run
    from reidprep.store.fields import plain

    if pattern is not None and dataset not in (None, "pattern"):
        raise click.UsageError(f"--pattern goes with --dataset pattern, not {dataset}")
    dataset = dataset if pattern is None else "pattern"
    for name, value in (("pattern", pattern), ("train", split_by_identity), ("seed", seed)):
        if value is not None:
            if name in dataset_options:
                raise click.UsageError(f"--dataset-option {name}= says what an option of its own says; leave one out")
            dataset_options[name] = f"{value:.12g}" if isinstance(value, float) else str(value)
    check_grow(grow, overwrite)
    place = executor_settings(settings)
    settings = estimator_settings(estimator, settings)
    if place["engine"] == "ray" and device != "auto" and (device == "cuda") != bool(place["gpus_per_worker"]):
        raise click.UsageError(f"--device {device} and --gpus-per-worker do not agree; leave --device out")
    create = partial(create_estimator, estimator, batch_size=batch_size, **settings)
    options = ExtractOptions(splits=splits, limit=limit, confidence=confidence, rows_per_part=rows_per_part)
    started = time.monotonic()
    with chosen_executor(**place) as executor:
        data = select(open_dataset(source, dataset, dataset_options), splits, limit)
        if not as_json:
            print_dataset(data)
        with progress("extract-poses") as report:
            manifest = run(
                data,
                out,
                # Workers have one of their own; this one says what it is, for which a GPU is not needed.
                create(device="cpu" if executor.device else device),
                options,
                on_error=on_error,
                overwrite=overwrite,
                grow=grow,
                executor=executor,
                worker_estimator=partial(create, device=executor.device) if executor.device else None,
                progress=report,
            )
    seconds = time.monotonic() - started
    lost = lost_tracklets(data, [entry.path for entry in manifest.skipped])
    if as_json:
        print_json(
            {"out": str(out), "dataset": data.name, "rows": manifest.rows, "kept": manifest.kept}
            | {"seconds": round(seconds, 2)}
            | plain(manifest.summary)
            | {"skipped_files": plain(manifest.skipped), "notes": [*data.notes, *lost]}
            | ({"replaced": list(manifest.replaced)} if grow else {})
        )
    elif not print_kept(manifest.kept, manifest.rows, "pose", "images", out, grow):
        found = manifest.summary.joints_found
        click.echo(
            f"{counted(manifest.rows, 'pose')} in {seconds:.1f} s, {sum(found) / len(found):.1%} of joints found, in "
            f"{out}"
        )
    print_replaced(manifest.replaced)
    print_skipped(manifest.skipped)
    for sentence in lost:
        click.echo(f"note: {sentence}", err=True)
    if manifest.skipped:
        sys.exit(EXIT_SKIPPED)


def print_dataset(dataset: Any) -> None:
    """Counts per split and the reader's notes, on standard error."""
    from reidprep.datasets.summary import describe

    click.echo(f"{dataset.name} in {dataset.root}", err=True)
    for counts in describe(dataset):
        click.echo(
            f"  {counts.split:<8} {counts.images:>7} images, {counts.identities:>5} ids, "
            f"{counts.cameras:>2} cameras, {counts.junk:>5} junk",
            err=True,
        )
    for note in dataset.notes:
        click.echo(f"  note: {note}", err=True)
