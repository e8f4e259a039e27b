"""Scores of a network as text, plain values and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.files import claim_file, write_file
from reidprep.store.hdf5 import Schema
from reidprep.text import counted, json_file
from reidtrain.evaluation.evaluate import Evaluation, Scored
from reidtrain.features.files import EMBEDDING
from reidtrain.metrics.scores import METRIC_NAMES, RankingMetrics, percent

SCHEMA = Schema("reidtrain.evaluation", 1)
METRICS_FILE = "metrics.json"
_WIDTH = 8


def write_metrics(evaluation: Evaluation, out: Path) -> None:
    """Write metrics.json to a folder, which is made if need be; an earlier one is replaced.

    Raises:
        ReidError: it cannot be written.
    """
    claim_file(out / METRICS_FILE, overwrite=True)
    content = {**as_values(evaluation), "schema": SCHEMA.name, "version": SCHEMA.version}
    write_file(out / METRICS_FILE, json_file(content))


def cmc_curves(evaluation: Evaluation) -> dict[str, NDArray[np.float64]]:
    """What to draw: the CMC of each feature from rank 1 on, re-ranked of the embedding only, by its label."""
    return {_label(row): row.metrics.cmc for row in evaluation.rows if row.feature == EMBEDDING or not row.reranked}


def rounded_scores(metrics: RankingMetrics) -> dict[str, float]:
    """`RankingMetrics.named` to six digits, as files hold it."""
    return {name: round(value, 6) for name, value in metrics.named().items()}


def as_values(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values: what was scored and how, and scores, 0 to 1, for each feature and ranking."""
    about = {key: value for key, value in evaluation.about.items() if key not in ("schema", "version")}
    metrics = evaluation.rows[0].metrics
    return {
        **about,
        "protocol": evaluation.scoring.protocol,
        "metric": evaluation.scoring.metric,
        "ap": evaluation.scoring.ap,
        "queries": metrics.queries,
        "queries_without_match": metrics.queries_without_match,
        "queries_identical": metrics.queries_identical,
        "gallery": evaluation.gallery,
        **({"tracklet_images": evaluation.tracklet_images} if evaluation.tracklet_images else {}),
        "remarks": [*evaluation.remarks, *([evaluation.crops] if evaluation.crops else [])],
        "rows": [
            {
                "feature": row.feature,
                "reranked": row.reranked,
                **rounded_scores(row.metrics),
                "paper": None
                if row.paper is None
                else {
                    "source": row.paper.source,
                    "differences": list(row.paper.differences),
                    **row.paper.scores,
                },
            }
            for row in evaluation.rows
        ],
    }


def as_text(evaluation: Evaluation) -> str:
    """A table in percent, the papers' figures beside ours where there are any, and where those are from."""
    remark = evaluation.rows[0].metrics.remark()
    end = ["", remark] if remark else []
    return "\n".join([*_head(evaluation), "", *_table(evaluation), *_sources(evaluation), *end])


def as_table(evaluations: Mapping[str, Evaluation]) -> str:
    """The embedding's scores on each dataset, in percent, a row each."""
    first = next(iter(evaluations.values()))
    about = first.about
    rows = {
        name + (", re-ranked" if row.reranked else ""): (evaluation, row)
        for name, evaluation in evaluations.items()
        for row in evaluation.rows
        if row.feature == EMBEDDING
    }
    label = max(map(len, rows)) + 2
    protocol = max(len(evaluation.scoring.protocol) for evaluation in evaluations.values()) + 2
    lines = [
        f"{about['checkpoint']} (epoch {about['epoch']}) on {about['images']} images of each; {_computed(first)}",
        "",
        " " * label
        + f"{'queries':>{_WIDTH}}{'gallery':>{_WIDTH}}  {'protocol':<{protocol}}"
        + "".join(f"{name:>{_WIDTH}}" for name in METRIC_NAMES.values()),
    ]
    for name, (evaluation, row) in rows.items():
        counts = f"{row.metrics.queries:>{_WIDTH}}{evaluation.gallery:>{_WIDTH}}"
        scores = "".join(_cell(score) for score in rounded_scores(row.metrics).values())
        lines.append(f"{name:<{label}}{counts}  {evaluation.scoring.protocol:<{protocol}}{scores}")
    lines += ["", *(f"{name} is {evaluation.about['shards']}" for name, evaluation in evaluations.items())]
    for name, evaluation in evaluations.items():
        metrics = evaluation.rows[0].metrics
        if without := metrics.queries_without_match:
            lines.append(f"{name}: {counted(without, 'query has', 'queries have')} no match")
        lines += [f"{name}: {remark}" for remark in (metrics.remark(), evaluation.crops) if remark]
    return "\n".join(lines)


