"""`reidtrain embed`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reidprep.text import counted, printable

from ..common import EXIT_SKIPPED, print_json, print_listed, progress
from ..options import COMPUTING, GroupedCommand, embedding_options, embedding_settings, json_option

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.features.embedder import Embedded, Embedder


@click.command(cls=GroupedCommand, short_help="Images of people -> features, in one go.", headings=COMPUTING)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@embedding_options
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@json_option
def embed(
    checkpoint: Path, images: Path, out: Path, which: Which, overwrite: bool, as_json: bool, **embedding: Any
) -> None:
    """Compute the features of images of one person each by the trained network of CHECKPOINT, a file or a run folder.

    IMAGES is a folder, whose images at any depth are taken, one image, or a .csv file with the column path and, of
    people in larger frames, x,y,width,height. Joints are found and crops cut as in the shards that the network was
    trained on; none of it is kept. OUT is what extract-features writes: an .npz file, or a folder of .npy files.
    Exit status: 0 done, 1 error, 2 wrong usage, 3 done but some images were skipped.

    \b
    Example:
      reidtrain embed run photos features.npz
      reidtrain embed run detections.csv features.npz --flip
    """
    from reidprep.store.fields import plain
    from reidtrain.features.embedder import embed_to_file

    started = time.monotonic()
    embedder = open_embedder(checkpoint, which, **embedding_settings(embedding))
    with progress("embed") as report:
        about, embedded = embed_to_file(embedder, images, out, overwrite=overwrite, progress=report)
    seconds = time.monotonic() - started
    if as_json:
        doubtful = {"doubtful": doubtful_images(embedded), "skipped_files": plain(list(embedded.skipped))}
        print_json({"out": str(out), "seconds": round(seconds, 2), **about, **doubtful, "notes": embedded.notes})
    else:
        sizes = ", ".join(f"{name} {size}" for name, size in about["dimensions"].items())
        click.echo(f"{out}: {counted(about['samples'], 'image')} in {seconds:.1f} s, epoch {about['epoch']}; {sizes}")
    print_remarks(embedded)
    if embedded.skipped:
        sys.exit(EXIT_SKIPPED)


def open_embedder(
    checkpoint: Path,
    which: Which,
    *,
    shards: Path | None,
    canonical: Path | None,
    encoded: bool,
    estimator: str | None,
    settings: dict[str, Any],
    computing: dict[str, Any],
) -> Embedder:
    """The embedder that the options of `embedding_options` describe; in what it differs from the shards is printed."""
    from reidprep.alignment.canonical import load
    from reidprep.shards.cropping import planned_estimator
    from reidtrain.checkpoints import load_checkpoint
    from reidtrain.features.embedder import Embedder
    from reidtrain.features.extractor import Computing

    loaded = load_checkpoint(checkpoint, which)
    given = None
    if estimator is not None or settings:
        plan = loaded.shard_plan(shards)
        given = planned_estimator(plan, estimator, device=computing["device"], **settings)
    embedder = Embedder(
        loaded,
        Computing(**computing),
        shards=shards,
        estimator=given,
        canonical=None if canonical is None else load(None if str(canonical) == "shipped" else canonical),
        encoded=encoded,
    )
    for note in embedder.notes:
        click.echo(f"note: {note}", err=True)
    return embedder


def doubtful_images(embedded: Embedded) -> dict[str, int]:
    """How many images are doubtful, by the reason in words."""
    from reidprep.shards.cropping import doubts

    flags = embedded.features.flags
    assert flags is not None, "an embedder gives them"
    sizes = embedded.image_sizes
    counts = {
        **doubts(flags),
        f"lower than {LOW} pixels": int((sizes[:, 1] < LOW).sum()),
        "wider than high": int((sizes[:, 0] > sizes[:, 1]).sum()),
    }
    return {words: count for words, count in counts.items() if count}


LOW = 32
"""Height of an image, in pixels, below which hardly any joint can be told."""


def print_remarks(embedded: Embedded) -> None:
    """Say on standard error what was passed over or left out, and what is doubtful about the images."""
    for note in embedded.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if embedded.skipped:
        listed = [f"{entry.path}: {entry.reason}" for entry in embedded.skipped]
        print_listed(f"{counted(len(listed), 'image was', 'images were')} skipped:", listed, "; --json lists all")
    found = doubtful_images(embedded)
    if found:
        click.echo(f"doubtful: {', '.join(f'{count} {words}' for words, count in found.items())}", err=True)
    if "wider than high" in found:
        click.echo(
            "note: of an image with several people one is taken; give the others' boxes in a .csv file "
            "(path,x,y,width,height)",
            err=True,
        )
