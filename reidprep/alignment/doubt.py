"""How doubtful alignments are, to look at the worst first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import POOR_FIT_RESIDUAL, Flag

FLAG_DOUBT = {
    Flag.DEGENERATE_BOXES: 8.0,
    Flag.FEW_JOINTS: 4.0,
    Flag.POOR_FIT: 1.0,
    Flag.WRONG_JOINT: 1.0,
    Flag.TRUNCATED: 0.5,
}
"""What each flag adds to `doubt`; the share of filled joints and the residual add at most 2 and 1."""


def doubt(flags: NDArray[np.int32], filled: NDArray[np.bool_], residuals: NDArray[np.float32]) -> NDArray[np.float64]:
    """How doubtful each alignment is: degenerate boxes, then few joints, then filled joints and residual.

    Args:
        flags: (n,) of `Flag`.
        filled: (n, 18), True where a joint was estimated.
        residuals: (n,) as a fraction of body height.

    Returns:
        (n,) float64, 0 for a flawless sample.
    """
    total: NDArray[np.float64] = 2.0 * filled.mean(axis=1)
    # Beyond twice the threshold a fit is simply wrong, and the number says nothing more.
    total += np.nan_to_num(residuals.astype(np.float64), nan=np.inf).clip(0, 2 * POOR_FIT_RESIDUAL) / (
        2 * POOR_FIT_RESIDUAL
    )
    for flag, weight in FLAG_DOUBT.items():
        total += weight * (flags & int(flag) > 0)
    return total
