"""`reidtrain pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import COMPUTING, GroupedCommand, training_options
from .fit import train_and_print


@click.command(cls=GroupedCommand, short_help="Classified images -> weights for fit --init.", headings=COMPUTING)
@click.argument("data", type=click.Path(path_type=Path))
@training_options
def pretrain(data: Path, **options: Any) -> None:
    """Train a network to classify the images of DATA; `fit --init OUT` starts from what it learns.

    DATA has a folder of images for each class, below train/ and val/ or directly; or it holds CIFAR-100's binary
    files. An interrupted run goes on when the same command is given again.

    \b
    Example:
      reidtrain pretrain imagenet --out pretrained --recipe pretrain-attention-driven
      reidtrain pretrain cifar-100-binary --out cifar --recipe cifar100-resnet-dil-sac
      reidtrain fit shards --out run --recipe attention-driven-market1501 --init pretrained
    """
    train_and_print("pretrain", data, **options)
