"""Which networks a table needs trained, on what, and in which folder each belongs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.poses.format import DatasetPlan
from reidprep.poses.reader import PoseSet
from reidprep.shards.reader import ShardSet
from reidtrain.ablation.crops import Crops, Source, dataset_plan, find
from reidtrain.checkpoints import checkpoint_path
from reidtrain.evaluation.comparison import other_people
from reidtrain.papers.rows import dataset_column
from reidtrain.papers.tables import PAPER_BETA, Row, Table
from reidtrain.papers.variants import Variant
from reidtrain.recipes.loading import load_recipe, recipe_to_dict
from reidtrain.recipes.schema import Recipe
from reidtrain.recipes.variants import check_overrides, resolve, variant_recipe

_DIGITS = 8


@dataclass(frozen=True)
class Ablation:
    """What is asked for.

    Attributes:
        table: whose rows to measure.
        out: folder of the runs of all tables, and of the shards that had to be built.
        shards: directories to use where they have the crops of a row.
        poses: to build other shards from.
        images: where the images of the poses are, None for where they were.
        recipe: name or file of the recipe that the rows change; None is the shipped one for the dataset.
        overrides: `key=value` for that recipe.
        dataset: column of the paper to compare with; None is that of the data.
        beta: 48ths of the body height, where the table does not vary it.
        init: weights that every run starts from.
    """

    table: Table
    out: Path
    shards: tuple[Path, ...] = ()
    poses: Path | None = None
    images: Path | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    dataset: str | None = None
    beta: int = PAPER_BETA
    init: Path | None = None


@dataclass(frozen=True)
class Run:
    """A network to train.

    Attributes:
        variant: with its lambda and beta.
        recipe: it is trained by.
        source: its shards.
        init_sha256: of the weights it starts from, None for random ones.
        rows: of the table, that it serves.
    """

    variant: Variant
    recipe: Recipe
    source: Source
    init_sha256: str | None
    rows: tuple[Row, ...]

    @property
    def name(self) -> str | None:
        """Name of its folder, from recipe, data and first weights; None before the shards are built."""
        if self.source.manifest_sha256 is None:
            return None
        content = {
            "recipe": recipe_to_dict(self.recipe),
            "shards": self.source.manifest_sha256,
            "init": self.init_sha256,
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.variant.name}-{digest[:_DIGITS]}"


@dataclass(frozen=True)
class Plan:
    """All networks of a table.

    Attributes:
        runs: each once, in the order of the rows.
        dataset: column of the paper, None where it has none.
        recipe_name: of the recipe that the rows change.
        remark: why the column's figures are not for comparison; empty if they are.
    """

    runs: tuple[Run, ...]
    dataset: str | None
    recipe_name: str
    remark: str = ""


def plan_runs(ablation: Ablation) -> Plan:
    """Which networks to train for a table.

    Raises:
        ReidError: no shards or poses for a row, several datasets, or a recipe that does not serve.
    """
    check_overrides(ablation.overrides)
    data = dataset_plan(ablation.shards, ablation.poses)
    dataset = ablation.dataset or dataset_column(data.name, data.options)
    recipe_name = ablation.recipe or _recipe_name(ablation.table, data)
    base = load_recipe(recipe_name, ablation.overrides)
    init_sha256 = None
    if ablation.init is not None:
        init_sha256 = file_sha256(checkpoint_path(ablation.init))
        if init_sha256 is None:
            raise ReidError(f"{ablation.init}: the weights cannot be read")
    runs: dict[Variant, Run] = {}
    for row in ablation.table.rows:
        variant = resolve(row.variant, base, ablation.beta)
        if variant in runs:
            runs[variant] = replace(runs[variant], rows=(*runs[variant].rows, row))
            continue
        source = find(Crops.of(variant), ablation.shards, ablation.out / "shards", ablation.poses)
        runs[variant] = Run(variant, variant_recipe(variant, base), source, init_sha256, (row,))
    return Plan(tuple(runs.values()), dataset, recipe_name, _remark(ablation, data, dataset))


def _remark(ablation: Ablation, data: DatasetPlan, column: str | None) -> str:
    """Why the figures of a column are not for comparison with those of the data."""
    if column is None:
        return ""
    if column != (own := dataset_column(data.name, data.options)):
        return f"The paper's figures are of {column}, ours of {own or data.name}."
    if ablation.shards:
        query, gallery = (ShardSet.open(ablation.shards[0], split).pids for split in ("query", "gallery"))
    else:
        assert ablation.poses is not None, "there is data"
        pids, splits = PoseSet(ablation.poses).columns("pids", "splits")
        query, gallery = (pids[splits == split] for split in ("query", "gallery"))
    others = other_people(column, query, gallery)
    return f"The paper's figures are not for comparison with ours: {others}." if others else ""


def _recipe_name(table: Table, dataset: DatasetPlan) -> str:
    name = dataset.name
    return f"{table.paper}-{name if name in ('dukemtmc', 'cuhk03') else 'market1501'}"
