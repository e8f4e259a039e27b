"""Recipes: validated configurations of a model and its training (docs/recipes.md)."""
