"""`reidtrain`: models learnt from shards, and their evaluation."""

from __future__ import annotations

import click

from reidprep import __version__

from .common import CONTEXT, Group
from .complexity import complexity
from .score import score


@click.group(cls=Group, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="reidtrain")
def main() -> None:
    """Score person re-identification features, and measure the networks.

    \b
    Example:
      reidtrain score features.npz --protocol market1501
    """


for command in (score, complexity):
    main.add_command(command)
