"""`reidtrain score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidprep.text import counted

from ..common import print_json
from ..options import PROTOCOL_HELP, PROTOCOLS, ap_option, json_option, metric_option

if TYPE_CHECKING:
    from reidtrain.metrics.distances import Metric
    from reidtrain.metrics.protocols import Protocol
    from reidtrain.metrics.scores import APVariant


@click.command(short_help="Score the features of any model.")
@click.argument("features", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FEATURES.npz...")
@click.option("--protocol", type=PROTOCOLS, required=True, help=PROTOCOL_HELP)
@ap_option
@metric_option
@click.option(
    "--feature",
    default="features",
    metavar="NAME",
    help="Which feature of the files, such as whole or fused in those of extract-features.",
)
@click.option("--rerank", is_flag=True, help="Re-rank by k-reciprocal neighbours (20, 6, 0.3).")
@json_option
def score(
    features: tuple[Path, ...],
    protocol: Protocol,
    ap: APVariant,
    metric: Metric,
    feature: str,
    rerank: bool,
    as_json: bool,
) -> None:
    """Score features of any model: CMC, mAP and mINP.

    FEATURES.npz holds query_features, query_pids, query_camids, gallery_features, gallery_pids and
    gallery_camids. Several files are the splits of one test, such as CUHK03 classic's 20: scores are averaged.

    \b
    Example:
      reidtrain score features.npz --protocol market1501 --metric cosine --rerank
      reidtrain score features.npz --protocol market1501 --feature whole
      reidtrain score split-*.npz --protocol cuhk03-classic --json
    """
    from reidtrain.evaluation.scoring import Scoring, score_files
    from reidtrain.metrics.scores import METRIC_NAMES

    metrics = score_files(features, Scoring(protocol, metric, ap, rerank), feature)
    values = metrics.named()
    counts = {
        "queries": metrics.queries,
        "queries_without_match": metrics.queries_without_match,
        "queries_identical": metrics.queries_identical,
    }
    if as_json:
        print_json(values | counts)
        return
    click.echo(f"protocol {protocol}, {metric} distance{', re-ranked' if rerank else ''}, {ap} AP")
    for name, value in values.items():
        click.echo(f"  {METRIC_NAMES[name]:<8} {value:7.2%}")
    click.echo(
        f"  {counted(metrics.queries, 'query', 'queries')}, {metrics.queries_without_match:,} of them without a match"
    )
    if remark := metrics.remark():
        click.echo(f"  {remark}")
