"""Typical poses: the set, learning it, and completing measured joints from it (paper 1, section 3.2).

docs/canonical-poses.md describes the method and how well it does.
"""

from reidprep.canonical.filling import Filled, fill
from reidprep.canonical.learning import learn
from reidprep.canonical.poses import CanonicalPoses, load, to_json

__all__ = ["CanonicalPoses", "Filled", "fill", "learn", "load", "to_json"]
