"""`reidtrain evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..common import print_json, progress
from ..options import (
    COMPUTING,
    PROTOCOL_HELP,
    PROTOCOLS,
    GroupedCommand,
    ap_option,
    computing_options,
    json_option,
    metric_option,
    which_option,
)

if TYPE_CHECKING:
    from reidtrain.checkpoints import Which
    from reidtrain.metrics.distances import Metric
    from reidtrain.metrics.protocols import Protocol
    from reidtrain.metrics.scores import APVariant


@click.command(
    cls=GroupedCommand,
    short_help="Score a trained model, beside the papers.",
    headings={"Scores": ("held_out", "protocol", "ap", "metric", "rerank"), **COMPUTING},
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("shards", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.  [default: evaluation, in the run]")
@click.option("--held-out", is_flag=True, help="Score on training identities that the recipe holds out.")
@click.option("--protocol", type=PROTOCOLS, help=f"{PROTOCOL_HELP}  [default: that of the dataset]")
@ap_option
@metric_option
@click.option("--rerank", is_flag=True, help="Score with k-reciprocal re-ranking (20, 6, 0.3) as well.")
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Take the features from this file, or keep them there if it does not exist.",
)
@which_option
@computing_options
@json_option
def evaluate(
    checkpoint: Path,
    shards: tuple[Path, ...],
    out: Path | None,
    held_out: bool,
    protocol: Protocol | None,
    ap: APVariant,
    metric: Metric,
    rerank: bool,
    features: Path | None,
    which: Which,
    as_json: bool,
    **computing: Any,
) -> None:
    """Score the trained network of CHECKPOINT, a file or a run folder, on the query and gallery images of SHARDS.

    The embedding, each branch and the fused parts are scored each alone, beside the row of the paper for such a network
    where there is one. Writes metrics.json and the curves cmc.png, .pdf and .svg; earlier ones are replaced.

    Of several SHARDS each is scored by itself: prints a row for each and writes a folder for each.

    \b
    Example:
      reidtrain evaluate run shards --rerank
      reidtrain evaluate run shards --which best --flip --out flipped
      reidtrain evaluate small shards --held-out --json
      reidtrain evaluate run market-shards cuhk03-shards
    """
    from reidprep.files import claim_file
    from reidtrain.checkpoints import load_checkpoint, run_subfolder
    from reidtrain.evaluation.evaluate import Evaluation, evaluate_each
    from reidtrain.evaluation.evaluate import evaluate as run
    from reidtrain.evaluation.report import METRICS_FILE, as_table, as_text, as_values, cmc_curves, write_metrics
    from reidtrain.features.extractor import Computing
    from reidtrain.plots.curves import FIGURE_SUFFIXES, draw_cmc

    def write(result: Evaluation, folder: Path) -> None:
        write_metrics(result, folder)
        for suffix in FIGURE_SUFFIXES:
            draw_cmc(cmc_curves(result), folder / f"cmc{suffix}")

    if features and len(shards) > 1:
        raise click.UsageError("--features is a file of one dataset; give one SHARDS with it")
    folder = out or run_subfolder(checkpoint, "evaluation")
    how: dict[str, Any] = {
        "held_out": held_out,
        "protocol": protocol,
        "metric": metric,
        "ap": ap,
        "rerank": rerank,
        "computing": Computing(**computing),
        "progress": progress,
    }
    network = load_checkpoint(checkpoint, which)
    claim_file(folder / METRICS_FILE, overwrite=True)
    if len(shards) > 1:
        results = evaluate_each(network, shards, **how)
        for name, each in results.items():
            write(each, folder / name)
        if as_json:
            print_json([{"out": str(folder / name), "dataset": name, **as_values(r)} for name, r in results.items()])
        else:
            click.echo(
                f"{as_table(results)}\n\n{folder}: a folder for each, with metrics.json and cmc.png, .pdf and .svg"
            )
        return
    result = run(network, shards[0], features=features, **how)
    write(result, folder)
    if as_json:
        print_json({"out": str(folder), **as_values(result)})
    else:
        click.echo(f"{as_text(result)}\n\n{folder}: metrics.json and cmc.png, .pdf and .svg")
