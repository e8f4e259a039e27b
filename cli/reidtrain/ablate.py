"""`reidtrain ablate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reidprep.text import counted
from reidtrain.papers.tables import ABLATIONS, DATASETS, PAPER_BETA

from ..common import print_json, progress, say
from ..options import decoders_option, device_option, first_which_option, json_option, known_recipe

if TYPE_CHECKING:
    from reidtrain.ablation.plan import Ablation, Plan
    from reidtrain.checkpoints import Which

DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="The papers' tables of variants, measured.")
@click.argument("table", type=click.Choice(list(ABLATIONS)), metavar="TABLE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of all runs; tables share it.")
@click.option("--poses", type=DIRECTORY, help="Poses to build the shards of the rows from.")
@click.option("--source", type=click.Path(exists=True, path_type=Path), help="Where their images are now.")
@click.option("--shards", type=DIRECTORY, multiple=True, help="Shards to use for the rows they serve; may be repeated.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Column of the paper.  [default: that of the data]")
@click.option(
    "--recipe",
    callback=known_recipe,
    metavar="NAME|FILE",
    help="What the rows change.  [default: the paper's, for the dataset]",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value of it; may be repeated.")
@click.option("--init", type=click.Path(exists=True, path_type=Path), help="Weights that every run starts from.")
@first_which_option
@click.option(
    "--beta",
    type=click.IntRange(0, 48),
    default=PAPER_BETA,
    help="Overlap of the parts in 48ths of the body height, where the table does not vary it.",
)
@device_option
@decoders_option
@click.option("--dry-run", is_flag=True, help="List the runs and how far they are.")
@json_option
def ablate(
    table: str,
    out: Path,
    poses: Path | None,
    source: Path | None,
    shards: tuple[Path, ...],
    dataset: str | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    init: Path | None,
    which: Which,
    beta: int,
    device: str,
    workers: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train and score the networks of a table, and print the table with a column of ours.

    TABLE is 6 to 11 of the attention-driven paper, or self-attention-1, Table 1 of the self-attention paper.
    What is done already, for this or another table in the same folder, is not done again. Exit status 1: a run failed,
    and the other rows are printed.

    \b
    Example:
      reidtrain ablate 6 --poses poses --out ablation --dry-run
      reidtrain ablate 6 --poses poses --out ablation --init imagenet
      reidtrain ablate 9 --shards shards --beta 3 --out quick --set stages.0.epochs=2
    """
    from reidtrain.ablation.plan import Ablation, plan_runs
    from reidtrain.ablation.report import as_text, as_values
    from reidtrain.ablation.runs import run_table
    from reidtrain.checkpoints import checkpoint_path
    from reidtrain.training.fit import Machine

    if init is not None:
        init = checkpoint_path(init, which)
    asked = Ablation(ABLATIONS[table], out, shards, poses, source, recipe, overrides, dataset, beta, init)
    plan = plan_runs(asked)
    if dry_run:
        _list_runs(asked, plan, as_json)
        return
    result = run_table(
        asked,
        plan,
        machine=Machine(device=device, workers=workers),
        progress=progress,
        log=say,
    )
    if as_json:
        remarks = [remark for remark in (plan.remark, result.remark) if remark]
        print_json(
            as_values(asked.table, plan.dataset, result.rows) | {"remarks": remarks, "failures": result.failures}
        )
    else:
        click.echo(as_text(asked.table, plan.dataset, result.rows))
        changed = "".join(f", {override}" for override in overrides)
        overlap = f"; beta {beta}/48 where the rows name none" if asked.table.paper == "attention-driven" else ""
        click.echo(f"\nrecipe {plan.recipe_name}{changed}{overlap}; {_start(init)}")
        column = f"The paper's figures are of {plan.dataset}." if plan.dataset else "The paper has no such dataset."
        click.echo(plan.remark or column)
        if result.remark:
            click.echo(result.remark)
        for name, reason in result.failures.items():
            click.echo(f"{name} failed: {reason}", err=True)
    if result.failures:
        sys.exit(1)


def _start(init: Path | None) -> str:
    return "random first weights" if init is None else f"first weights {init}"


def _list_runs(asked: Ablation, plan: Plan, as_json: bool) -> None:
    from reidtrain.ablation.runs import state

    runs: list[dict[str, Any]] = [
        {
            "run": run.name or run.variant.name,
            "state": state(asked, run),
            "epochs": run.recipe.epochs,
            "shards": str(run.source.path),
            "shards_state": "there" if run.source.manifest_sha256 else "to build",
            "rows": [row.label for row in run.rows],
        }
        for run in plan.runs
    ]
    if as_json:
        print_json({"dataset": plan.dataset, "recipe": plan.recipe_name, "runs": runs})
        return
    for run in runs:
        click.echo(f"{run['run']}: {run['state']}, {counted(run['epochs'], 'epoch')}")
        click.echo(f"  shards {run['shards']} ({run['shards_state']}); rows {'; '.join(run['rows'])}")
