"""Score every feature of a trained network, and keep the scores with its run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.shards import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.evaluation import Protocol, RankingMetrics, evaluate_features
from reidtrain.evaluation.protocols import JUNK
from reidtrain.features import Features, extract

SCORES = "scores.json"
_VERSION = 1

Scores = dict[str, dict[str, float]]
"""By feature, then by metric: rank1, rank5, rank10, rank20, mAP and mINP, 0 to 1."""


def read_scores(run: Path) -> Scores | None:
    """The scores that were kept with a run; None if there are none yet."""
    try:
        content = json.loads((run / SCORES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReidError(f"{run / SCORES}: cannot be read ({error}); delete it to have it made again") from None
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ReidError(f"{run / SCORES}: is of an unknown version; delete it to have it made again")
    features: Scores = content["features"]
    return features


def score_run(
    run: Path, shards: Path, *, device: torch.device, workers: int, progress: Callable[[int, int], None] | None
) -> Scores:
    """Score the last checkpoint of a run on the query and gallery images of its shards, and keep the scores.

    Features are compared by Euclidean distance; AP is the mean of the precision at each hit.

    Args:
        run: a finished run.
        shards: the directory.
        device: to compute features on.
        workers: processes that decode.
        progress: called with images done and in total, of the queries, then of the gallery.

    Raises:
        ReidError: no query or gallery, a damaged sample, or no query with a match.
    """
    checkpoint = load_checkpoint(run)
    model, preprocessor = checkpoint.model().to(device), checkpoint.preprocessor().to(device)

    def features(split: str) -> Features:
        images = ShardSet.open(shards, split)
        if not len(images):
            raise ReidError(f"{shards}: there are no {split} images to score on")
        return extract(
            model,
            preprocessor,
            images,
            indices=np.flatnonzero(images.pids != JUNK),
            batch_size=checkpoint.recipe.validation.batch_size,
            workers=workers,
            device=device,
            bf16=checkpoint.recipe.execution.precision == "bf16",
            progress=progress,
        )

    query, gallery = features("query"), features("gallery")
    protocol = protocol_of(ShardSet.open(shards).manifest.plan)
    scores = {
        name: _values(
            evaluate_features(
                query.arrays[name],
                gallery.arrays[name],
                query.pids,
                gallery.pids,
                query.camids,
                gallery.camids,
                protocol=protocol,
            )
        )
        for name in query.arrays
    }
    content = {
        "version": _VERSION,
        "epoch": checkpoint.epoch,
        "protocol": protocol,
        "metric": "euclidean",
        "ap": "step",
        "features": scores,
    }
    write_file(run / SCORES, (json.dumps(content, indent=1) + "\n").encode())
    return scores


def protocol_of(plan: Mapping[str, Any]) -> Protocol:
    """How a dataset is scored.

    Args:
        plan: of the manifest of its shards.
    """
    dataset = plan["poses"]["dataset"]
    if dataset["name"] != "cuhk03":
        return "market1501"
    return "cuhk03-np" if dataset["options"]["protocol"] == "np" else "cuhk03-classic"


def _values(metrics: RankingMetrics) -> dict[str, float]:
    ranks = {f"rank{rank}": metrics.cmc_at(rank) for rank in metrics.ranks}
    return {name: round(float(value), 6) for name, value in {**ranks, "mAP": metrics.mAP, "mINP": metrics.mINP}.items()}
