"""MATLAB files of before version 7.3, which are no HDF5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError
from reidprep.files import open_file


def read_mat(file: Path, names: Sequence[str], extra: str) -> dict[str, Any]:
    """Those of the variables of a MATLAB file that it has.

    Args:
        file: the file.
        names: of the variables.
        extra: of this package, which installs what reads them.

    Raises:
        ReidError: it cannot be read, or scipy is missing.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ReidError(f"{file}: needs scipy; install it with: pip install 'reidprep[{extra}]'") from None
    try:
        with open_file(file) as opened:
            content: dict[str, Any] = loadmat(opened, variable_names=names)
    # A damaged file makes scipy raise errors of many kinds.
    except Exception as error:
        raise ReidError(f"{file}: cannot be read as a MATLAB file: {error}") from None
    return content
