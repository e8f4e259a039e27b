"""The recipe of a variant, and the variant of a recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from reidprep.errors import ReidError
from reidprep.shards.format import ShardPlan
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.self_attention import SelfAttentionConfig
from reidtrain.papers.networks import ATTENTION_DRIVEN, SELF_ATTENTION
from reidtrain.papers.variants import AttentionDrivenVariant, Ranking, SelfAttentionVariant, Variant
from reidtrain.recipes.schema import Network, Recipe, Stage

SWITCHES = {
    "attention-driven": ("branches", "attention", "fusion"),
    "self-attention": ("dilation", "stage6", "multi_level", "depth"),
}
"""What of a network the rows of the tables decide."""
_VARIANTS: dict[str, Mapping[str, AttentionDrivenConfig] | Mapping[str, SelfAttentionConfig]] = {
    "attention-driven": ATTENTION_DRIVEN,
    "self-attention": SELF_ATTENTION,
}
_DECIDED = re.compile(
    rf"network|base|model(\.({'|'.join(name for names in SWITCHES.values() for name in names)}))?"
    r"|stages|stages\.\d+(\.loss(\.(softmax|branch_weight|sac|ranking))?)?"
)
"""Keys of a recipe that the rows of the tables decide."""


def check_overrides(overrides: Iterable[str]) -> None:
    """Refuse overrides of what the rows of the tables differ in.

    Raises:
        ReidError: names the key.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if _DECIDED.fullmatch(key):
            raise ReidError(f"--set {override}: the rows of the tables decide {key}; use 'reidtrain fit' to change it")


def resolve(variant: Variant, base: Recipe, beta: int) -> Variant:
    """The variant with a lambda and a beta, where it has them; variants that are trained alike become equal.

    Args:
        variant: of a row.
        base: recipe whose lambda a variant without one takes.
        beta: 48ths of the body height, for a variant without one.
    """
    if isinstance(variant, SelfAttentionVariant):
        return variant
    learnt = ATTENTION_DRIVEN[variant.model].fusion != "concatenation"
    weight = variant.branch_weight if variant.branch_weight is not None else base.stages[-1].loss.branch_weight
    overlap = variant.beta if variant.beta is not None else beta
    return replace(
        variant,
        branch_weight=weight if learnt else None,
        beta=overlap if variant.alignment == "pose" else None,
    )


def variant_recipe(variant: Variant, base: Recipe) -> Recipe:
    """The recipe that trains a variant: `base`, but for what the variant is about.

    Weights of the losses are those of `base`, 1 where it has none. Self-attention variants without a ranking loss are
    trained in the stages of `base` without one, variants without softmax in those with one (docs/reproducing.md).

    Raises:
        ReidError: a recipe of the other network, or without a stage the variant could be trained in.
    """
    network: Network = "attention-driven" if isinstance(variant, AttentionDrivenVariant) else "self-attention"
    if base.network != network:
        raise ReidError(f"the recipe is for the {base.network} network, the table for the {network} one")
    model = replace(base.model, **_switches(network, _VARIANTS[network][variant.model]))
    if isinstance(variant, SelfAttentionVariant):
        stages = [_self_attention_stage(stage, variant) for stage in _stages(base, variant)]
    elif variant.branch_weight is None:
        stages = list(base.stages)
    else:
        weight = variant.branch_weight
        stages = [replace(stage, loss=replace(stage.loss, branch_weight=weight)) for stage in base.stages]
    return replace(base, model=model, stages=tuple(stages))


def _stages(base: Recipe, variant: SelfAttentionVariant) -> list[Stage]:
    with_ranking = [stage for stage in base.stages if stage.loss.ranking != "none"]
    if variant.ranking != "none":
        if not with_ranking:
            raise ReidError(
                f"the recipe has no stage with a ranking loss, which {variant.name} is trained on; add one, as "
                "the recipe self-attention-market1501 has"
            )
        return list(base.stages) if variant.softmax else with_ranking
    return [stage for stage in base.stages if stage.loss.ranking == "none"] or list(base.stages)


def _self_attention_stage(stage: Stage, variant: SelfAttentionVariant) -> Stage:
    try:
        loss = replace(
            stage.loss,
            softmax=(stage.loss.softmax or 1.0) if variant.softmax else 0.0,
            sac=(stage.loss.sac or 1.0) if variant.sac else 0.0,
            ranking=variant.ranking if stage.loss.ranking != "none" else "none",
        )
    except ValidationError:
        raise ReidError(
            f"stage {stage.name!r} of the recipe leaves {variant.name} nothing to learn from; set its "
            "loss.ranking_weight above 0"
        ) from None
    return replace(stage, loss=loss)


def _switches(network: Network, model: object) -> dict[str, Any]:
    return {name: getattr(model, name) for name in SWITCHES[network]}


def recipe_variant(recipe: Recipe, plan: ShardPlan) -> Variant | None:
    """The variant that a recipe and the plan of its shards train; None for a network in none of the tables.

    Args:
        recipe: of a trained network.
        plan: of the manifest of the shards it was trained on.
    """
    own = _switches(recipe.network, recipe.model)
    variants = _VARIANTS[recipe.network]
    name = next((name for name, known in variants.items() if _switches(recipe.network, known) == own), None)
    if name is None:
        return None
    if recipe.network == "attention-driven":
        return resolve(AttentionDrivenVariant(name, None, plan.alignment), recipe, beta_in_48ths(plan))
    losses = [stage.loss for stage in recipe.stages]
    rankings: list[Ranking] = ["none", *(loss.ranking for loss in losses if loss.ranking != "none")]
    softmax, sac = any(loss.softmax for loss in losses), any(loss.sac for loss in losses)
    return SelfAttentionVariant(name, softmax, rankings[-1], sac)


def beta_in_48ths(plan: ShardPlan) -> int:
    """Overlap of the parts in shards, in the steps of Table 11: the H/10 of the text is 5."""
    return round(48 * plan.beta)
