"""Numbers in JSON that read back as the same float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def exact(values: NDArray[np.float32]) -> Any:
    """Nested lists of the shortest decimals that give `values` again when read as float32; None where not finite."""
    short = values.astype(np.str_).astype(np.float64)
    # A decimal is the nearest to its float32; read as a float64 first, it might in theory round to the neighbour.
    decimals = np.where(short.astype(np.float32) == values, short, values.astype(np.float64))
    boxed = decimals.astype(np.object_)
    boxed[~np.isfinite(values)] = None
    return boxed.tolist()