def _head(evaluation: Evaluation) -> Iterator[str]:
    about, metrics, scoring = evaluation.about, evaluation.rows[0].metrics, evaluation.scoring
    yield f"{about['checkpoint']} (epoch {about['epoch']}) on {about['images']} images of {about['shards']}"
    without = metrics.queries_without_match
    of, images = "image", ""
    if evaluation.tracklet_images:
        of, images = "tracklet", " (of {} and {} images)".format(*evaluation.tracklet_images)
    yield (
        f"{counted(metrics.queries, 'query', 'queries')}{f', {without} of them without a match' if without else ''}, "
        f"{counted(evaluation.gallery, f'gallery {of}')}{images}; protocol {scoring.protocol}, {_computed(evaluation)}"
    )
    if _in_papers(evaluation) and evaluation.remarks:
        yield "Otherwise than in the papers, whose figures are beside ours:"
        yield from (f"  {remark}" for remark in evaluation.remarks)
    else:
        yield from evaluation.remarks
    if evaluation.crops:
        yield evaluation.crops


def _computed(evaluation: Evaluation) -> str:
    about, scoring = evaluation.about, evaluation.scoring
    mirrored = ", mean of image and mirror image" if about["flip"] else ""
    return f"{scoring.metric} distance, {scoring.ap} AP{mirrored}, {about['precision']}"


def _in_papers(evaluation: Evaluation) -> set[str]:
    """Metrics of which a paper gives a figure."""
    return {metric for row in evaluation.rows if row.paper for metric in row.paper.scores}


def _table(evaluation: Evaluation) -> Iterator[str]:
    in_papers = _in_papers(evaluation)
    columns = {name: 2 * _WIDTH if metric in in_papers else _WIDTH for metric, name in METRIC_NAMES.items()}
    label = max(len(_label(row)) for row in evaluation.rows) + 2
    yield " " * label + "".join(f"{name:>{width}}" for name, width in columns.items())
    if in_papers:
        both = f"{'paper':>{_WIDTH}}{'ours':>{_WIDTH}}"
        sides = (both if metric in in_papers else " " * _WIDTH for metric in METRIC_NAMES)
        yield (" " * label + "".join(sides)).rstrip()
    for row in evaluation.rows:
        paper = row.paper.scores if row.paper else {}
        cells = (
            (_cell(paper.get(metric)) if metric in in_papers else "") + _cell(ours)
            for metric, ours in rounded_scores(row.metrics).items()
        )
        yield f"{_label(row):<{label}}" + "".join(cells)


def _sources(evaluation: Evaluation) -> Iterator[str]:
    papers = {_label(row): row.paper for row in evaluation.rows if row.paper}
    if not papers:
        return
    yield ""
    for label, paper in papers.items():
        there = f" ({', '.join(paper.differences)} there)" if paper.differences else ""
        yield f"{label}: {paper.source}{there}"


def _label(row: Scored) -> str:
    return row.feature.replace("_", " ") + (", re-ranked" if row.reranked else "")


def _cell(share: float | None) -> str:
    return f"{percent(share):>{_WIDTH}}"
