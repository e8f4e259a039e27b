"""Score every feature of a trained network, and keep the scores with its run."""

from __future__ import annotations

import json
from pathlib import Path

from reidprep.device import torch_device
from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.progress import Progress
from reidtrain.checkpoints import load_checkpoint
from reidtrain.evaluation.images import query_gallery_images
from reidtrain.evaluation.scoring import Scoring, named_scores, score_features
from reidtrain.features.extractor import Computing, Extractor

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


def score_run(run: Path, shards: Path, *, device: str, workers: int, progress: Progress) -> Scores:
    """Score the last checkpoint of a run on the query and gallery images of its shards, and keep the scores.

    Features are compared by Euclidean distance; AP is the mean of the precision at each hit.

    Args:
        run: a finished run.
        shards: the directory.
        device: one of `reidprep.device.DEVICES`.
        workers: processes that decode.
        progress: called with images done and in total.

    Raises:
        ReidError: no query or gallery, a damaged sample, or no query with a match.
    """
    checkpoint = load_checkpoint(run)
    computing = Computing(device, workers, checkpoint.recipe.validation.batch_size)
    images = query_gallery_images(shards)
    query, gallery = images.features(Extractor(checkpoint, computing), progress)
    scoring = Scoring(images.protocol)
    metrics = score_features(query, gallery, scoring, device=torch_device(device))
    scores = {name: named_scores(found) for name, found in metrics.items()}
    content = {
        "version": _VERSION,
        "epoch": checkpoint.epoch,
        "protocol": scoring.protocol,
        "metric": scoring.metric,
        "ap": scoring.ap,
        "features": scores,
    }
    write_file(run / SCORES, (json.dumps(content, indent=1) + "\n").encode())
    return scores
