"""`reidtrain`: models learnt from shards, and their evaluation."""

from __future__ import annotations

import click

from reidprep import __version__

from ..common import CONTEXT, Group
from .ablate import ablate
from .attention import attention
from .complexity import complexity
from .embed import embed
from .evaluate import evaluate
from .explore import explore
from .export import export
from .extract_features import extract_features
from .find import find
from .fit import fit
from .index import index
from .pretrain import pretrain
from .rank import rank
from .recipes import recipes
from .score import score
from .search import search


@click.group(cls=Group, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="reidtrain")
def main() -> None:
    """Train person re-identification networks from shards, and score them.

    \b
    Example:
      reidtrain fit shards --out run --recipe attention-driven-market1501
    """


for command in (
    *(pretrain, fit, recipes, ablate),
    *(evaluate, extract_features, score, explore, rank, attention),
    *(embed, find, index, search, export, complexity),
):
    main.add_command(command)
