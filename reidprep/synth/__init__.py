"""Drawn pedestrians with known joints: a small Market-1501-layout dataset for the demo and the tests."""

from reidprep.synth.dataset import SynthSummary, generate
from reidprep.synth.truth import Pck, Truth, load_truth, pck

__all__ = ["Pck", "SynthSummary", "Truth", "generate", "load_truth", "pck"]
