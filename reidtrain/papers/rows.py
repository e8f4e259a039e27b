"""The papers' figures for a variant; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reidtrain.papers.tables import ABLATIONS, CUHK03_DETECTED, CUHK03_LABELED, DUKE, HEADLINES, MARKET, PAPER_BETA
from reidtrain.papers.variants import AttentionDrivenVariant, Variant

BEST_BRANCH_WEIGHTS = {MARKET: 0.1, DUKE: 0.1, CUHK03_LABELED: 0.2, CUHK03_DETECTED: 0.2}
"""Lambda of the last row of Table 6."""


@dataclass(frozen=True)
class Benchmark:
    """How many persons there are in a dataset's training images, queries and gallery; impostors are one."""

    train: int
    query: int
    gallery: int


_CUHK03 = Benchmark(1367, 100, 100)
BENCHMARKS = {
    MARKET: Benchmark(751, 750, 751),
    DUKE: Benchmark(702, 702, 1110),
    CUHK03_LABELED: _CUHK03,
    CUHK03_DETECTED: _CUHK03,
}
"""What the papers trained and scored on."""


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table.

    Attributes:
        source: paper, table and row.
        scores: 0 to 1, by the names of metrics in `reidtrain score --json`.
        differences: what was trained otherwise there, such as `lambda 0.5`.
    """

    source: str
    scores: dict[str, float]
    differences: tuple[str, ...] = ()


def dataset_column(name: str, options: Mapping[str, str]) -> str | None:
    """Column of the papers' tables that a dataset belongs to, None for data they do not report on.

    Args:
        name: of the dataset's adapter.
        options: that it was opened with.
    """
    if name == "cuhk03":
        first_classic_split = options.get("protocol") == "classic" and options.get("split") == "1"
        return f"cuhk03-{options.get('boxes')}" if first_classic_split else None
    if name == MARKET:
        return MARKET if options.get("distractors") != "yes" else None
    return DUKE if name == DUKE else None


def paper_row(variant: Variant, dataset: str, *, feature: str = "embedding", rerank: bool = False) -> PaperRow | None:
    """The row of the papers for a feature of a trained network; the one with the nearest lambda and beta.

    Args:
        variant: the network, as `reidtrain.recipes.variants.recipe_variant` tells it.
        dataset: that it was scored on, one of `DATASETS`.
        feature: name in `reidtrain.features.files.Features.arrays`.
        rerank: whether the scores are re-ranked ones.
    """
    found: list[PaperRow] = []
    for table in (*HEADLINES, *ABLATIONS.values()):
        for row in table.rows:
            if (row.feature, row.rerank) != (feature, rerank) or dataset not in row.figures:
                continue
            differences = _differences(row.variant, variant, dataset)
            if differences is not None:
                source = f"{table.paper} paper, Table {table.number}, {row.label}"
                found.append(PaperRow(source, table.scores(row, dataset), differences))
    return min(found, key=lambda row: len(row.differences), default=None)


def _differences(theirs: Variant, ours: Variant, dataset: str) -> tuple[str, ...] | None:
    """Lambda and beta of the paper where they are others; None for another network, loss or alignment."""
    if not (isinstance(theirs, AttentionDrivenVariant) and isinstance(ours, AttentionDrivenVariant)):
        return () if theirs == ours else None
    if (theirs.model, theirs.alignment) != (ours.model, ours.alignment):
        return None
    differences = []
    weight = BEST_BRANCH_WEIGHTS[dataset] if theirs.branch_weight is None else theirs.branch_weight
    if ours.branch_weight not in (None, weight):
        differences.append(f"lambda {weight:g}")
    beta = PAPER_BETA if theirs.beta is None else theirs.beta
    if ours.beta not in (None, beta):
        differences.append(f"beta {beta}/48")
    return tuple(differences)
