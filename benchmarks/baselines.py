"""What a trained network has to be better than: colour histograms, and the same network before training.

    python benchmarks/baselines.py shards --recipe attention-driven-small [--set key=value] [checkpoint ...]

Scored on the identities that the recipe holds out, or with --test on the query and gallery images:

- histograms: hue, saturation and value (8 x 4 x 4 bins) of six horizontal strips of the whole-body crop, compared by
  the Hellinger distance, which is Euclidean between square roots of frequencies;
- untrained: the recipe's network with the weights that training starts from, its batch statistics first measured on
  training images, since it is in evaluation mode that it computes features; and without that;
- the checkpoints given.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint, make_preprocessor
from reidtrain.data.dataset import ShardDataset, collate
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.data.splits import choose_identities
from reidtrain.evaluation.images import RankedImages, held_out_images, query_gallery_images
from reidtrain.features.extractor import Computing, Extractor, compute_features
from reidtrain.features.files import EMBEDDING
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.models.factory import Model, build_model, run
from reidtrain.recipes.loading import load_recipe
from reidtrain.recipes.schema import Recipe

STRIPS = 6
BINS = (8, 4, 4)
RANGES = (0, 180, 0, 256, 0, 256)
BATCHES, BATCH = 16, 64

Embed = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def histograms(shards: ShardSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.stack([histogram(shards.pixels(row, ["whole"])["whole"]) for row in rows.tolist()])


def histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square roots of the frequencies of colours, strip after strip."""
    strips = np.array_split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), STRIPS)
    counts = np.stack([cv2.calcHist([strip], [0, 1, 2], None, BINS, RANGES).ravel() for strip in strips])
    return np.sqrt(counts / counts.sum(axis=1, keepdims=True)).ravel().astype(np.float32)


def untrained(shards: Path, recipe: Recipe, images: RankedImages, workers: int, measured: bool) -> Embed:
    train = ShardSet.open(shards, "train")
    trained, _ = choose_identities(train, recipe.identities, recipe.validation.identities, recipe.seed)
    model = build_model(recipe.model, len(trained), recipe.seed)
    preprocess = make_preprocessor(recipe, ChannelMeans.of(train), augmented=False).eval()
    if measured:
        rows = np.flatnonzero(np.isin(train.pids, trained))
        rows = np.random.default_rng(recipe.seed).permutation(rows)[: BATCHES * BATCH]
        measure(model, ShardDataset(train, model.views), rows, preprocess)
    model.eval()
    return lambda rows: compute_features(model, preprocess, images.shards, indices=rows, workers=workers).arrays[
        EMBEDDING
    ]


@torch.no_grad()
def measure(model: Model, dataset: ShardDataset, rows: NDArray[np.int64], preprocess: torch.nn.Module) -> None:
    """Set the batch statistics to their means over batches of training images."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    model.train()
    for batch in np.array_split(rows, -(-len(rows) // BATCH)):
        run(model, preprocess(collate([dataset[row] for row in batch.tolist()])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="*", metavar="checkpoint")
    parser.add_argument("--recipe", required=True, help="name or file; decides who is held out")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides")
    parser.add_argument("--test", action="store_true", help="score on the query and gallery images")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    images = query_gallery_images(arguments.shards) if arguments.test else held_out_images(arguments.shards, recipe)
    embeddings: dict[str, Embed] = {
        "histograms": lambda rows: histograms(images.shards, rows),
        "untrained": untrained(arguments.shards, recipe, images, arguments.workers, measured=True),
        "untrained, statistics 0 and 1": untrained(arguments.shards, recipe, images, arguments.workers, measured=False),
    }
    for path in arguments.checkpoints:
        checkpoint = load_checkpoint(path)
        if not arguments.test:
            held_out_images(arguments.shards, recipe, checkpoint.class_names)  # refuses a network that has seen them
        extractor = Extractor(checkpoint, Computing(workers=arguments.workers))
        embeddings[f"{path}, epoch {checkpoint.epoch}"] = lambda rows, extractor=extractor: extractor(
            images.shards, rows
        ).arrays[EMBEDDING]

    rows = np.union1d(images.query, images.gallery)
    query, gallery = (np.searchsorted(rows, some) for some in (images.query, images.gallery))
    pids, camids = images.shards.pids[rows], images.shards.camids[rows]
    print(
        f"{images.kind} images of {arguments.shards}: {len(query)} queries, {len(gallery)} gallery images", flush=True
    )
    width = max(map(len, embeddings)) + 2
    print(" " * width + f"{'Rank-1':>8}{'Rank-5':>8}{'mAP':>8}{'mINP':>8}")
    for name, embed in embeddings.items():
        features = embed(rows)
        labels = (pids[query], pids[gallery], camids[query], camids[gallery])
        metrics = evaluate_features(features[query], features[gallery], *labels, protocol=images.protocol)
        scores = (metrics.cmc_at(1), metrics.cmc_at(5), metrics.mAP, metrics.mINP)
        print(f"{name:<{width}}" + "".join(f"{100 * score:8.2f}" for score in scores), flush=True)


if __name__ == "__main__":
    main()
