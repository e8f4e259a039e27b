"""`reidprep info`."""

from __future__ import annotations

from pathlib import Path

import click

from reidprep.text import counted, flatten, printable, quoted

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

    content = describe(path)
    if as_json:
        print_json(content)
        return
    state = "complete" if content["complete"] else "NOT complete"
    click.echo(f"{path}: {content['kind']} (format {content['version']}, {content['tool']}), {state}")
    click.echo(f"  source    {content['source']}")
    click.echo(
        f"  rows      {content['rows']:,} in {counted(content['files'] - 1, 'file')}, {content['bytes'] / 1e6:.1f} MB"
    )
    for split, counts in content["splits"].items():
        click.echo(
            f"  {split:<9} {counted(counts['images'], 'image')}, {counted(counts['identities'], 'id')}, "
            f"{counted(counts['cameras'], 'camera')}, {counts['junk']:,} junk"
        )
    for key in ("joints_found", "joints_filled"):
        if content.get(key):
            click.echo(f"  {key.replace('_', ' ')}")
            for joint, share in content[key].items():
                click.echo(f"    {joint:<11} {share:6.1%}")
    for key, names in content["names"].items():
        if names:
            click.echo(f"  {key:<16} {printable(quoted(names))}")
    for title, values in (("summary", content["summary"]), ("parameters", content["plan"])):
        if values:
            click.echo(f"  {title}")
        for key, value in values.items():
            for name, text in flatten({key: value}):
                click.echo(f"    {name:<28} {printable(text)}")
    if content["skipped"]:
        skipped = counted(len(content["skipped"]), "image")
        click.echo(f"  skipped   {skipped}, first: {printable(content['skipped'][0]['path'])}")
