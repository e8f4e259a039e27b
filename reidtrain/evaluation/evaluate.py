"""Score every feature of a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reidprep.device import torch_device
from reidprep.errors import ReidError
from reidprep.progress import Steps, unseen_steps
from reidtrain.checkpoints import Checkpoint, as_checkpoint
from reidtrain.data.sets import open_sets
from reidtrain.evaluation.comparison import Comparison, compare, other_crops
from reidtrain.evaluation.images import RankedImages, held_out_images, held_out_of_each, query_gallery_images
from reidtrain.evaluation.scoring import Scoring, score_each
from reidtrain.evaluation.scoring import identical as same_features
from reidtrain.features.extract import about_features
from reidtrain.features.extractor import Computing, Extractor
from reidtrain.features.files import EMBEDDING, GALLERY, QUERY, Features, open_output, read_about
from reidtrain.features.numpy_files import NPZ
from reidtrain.features.tracklets import pooled
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.protocols import Protocol
from reidtrain.metrics.scores import APVariant, RankingMetrics
from reidtrain.papers.rows import PaperRow

LAST_RANK = 50
"""Ranks that the CMC curve reaches."""

_OR_HELD_OUT = "score on training identities that the recipe holds out by --held-out"
_SAME = ("checkpoint_sha256", "manifest_sha256", "images", "flip", "precision")
"""Entries of what a file says about its features; where they agree, the features would come out the same."""


@dataclass(frozen=True)
class Scored:
    """A feature and its scores.

    Attributes:
        feature: name in `reidtrain.features.files.Features.arrays`.
        reranked: whether distances were re-ranked.
        metrics: the scores, with the CMC at 1 to `LAST_RANK`.
        paper: what a paper says of such a feature, None if nothing.
    """

    feature: str
    reranked: bool
    metrics: RankingMetrics
    paper: PaperRow | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of a network.

    Attributes:
        about: network and images, as a file of features says it.
        scoring: how features were scored; `rerank` is whether they were also re-ranked.
        gallery: gallery images or tracklets, without those of no person.
        tracklet_images: query and gallery images whose features were pooled; None where there are no tracklets.
        remarks: what differs from the papers, or why their figures are not beside ours.
        rows: each feature, `embedding` last; then re-ranked.
        crops: what differs from the crops trained on; empty if nothing does.
    """

    about: Mapping[str, Any]
    scoring: Scoring
    gallery: int
    remarks: tuple[str, ...]
    rows: tuple[Scored, ...]
    tracklet_images: tuple[int, int] | None = None
    crops: str = ""

    def __repr__(self) -> str:
        embedding = next(row for row in self.rows if row.feature == EMBEDDING)
        return f"Evaluation({self.scoring.protocol}, {len(self.rows)} rows, embedding: {embedding.metrics})"


def evaluate(
    checkpoint: Checkpoint | str | Path,
    shards: str | Path,
    *,
    held_out: bool = False,
    protocol: Protocol | None = None,
    metric: Metric = "euclidean",
    ap: APVariant = "step",
    rerank: bool = False,
    computing: Computing | None = None,
    features: Path | None = None,
    progress: Steps = unseen_steps,
) -> Evaluation:
    """Score the embedding, each branch and the fused parts of a network, each alone.

    Args:
        checkpoint: the network, or the file or run folder it is in.
        shards: the directory.
        held_out: score on the training identities its recipe holds out, instead of the query and gallery splits.
        protocol: which gallery images count; None is that of the dataset.
        metric: distance.
        ap: definition of average precision.
        rerank: score with re-ranking as well.
        computing: how the network computes.
        features: an `.npz` file to take the features from, or to keep them in if it does not exist.
        progress: shows how far each step is.

    Raises:
        ReidError: as `query_gallery_images` or `held_out_images`, `Extractor`, and `evaluate_features`; or a file of
            features of another model or of other images.

    Example:
        >>> from reidtrain import evaluate
        >>> evaluation = evaluate("run", "shards")
        >>> evaluation
        Evaluation(market1501, 7 rows, embedding: RankingMetrics(Rank-1 ...%, mAP ...%, 4 queries))
        >>> [row.feature for row in evaluation.rows]
        ['whole', 'head', 'upper_body', 'upper_leg', 'lower_leg', 'fused', 'embedding']
    """
    checkpoint, shards = as_checkpoint(checkpoint), Path(shards)
    if held_out:
        images = held_out_images(shards, checkpoint.recipe, checkpoint.class_names)
    else:
        # Files of features hold all images, so that others find them in the order of the shards.
        images = query_gallery_images(shards, junk=features is not None, instead=_OR_HELD_OUT)
    scoring = Scoring(protocol or images.protocol, metric, ap, rerank)
    return _evaluate(checkpoint, images, scoring, computing or Computing(), features, progress)


