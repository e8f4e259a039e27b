"""`reidtrain recipes`."""

from __future__ import annotations

import click

from ..common import print_json
from ..options import json_option, known_recipe


@click.command(short_help="List the shipped recipes, or print one.")
@click.argument("recipe", required=False, callback=known_recipe, metavar="[NAME|FILE]")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value first, as `fit` does; may be repeated.",
)
@json_option
def recipes(recipe: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the shipped recipes; of one, print every value, those at their defaults included.

    \b
    Example:
      reidtrain recipes
      reidtrain recipes attention-driven-market1501 > mine.yaml
    """
    from reidtrain.recipes.loading import load_recipe, recipe_lines, recipe_to_dict, recipe_to_yaml

    if recipe is None:
        lines = recipe_lines()
        if as_json:
            print_json({"recipes": list(lines), "lines": lines})
        else:
            width = max(map(len, lines))
            click.echo("\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()))
        return
    chosen = load_recipe(recipe, overrides)
    if as_json:
        print_json(recipe_to_dict(chosen))
    else:
        click.echo(recipe_to_yaml(chosen), nl=False)
