"""`reidtrain complexity`."""

from __future__ import annotations

import click

from ..common import print_json
from ..options import json_option


@click.command(short_help="Parameters and multiply-adds beside the papers.")
@click.option("--classes", type=click.IntRange(1), default=751, help="Identities; 751 are Market-1501's.")
@json_option
def complexity(classes: int, as_json: bool) -> None:
    """Print parameters and multiply-adds of every model and variant, and the paper's figures.

    Parameters of the paper (Table 12) and of the first column leave the identity classifiers out.

    \b
    Example:
      reidtrain complexity
      reidtrain complexity --classes 702 --json
    """
    from dataclasses import asdict

    from reidtrain.papers.complexity import complexities

    models = list(complexities(classes))
    if as_json:
        print_json([asdict(model) for model in models])
        return
    click.echo(f"{'':<36}{'parameters, M':>16}{'multiply-adds, G':>19}{'paper (Table 12)':>19}")
    for model in models:
        parameters = model.total.parameters - model.classifiers.parameters
        paper = ""
        if model.paper is not None:
            paper = f"{model.paper.parameters / 1e6:.1f} / {model.paper.multiply_adds / 1e9:.2f}"
        click.echo(
            f"{model.model:<36}{parameters / 1e6:8.2f} +{model.classifiers.parameters / 1e6:5.2f} "
            f"{model.total.multiply_adds / 1e9:18.3f}{paper:>19}"
        )
    click.echo("(+ the identity classifiers)")
    for model in models:
        if model.model in ("attention-driven intra+inter", "self-attention dil+multi"):
            click.echo(f"\nshares of {model.model} at {model.input[0]}x{model.input[1]}")
            for name, cost in model.shares.items():
                click.echo(
                    f"  {name:<16}{cost.parameters / model.total.parameters:7.1%} of parameters"
                    f"{cost.multiply_adds / model.total.multiply_adds:8.1%} of multiply-adds"
                )
