"""`reidprep`: datasets to pose-aligned shards."""

from __future__ import annotations

import click

from reidprep import __version__

from ..common import CONTEXT, Group
from .build_shards import build_shards
from .demo import demo
from .export import export
from .extract_poses import extract_poses
from .fit_canonical import fit_canonical
from .info import info
from .inspect import inspect
from .preview import preview
from .synth import synth
from .verify import verify


@click.group(cls=Group, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="reidprep")
def main() -> None:
    """Turn person re-identification datasets into pose-aligned HDF5 shards.

    \b
    A dataset becomes shards in two steps, which you then look at:
      reidprep extract-poses Market-1501 poses
      reidprep build-shards poses shards
      reidprep preview shards preview
    """


for command in (extract_poses, build_shards, preview, inspect, verify, info, export, fit_canonical, synth, demo):
    main.add_command(command)
