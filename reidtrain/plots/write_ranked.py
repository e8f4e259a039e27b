"""Features -> ranked lists as PNG sheets and a page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet
from reidtrain.evaluation.scoring import Scoring, score
from reidtrain.features.files import EMBEDDING, Features
from reidtrain.metrics.distances import Metric
from reidtrain.plots.ranked_cards import Ranking, query_card
from reidtrain.plots.ranked_lists import choose_queries, rank_lists
from reidtrain.plots.ranked_page import ranked_article, ranked_page
from reidtrain.plots.ranked_sheet import draw_ranked_sheet
from reidtrain.plots.write import Pictures, dataset_name, write_pictures

QUERIES = 24
PER_SHEET = 6


def write_ranked_lists(
    features: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    shards_path: Path,
    out: Path,
    *,
    count: int = QUERIES,
    top: int = 10,
    worst: bool = False,
    seed: int | None = None,
    metric: Metric = "euclidean",
    per_sheet: int = PER_SHEET,
    progress: Progress = unseen,
) -> Pictures:
    """Draw the ranked lists of some queries, a list for each model.

    Without `worst` and `seed` the queries are spread evenly.

    Args:
        features: label of a model -> features of the query and of the gallery split, (images, dimension) each, in
            the order of the shards.
        shards_path: a complete shard directory.
        out: an empty folder, or one with earlier pictures, which are replaced.
        count: queries to show, at most.
        top: gallery images of each list.
        worst: those queries that the first model ranks worst (lowest average precision), worst first.
        seed: choose queries at random.
        metric: `euclidean` or `cosine`.
        per_sheet: queries on one sheet.
        progress: called with queries drawn, and all that will be.

    Raises:
        ReidError: unusable shards, features or output folder, no query with a match, or choices that exclude
            each other.
    """
    queries, gallery = (ShardSet.open(shards_path, split) for split in ("query", "gallery"))
    for split, shards in (("query", queries), ("gallery", gallery)):
        if not len(shards):
            raise ReidError(f"{shards_path}: no sample in the {split} split, so there is nothing to rank")
    labels = (queries.pids, gallery.pids, queries.camids, gallery.camids)
    metrics = {
        name: score(
            Features.of(queries, None, {EMBEDDING: theirs}),
            Features.of(gallery, None, {EMBEDDING: others}),
            Scoring(metric=metric),
        )
        for name, (theirs, others) in features.items()
    }
    precision = next(iter(metrics.values())).average_precision
    generator = None if seed is None else np.random.default_rng(seed)
    chosen = choose_queries(precision, count, worst=worst, generator=generator)
    rankings = [
        Ranking(name, rank_lists(*both, *labels, queries=chosen, top=top, metric=metric), metrics[name])
        for name, both in features.items()
    ]
    how = "the worst first" if worst else "spread evenly" if seed is None else f"at random (seed {seed})"
    if worst and len(features) > 1:
        how += f" by {rankings[0].label}"
    what = f"{len(chosen):,} of {len(queries):,} queries, {how}"
    title = f"{dataset_name(queries)}: ranked lists"
    return write_pictures(
        out,
        len(chosen),
        lambda rows: [query_card(rankings, row, queries, gallery) for row in rows],
        title=f"{title}, {what}",
        draw_sheet=draw_ranked_sheet,
        article=ranked_article,
        page=partial(ranked_page, title, what, rankings),
        per_sheet=per_sheet,
        progress=progress,
    )
