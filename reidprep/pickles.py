"""What files of PyTorch may hold besides tensors and plain values, without any code of theirs being run."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np


def numpy_scalars() -> list[Any]:
    """What `torch.serialization.safe_globals` takes for NumPy's numbers, such as a score beside the weights.

    They are made from a type and bytes, by NumPy alone.
    """
    scalar = np.float64(0).__reduce__()[0]
    # NumPy 2 renamed the module.
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdSU"}, *names]


def why_refused(error: Exception) -> str | None:
    """Why PyTorch did not unpickle a file, without its advice to let the file run code; None for another error."""
    if not isinstance(error, pickle.UnpicklingError | EOFError):
        return None
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f"it holds {found[1]}, which could run code" if found else "it is damaged, or another kind of file"
