"""Recipes: validated configurations of a model and its training (docs/recipes.md)."""

from reidtrain.recipes.loading import (
    differences,
    load_recipe,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    stored_recipe,
)
from reidtrain.recipes.schema import (
    BatchShape,
    Execution,
    Input,
    Loss,
    Network,
    Optimizer,
    Recipe,
    Schedule,
    Stage,
    Validation,
)

__all__ = [
    "BatchShape",
    "Execution",
    "Input",
    "Loss",
    "Network",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Stage",
    "Validation",
    "differences",
    "load_recipe",
    "recipe_from_dict",
    "recipe_names",
    "recipe_to_dict",
    "recipe_to_yaml",
    "stored_recipe",
]
