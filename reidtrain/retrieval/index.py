"""Search in an index by faiss, for galleries too large to compare every image with every query.

The index only proposes candidates. Their distances are computed from the features themselves, so what is returned has
exact distances, and misses only what was not proposed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import FolderKind, file_sha256, read_file, require_file, whole_folder
from reidprep.progress import Progress, unseen
from reidprep.store.fields import checked
from reidprep.text import counted
from reidtrain.metrics.arrays import on_host
from reidtrain.metrics.distances import FeatureDistances, Metric, require_features
from reidtrain.retrieval.exact import require_search
from reidtrain.retrieval.gallery import Gallery, Nearest

if TYPE_CHECKING:
    from reidtrain.metrics.arrays import Numbers

Kind = Literal["ivfpq", "hnsw"]
"""`ivfpq`: features in 64 bytes each, on disk, by lists. `hnsw`: whole features and a graph, in memory."""

FAISS_FILE, FACTS_FILE = "index.faiss", "index.json"
CODE_BYTES = 64
_FEWEST_PER_CODE = 4
_FORMAT = 1
INDEX = FolderKind("an index", _FORMAT, FACTS_FILE, re.escape(FAISS_FILE), key="format")
_LINKS = 32
_ROWS_AT_ONCE = 16384
_FEWEST_FOR_CODES = 10_000
"""k-means of 256 centres wants 39 images for each."""

_TRAINING_BYTES = 1 << 30
_PER_LIST = 39
_SAMPLE = 256


@dataclass(frozen=True)
class Facts:
    """What an index is of, kept beside it."""

    format: int
    kind: Kind
    metric: Metric
    images: int
    dimension: int
    sample_sha256: str
    file_sha256: str | None = None
    """Of what faiss wrote; not known of an index that an earlier version built."""


def build_index(
    gallery: Sequence[Numbers],
    folder: Path,
    *,
    kind: Kind = "ivfpq",
    metric: Metric = "euclidean",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> Facts:
    """Write an index of a gallery.

    Args:
        gallery: parts of the gallery, as for `search`.
        folder: where to write; there whole or not at all.
        kind: see `Kind`.
        metric: `euclidean` or `cosine`.
        seed: draws what an `ivfpq` index is trained with.
        overwrite: replace an index that is there.
        progress: called with images done and in total.

    Raises:
        ReidError: features that `FeatureDistances.checked` refuses, too few of them for `ivfpq`, a folder in use, or
            faiss is not installed.
    """
    faiss = _faiss()
    require_search(1, metric)
    if kind not in get_args(Kind):
        raise ReidError(f"kind is {kind!r}; it is one of {', '.join(get_args(Kind))}")
    everything = Gallery.of(gallery)
    total = len(everything)
    if kind == "ivfpq" and total < _FEWEST_FOR_CODES:
        raise ReidError(
            f"the gallery holds {counted(total, 'image')}, and ivfpq needs {_FEWEST_FOR_CODES} to learn from; search "
            "it exactly, "
            "or build an hnsw index"
        )
    with whole_folder(folder, INDEX, overwrite=overwrite) as new:
        if kind == "hnsw":
            index = faiss.IndexHNSWFlat(everything.dimension, _LINKS)
        else:
            index = _trained(faiss, everything, metric, np.random.default_rng(seed))
        for first, block in everything.blocks(_ROWS_AT_ONCE):
            # Comparing one image with all checks them all.
            FeatureDistances.checked(block[:1], block, metric, first=first)
            index.add(_prepared(on_host(block), metric, index.d))
            progress(first + len(block), total)
        try:
            faiss.write_index(index, str(new / FAISS_FILE))
        except RuntimeError as error:
            raise ReidError(f"{folder / FAISS_FILE} cannot be written: {_short(error)}") from None
        written = file_sha256(new / FAISS_FILE)
        facts = Facts(_FORMAT, kind, metric, total, everything.dimension, _fingerprint(everything), written)
        (new / FACTS_FILE).write_text(json.dumps(asdict(facts), indent=2))
    return facts


def search_index(
    query_features: Numbers,
    folder: Path,
    gallery: Sequence[Numbers],
    *,
    top: int = 20,
    candidates: int = 200,
    visits: int = 256,
) -> Nearest:
    """Find gallery images near to each query by an index, ordered by their exact distances.

    Args:
        query_features: (queries, dimension) finite real numbers.
        folder: an index of this gallery.
        gallery: parts of the gallery, as for `search`.
        top: how many to find.
        candidates: how many the index proposes per query.
        visits: how thoroughly it looks: lists that are read (`ivfpq`), or length of the queue (`hnsw`).

    Raises:
        ReidError: features that `FeatureDistances.checked` refuses, no index, a damaged one, or one of another
            gallery; or faiss is not installed.
    """
    faiss = _faiss()
    everything = Gallery.of(gallery)
    facts = read_facts(folder)
    require_search(top, facts.metric)
    if visits < 1 or candidates < top:
        raise ReidError(f"visits are {visits} and candidates {candidates}; 1 and {top} (top) are the fewest")
    found = len(everything), everything.dimension, _fingerprint(everything)
    if found != (facts.images, facts.dimension, facts.sample_sha256):
        raise ReidError(
            f"{folder} is an index of {counted(facts.images, 'image')} with {counted(facts.dimension, 'dimension')}, "
            "and not of this gallery "
            f"of {counted(found[0], 'image')} with {found[1]}; build one of this gallery"
        )
    query = on_host(query_features)
    require_features("query_features", query)
    FeatureDistances.checked(query, everything.take(np.zeros(1, dtype=np.int64)), facts.metric)
    try:
        require_file(folder / FAISS_FILE)
    except OSError as error:
        raise ReidError(f"{folder / FAISS_FILE} cannot be read: {error.strerror}; build the index again") from None
    # faiss believes what a damaged file says, and may end the process.
    if facts.file_sha256 not in (None, file_sha256(folder / FAISS_FILE)):
        raise ReidError(
            f"{folder / FAISS_FILE} is damaged or was changed (its SHA-256 is another); build the index again"
        )
    try:
        # What an ivfpq index holds of the images is read from the disk when it is visited.
        index = faiss.read_index(str(folder / FAISS_FILE), faiss.IO_FLAG_MMAP if facts.kind == "ivfpq" else 0)
    except RuntimeError as error:
        raise ReidError(f"{folder / FAISS_FILE} cannot be read: {_short(error)}; build the index again") from None
    right_kind = isinstance(index, faiss.IndexIVF if facts.kind == "ivfpq" else faiss.IndexHNSW)
    if not (right_kind and index.ntotal == facts.images and 0 <= index.d - facts.dimension < CODE_BYTES):
        raise ReidError(f"{folder / FAISS_FILE} is not the index that {FACTS_FILE} describes; build the index again")
    if facts.kind == "ivfpq":
        parameters = faiss.SearchParametersIVF(nprobe=min(visits, index.nlist))
    else:
        parameters = faiss.SearchParametersHNSW(efSearch=max(visits, candidates))
    proposed = index.search(
        _prepared(query, facts.metric, index.d), min(candidates, len(everything)), params=parameters
    )[1]
    nearest = everything.measure(query, proposed, facts.metric)
    return Nearest(nearest.indices[:, :top], nearest.distances[:, :top])


def read_facts(folder: Path) -> Facts:
    """What an index is of.

    Raises:
        ReidError: the folder holds no index, or one by another version.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        raise ReidError(f"{folder} holds no index; `reidtrain index` builds one")
    try:
        facts = checked(json.loads(read_file(path)), Facts, path)
    except (OSError, ValueError, RecursionError) as error:
        raise ReidError(f"{path} cannot be read: {error}") from None
    if facts.format != _FORMAT:
        raise ReidError(f"{folder} has format {facts.format}, this version reads {_FORMAT}; build the index again")
    return facts


