"""Features and labels of a query and a gallery set in one `.npz` file."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.protocols import Protocol
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.metrics.scores import APVariant, RankingMetrics, average_splits

ARRAYS = (
    "query_features",
    "gallery_features",
    "query_pids",
    "gallery_pids",
    "query_camids",
    "gallery_camids",
)
"""The arrays of a file, in the order of the arguments of `evaluate_features`."""


def read_features(path: Path, names: Sequence[str] = ARRAYS) -> tuple[NDArray[Any], ...]:
    """Read the arrays with these names; nothing in the file is ever executed.

    Raises:
        ReidError: no such file, not an `.npz`, damaged, larger than the memory, or an array is missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        missing = [name for name in names if name not in sizes]
        if missing:
            found = ", ".join(sorted(sizes)[:20]) or "nothing"
            raise ReidError(f"{path} lacks {', '.join(missing)}; it holds {found}")
        needed, memory = sum(sizes[name] for name in names), _memory()
        if needed > memory:
            raise ReidError(
                f"{path} unpacks to {needed / 1e9:.1f} GB; this machine has {memory / 1e9:.1f} GB of memory"
            )
        with np.load(path, allow_pickle=False) as content:
            return tuple(content[name] for name in names)
    except FileNotFoundError:
        raise ReidError(f"{path}: no such file") from None
    except zipfile.BadZipFile:
        raise ReidError(f"{path} is not an .npz file, or a damaged one; numpy.savez writes them") from None
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, MemoryError) as error:
        raise ReidError(f"{path} cannot be read: {error}") from None


def _memory() -> float:
    """Bytes of memory of this machine, infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def score_files(
    paths: Sequence[Path], *, protocol: Protocol, ap: APVariant, metric: Metric, rerank: bool
) -> RankingMetrics:
    """Score one file of features, or several that are the splits of one test and count equally.

    Raises:
        ReidError: as `read_features` and `evaluate_features`, naming the file.
    """
    parameters = None
    if rerank:
        from reidtrain.metrics.reranking import Reranking

        parameters = Reranking()
    splits = []
    for path in paths:
        arrays = read_features(path)
        try:
            splits.append(evaluate_features(*arrays, metric=metric, rerank=parameters, ap=ap, protocol=protocol))
        except ReidError as error:
            raise ReidError(f"{path}: {error}") from None
    return average_splits(splits)
