"""Measure the rows of a table: train what is not trained yet, score it, fill the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from reidprep.errors import ReidError
from reidprep.files import read_file, write_file
from reidprep.progress import Steps, unseen_steps
from reidtrain.ablation.crops import Crops, Source, build, cut_otherwise
from reidtrain.ablation.plan import Ablation, Plan, Run
from reidtrain.ablation.report import Measured
from reidtrain.checkpoints import load_checkpoint
from reidtrain.evaluation.evaluate import evaluate
from reidtrain.evaluation.report import rounded_scores
from reidtrain.features.extractor import Computing
from reidtrain.metrics.scores import METRIC_NAMES
from reidtrain.training.fit import Machine, fit

State = Literal["done", "begun", "to do"]

SCORES = "scores.json"
_SCORES_VERSION = 1

Scores = dict[str, dict[str, float]]
"""Scores by feature, then by metric: rank1, rank5, rank10, rank20, mAP and mINP, 0 to 1."""


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        rows: all rows of the table, in its order.
        failures: what kept a run from ending, by the variant's name.
        remark: why rows are not for comparison with each other; empty if they are.
    """

    rows: tuple[Measured, ...]
    failures: dict[str, str]
    remark: str = ""


def run_folder(ablation: Ablation, run: Run) -> Path | None:
    """Where a run is, or will be; None before its shards are built."""
    return None if run.name is None else ablation.out / "runs" / run.name


def state(ablation: Ablation, run: Run) -> State:
    """How far a run has come."""
    folder = run_folder(ablation, run)
    if folder is None or not folder.exists():
        return "to do"
    return "done" if (folder / SCORES).exists() else "begun"


def run_table(
    ablation: Ablation,
    plan: Plan,
    *,
    machine: Machine | None = None,
    progress: Steps = unseen_steps,
    log: Callable[[str], None] = lambda line: None,
) -> Result:
    """Train and score the networks of a table that are not done yet.

    A run that fails is noted, and the others go on. Runs that were interrupted, here or by a kill, go on when this is
    called again.

    Args:
        ablation: what is asked for.
        plan: of it, by `plan_runs`.
        machine: what to compute on, one device.
        progress: shows how far each step is.
        log: is given lines for the reader.
    """
    machine = machine or Machine()
    measured: dict[str, Measured] = {}
    failures: dict[str, str] = {}
    shards: dict[Crops, Source] = {}
    used: list[Path] = []
    for number, run in enumerate(plan.runs, start=1):
        log(f"run {number} of {len(plan.runs)}: {run.variant.name}")
        folder, scores = None, None
        try:
            run = replace(run, source=_built(ablation, run.source, shards, machine, progress))
            used.append(run.source.path)
            folder = run_folder(ablation, run)
            assert folder is not None, "the shards are built"
            scores = _measure(ablation, run, folder, machine, progress, log)
        except ReidError as error:
            failures[run.variant.name] = str(error)
            log(f"failed: {error}")
        for row in run.rows:
            chosen = None
            if scores is not None:
                chosen = {metric: scores[row.feature][metric] for metric in ablation.table.metrics}
            measured[row.label] = Measured(row, None if folder is None else str(folder), chosen)
    return Result(tuple(measured[row.label] for row in ablation.table.rows), failures, cut_otherwise(used))


def _built(ablation: Ablation, source: Source, built: dict[Crops, Source], machine: Machine, progress: Steps) -> Source:
    """The shards, built if they were not given; each once."""
    if source.given:
        return source
    if source.crops not in built:
        assert ablation.poses is not None, "without poses all shards are given"
        with progress(f"shards {source.crops.name}", "images") as report:
            workers = max(1, machine.workers)
            built[source.crops] = build(source, ablation.poses, ablation.images, workers, report)
    return built[source.crops]


def _measure(
    ablation: Ablation, run: Run, folder: Path, machine: Machine, progress: Steps, log: Callable[[str], None]
) -> Scores:
    """The scores of a run, from its folder or anew."""
    known = _read_scores(folder, {row.feature for row in run.rows})
    if known is not None:
        return known
    with progress("train", "images") as report:
        fit(run.source.path, folder, run.recipe, init=ablation.init, machine=machine, progress=report, log=log)
    checkpoint = load_checkpoint(folder)
    computing = Computing(machine.device, machine.workers, checkpoint.recipe.validation.batch_size)
    evaluation = evaluate(checkpoint, run.source.path, computing=computing, progress=progress)
    scores = {row.feature: rounded_scores(row.metrics) for row in evaluation.rows}
    scoring = evaluation.scoring
    content = {
        "version": _SCORES_VERSION,
        "epoch": checkpoint.epoch,
        "protocol": scoring.protocol,
        "metric": scoring.metric,
        "ap": scoring.ap,
        "features": scores,
    }
    write_file(folder / SCORES, (json.dumps(content, indent=1) + "\n").encode())
    return scores


def _read_scores(run: Path, wanted: Set[str]) -> Scores | None:
    """The scores of the `wanted` features that were kept with a run; None if there are none yet.

    Raises:
        ReidError: damaged, or of an unknown version.
    """
    try:
        content = json.loads(read_file(run / SCORES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ReidError(f"{run / SCORES}: cannot be read ({error}); delete it to have it made again") from None
    if not isinstance(content, dict) or content.get("version") != _SCORES_VERSION:
        raise ReidError(f"{run / SCORES}: is of an unknown version; delete it to have it made again")
    try:
        return {
            feature: {name: float(content["features"][feature][name]) for name in METRIC_NAMES} for feature in wanted
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ReidError(f"{run / SCORES}: {error!r} is missing or wrong; delete it to have it made again") from None