def _trained(faiss: Any, gallery: Gallery, metric: Metric, rng: np.random.Generator) -> Any:
    """An empty `ivfpq` index whose lists and codes are learnt from a sample of the gallery."""
    most = min(len(gallery), _TRAINING_BYTES // (4 * gallery.dimension))
    lists = 1 << int(np.log2(max(1, min(4 * np.sqrt(len(gallery)), most / _PER_LIST))))
    size = min(most, max(2 * _PER_LIST * lists, _FEWEST_FOR_CODES))
    codes = min(CODE_BYTES, -(-gallery.dimension // _FEWEST_PER_CODE))
    # Zeros at the end change no distance, and let the codes share the dimensions equally.
    width = -(-gallery.dimension // codes) * codes
    index = faiss.index_factory(width, f"IVF{lists},PQ{codes}x8")
    # Codes only choose candidates: they need not be the best there are, nor sorted for polysemous filtering.
    index.pq.cp.niter, index.pq.cp.max_points_per_centroid = 10, 64
    index.do_polysemous_training = False
    index.cp.seed, index.pq.cp.seed = (int(seed) for seed in rng.integers(2**31, size=2))
    chosen = np.sort(rng.choice(len(gallery), size, replace=False))
    index.train(_prepared(gallery.take(chosen), metric, width))
    return index


def _prepared(features: NDArray[Any], metric: Metric, width: int) -> NDArray[np.float32]:
    """(images, width) float32, of length 1 for cosines, filled up with zeros."""
    result = np.zeros((len(features), width), dtype=np.float32)
    result[:, : features.shape[1]] = features
    if metric == "cosine":
        result /= np.linalg.norm(result, axis=1, keepdims=True)
    return result


def _fingerprint(gallery: Gallery) -> str:
    """SHA-256 of some evenly spaced features, to tell galleries apart without reading them."""
    some = np.linspace(0, len(gallery) - 1, _SAMPLE).astype(np.int64)
    return hashlib.sha256(np.ascontiguousarray(gallery.take(some), dtype=np.float32).tobytes()).hexdigest()


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError:
        raise ReidError("an index needs faiss, which is not installed: pip install 'reidprep[faiss]'") from None
    return faiss
