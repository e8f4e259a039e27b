"""`reidprep info`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ..common import print_json
from ..options import json_option


@click.command(short_help="Describe a pose or shard folder.")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def info(path: Path, as_json: bool) -> None:
    """Describe a pose or shard folder: counts per split, joints, parameters, size.

    \b
    Example:
      reidprep info shards
    """
    from reidprep.info import describe
    from reidprep.text import printable, quoted

    content = describe(path)
    if as_json:
        print_json(content)
        return
    state = "complete" if content["complete"] else "NOT complete"
    click.echo(f"{path}: {content['kind']} (format {content['version']}, {content['tool']}), {state}")
    click.echo(f"  source    {content['source']}")
    click.echo(f"  rows      {content['rows']} in {content['files'] - 1} files, {content['bytes'] / 1e6:.1f} MB")
    for split, counts in content["splits"].items():
        click.echo(
            f"  {split:<9} {counts['images']} images, {counts['identities']} ids, "
            f"{counts['cameras']} cameras, {counts['junk']} junk"
        )
    for key in ("joints_found", "joints_filled"):
        if content.get(key):
            click.echo(f"  {key.replace('_', ' ')}")
            for joint, share in content[key].items():
                click.echo(f"    {joint:<11} {share:6.1%}")
    for key, value in content["summary"].items():
        click.echo(f"  {key:<16} {value}")
    for key, names in content["names"].items():
        if names:
            click.echo(f"  {key:<16} {printable(quoted(names))}")
    click.echo("  parameters")
    for key, value in flattened(content["plan"]):
        click.echo(f"    {key:<28} {value}")
    if content["skipped"]:
        click.echo(f"  skipped   {len(content['skipped'])} images, first: {content['skipped'][0]['path']}")


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested names joined by dots."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