def evaluate_each(
    checkpoint: Checkpoint | str | Path,
    shards: Sequence[str | Path],
    *,
    held_out: bool = False,
    protocol: Protocol | None = None,
    metric: Metric = "euclidean",
    ap: APVariant = "step",
    rerank: bool = False,
    computing: Computing | None = None,
    progress: Steps = unseen_steps,
) -> dict[str, Evaluation]:
    """Score a network on each of several datasets by itself; arguments as for `evaluate`.

    Args:
        checkpoint: the network, or the file or run folder it is in.
        shards: a directory of each dataset.
        held_out: score on the training identities its recipe holds out; `shards` are all that it was trained on.
        protocol: which gallery images count; None is that of each dataset.
        metric: distance.
        ap: definition of average precision.
        rerank: score with re-ranking as well.
        computing: how the network computes.
        progress: shows how far each step is.

    Returns:
        Name of each dataset, as training calls it -> its scores.

    Raises:
        ReidError: as `evaluate`; or a directory that is given twice.
    """
    checkpoint = as_checkpoint(checkpoint)
    sets = open_sets([Path(path) for path in shards], "train")
    if held_out:
        found = zip(sets, held_out_of_each(sets, checkpoint.recipe, checkpoint.class_names), strict=True)
        ranked = [(each.name, images) for each, images in found if len(images.query)]
    else:
        ranked = [(each.name, query_gallery_images(each.path, instead=_OR_HELD_OUT)) for each in sets]
    asked = [(name, images, Scoring(protocol or images.protocol, metric, ap, rerank)) for name, images in ranked]
    for _, images, scoring in asked:
        _check(images, scoring)
    computing = computing or Computing()
    return {name: _evaluate(checkpoint, images, scoring, computing, None, progress) for name, images, scoring in asked}


def _check(images: RankedImages, scoring: Scoring) -> None:
    """Make sure, before anything is computed, that there will be scores."""
    if scoring.rerank and scoring.protocol.startswith("cuhk03-classic"):
        raise ReidError(
            f"--rerank: protocol {scoring.protocol} draws the gallery, and re-ranking compares each image with the "
            "whole of it; leave it out, or take --protocol cuhk03-np"
        )
    images.under(scoring.protocol).require_match(scoring.protocol)


def _evaluate(
    checkpoint: Checkpoint,
    images: RankedImages,
    scoring: Scoring,
    computing: Computing,
    features: Path | None,
    progress: Steps,
) -> Evaluation:
    _check(images, scoring)
    as_papers = images.kind == "test" and scoring.protocol == images.protocol
    images = images.under(scoring.protocol)
    rerank, scoring = scoring.rerank, replace(scoring, rerank=False)
    about = about_features(checkpoint, images.shards.path, images.kind, computing)
    query, gallery = _features(checkpoint, images, about, computing, features, progress)
    tracklet_images = None if query.tracklets is None else (_with_person(query), _with_person(gallery))
    query, gallery = pooled(query), pooled(gallery)

    rows: list[Scored] = []
    identical = (
        images.identical(scoring.protocol)
        if tracklet_images is None
        else same_features(query, gallery, scoring.protocol)
    )
    papers = compare(checkpoint, images) if as_papers else Comparison()
    for how in (scoring, replace(scoring, rerank=True)) if rerank else (scoring,):
        with progress("re-rank" if how.rerank else "score", "features") as report:
            scores = score_each(
                query,
                gallery,
                how,
                ranks=range(1, LAST_RANK + 1),
                device=torch_device(computing.device),
                progress=report,
            )
        for name in sorted(scores, key=lambda name: name == EMBEDDING):
            metrics = replace(scores[name], queries_identical=identical)
            rows.append(Scored(name, how.rerank, metrics, papers.row(name, how.rerank)))
    how = replace(scoring, rerank=rerank)
    crops = other_crops(checkpoint, images.shards)
    return Evaluation(about, how, _with_person(gallery), papers.remarks, tuple(rows), tracklet_images, crops)


def _with_person(features: Features) -> int:
    """How many images or tracklets show somebody."""
    return int((features.pids >= 0).sum())


def _features(
    checkpoint: Checkpoint,
    images: RankedImages,
    about: Mapping[str, Any],
    computing: Computing,
    file: Path | None,
    progress: Steps,
) -> tuple[Features, Features]:
    """Features of queries and gallery, from a file or computed, and then kept in it."""
    if file is not None and file.suffix != NPZ:
        raise ReidError(f"--features {file}: must end in {NPZ}")
    if file is not None and file.exists():
        found = read_about(file)
        others = [f"{key} {found.get(key)}, wanted {about[key]}" for key in _SAME if found.get(key) != about[key]]
        if others:
            raise ReidError(
                f"--features {file}: has features of another model, or computed otherwise ({'; '.join(others)}); "
                "give another file, or delete this one"
            )
        return images.read(file, list(found["dimensions"]))
    with open_output(file) if file is not None else nullcontext() as output, progress("features") as report:
        query, gallery = images.features(Extractor(checkpoint, computing), report)
        if output is not None:
            output.write(query, QUERY, len(query.pids))
            output.write(gallery, GALLERY, len(gallery.pids))
            samples = len(query.pids) + len(gallery.pids)
            output.finish({**about, "samples": samples, "dimensions": query.dimensions})
    return query, gallery
