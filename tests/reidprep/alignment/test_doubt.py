import numpy as np

from reidprep.alignment.align import Flag
from reidprep.alignment.doubt import doubt


def test_doubt_ranks_degenerate_before_few_before_the_rest() -> None:
    flags = [Flag.DEGENERATE_BOXES, Flag.FEW_JOINTS | Flag.POOR_FIT, Flag.FEW_JOINTS, Flag.POOR_FIT, Flag(0), Flag(0)]
    filled = np.zeros((6, 18), dtype=np.bool_)
    filled[4, :9] = True
    residuals = np.array([0, np.nan, 0, 0.15, 0.01, 0.01], dtype=np.float32)
    doubts = doubt(np.array(flags, dtype=np.int32), filled, residuals)
    assert np.isfinite(doubts).all()
    assert np.argsort(-doubts).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_flags_decide_over_everything_else() -> None:
    """No number of filled joints and no residual lifts a sample over one with a graver flag."""
    worst = np.ones((1, 18), dtype=np.bool_), np.full(1, 9, dtype=np.float32)
    best = np.zeros((1, 18), dtype=np.bool_), np.zeros(1, dtype=np.float32)
    rest = Flag.POOR_FIT | Flag.TRUNCATED
    few, lesser = np.array([Flag.FEW_JOINTS], np.int32), np.array([Flag.TRUNCATED], np.int32)
    degenerate, graver = np.array([Flag.DEGENERATE_BOXES], np.int32), np.array([Flag.FEW_JOINTS | rest], np.int32)
    assert doubt(few, *best) > doubt(lesser, *worst)
    assert doubt(degenerate, *worst) > doubt(graver, *worst)
