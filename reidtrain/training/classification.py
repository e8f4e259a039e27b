"""Training and validation for image classification, by the same trainer as for identities.

Apart from the package's other names: workers import those, and should not wait for Lightning.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidtrain.data.classification.base import ClassificationData
from reidtrain.data.classification.registry import open_classification
from reidtrain.data.classification.samples import ClassificationDataset, channel_means, classification_dataset
from reidtrain.data.dataset import Batch
from reidtrain.features.extractor import Computer
from reidtrain.losses import class_logits
from reidtrain.models.factory import Model, run
from reidtrain.recipes.schema import Recipe
from reidtrain.training.fit import Machine, RunResult, train
from reidtrain.training.tasks import Task


def pretrain(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    init: Path | None = None,
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress = unseen,
    validating: Progress = unseen,
    log: Callable[[str], None] | None = None,
) -> RunResult:
    """Train a recipe's network to classify images; the arguments, and what a run leaves, are those of `training.fit`.

    Args:
        data: see `open_classification`.
        out: the run folder, for `fit --init`.
        recipe: network and training.
        init: weights to start from.
        machine: what to compute on; one device by default.
        overwrite: start anew where a run is.
        progress: called with images done and in total.
        validating: called with images done and in total of a validation.
        log: called with a line for the reader now and then.

    Raises:
        ReidError: as `open_classification`, `classification_task` and `training.fit`.
    """
    opened = open_classification(data)
    machine = machine or Machine()
    if log and machine.is_first:
        for note in opened.notes:
            log(f"{opened.root}: {note}")
    return train(
        classification_task(opened, recipe),
        out,
        recipe,
        init=init,
        machine=machine,
        overwrite=overwrite,
        progress=progress,
        validating=validating,
        log=log,
    )


def classification_task(data: ClassificationData, recipe: Recipe) -> Task:
    """Learn to tell the classes of a data set apart, validated on its `val` images if there are any.

    Raises:
        ReidError: the recipe holds out or leaves out identities, which classes are not; or too many of the images
            cannot be read.
    """
    for key, value in (("identities", recipe.identities), ("validation.identities", recipe.validation.identities)):
        if value:
            raise ReidError(f"{key} is {value}: pre-training takes all classes and validates on val/; leave it out")
    views, sizes = recipe.model.views, recipe.input.sizes
    train_images = classification_dataset(data, "train", views, sizes)
    validate = None
    if data.val is not None and recipe.validation.every:
        validation_images = classification_dataset(data, "val", views, sizes)

        def validate(compute: Computer) -> dict[str, float]:
            return error_rates(compute, validation_images)

    return Task(
        dataset=train_images,
        labels=train_images.labels,
        classes=len(data.classes),
        means=channel_means(data, np.random.default_rng(recipe.seed)),
        source={
            "kind": "classification",
            "path": str(data.root),
            "format": data.name,
            "fingerprint": data.fingerprint,
            "images": len(data.train),
            "validation": "none" if validate is None else "val",
        },
        class_names=data.classes,
        validate=validate,
        validation_images=0 if validate is None or data.val is None else len(data.val),
        monitor="accuracy",
    )


def error_rates(compute: Computer, dataset: ClassificationDataset) -> dict[str, float]:
    """Accuracy, and how often the true class is not the first, and not among the first five, of the classes.

    A class with the same logit as the true one counts as before it, and so does one where a logit is not a number.
    """
    ranks = compute(dataset, _ranks, None)["rank"]
    top1, top5 = (float(np.mean(ranks >= k)) for k in (1, 5))
    return {"accuracy": 1 - top1, "top1_error": top1, "top5_error": top5}


def _ranks(model: Model, inputs: Batch) -> dict[str, Tensor]:
    """Number of classes before the true one, (n,) int64."""
    return {"rank": class_ranks(class_logits(run(model, inputs)), inputs.labels)}


def class_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the true one.

    Args:
        logits: (n, classes).
        labels: (n,) int64.

    Returns:
        (n,) int64, 0 to classes - 1.
    """
    own = logits.gather(1, labels[:, None])
    return torch.logical_not(logits < own).sum(1) - 1
