"""Which gallery images count for a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.text import counted
from reidtrain.metrics.arrays import on_host

if TYPE_CHECKING:
    from reidtrain.metrics.arrays import Numbers

Protocol = Literal["market1501", "no-cameras", "cuhk03-np", "cuhk03-classic", "cuhk03-classic-any-camera"]
PROTOCOLS: Mapping[Protocol, str] = MappingProxyType(
    {
        "market1501": "all gallery images but those of the query's person at the query's camera",
        "no-cameras": "all gallery images, whatever their cameras",
        "cuhk03-np": "the same rule as market1501, under the name of CUHK03's 767/700 split",
        "cuhk03-classic": "one random image per person, all from other cameras than the query's; expectation",
        "cuhk03-classic-any-camera": "one random image per person, impostors from any camera; expectation",
    }
)

WHOLE_GALLERY: frozenset[Protocol] = frozenset({"market1501", "no-cameras", "cuhk03-np"})
"""The protocols that draw no gallery at random."""

JUNK = -1
"""Person id of a detection that shows no person of the set; ignored wherever it ranks."""

_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Labels:
    """Person and camera of each query and gallery image, and the gallery sorted by person.

    Attributes:
        query_pids: (queries,) int64.
        gallery_pids: (gallery,) int64.
        query_camids: (queries,) int64.
        gallery_camids: (gallery,) int64.
        order: (gallery,) gallery indices by ascending pid.
        sorted_pids: `gallery_pids[order]`.
    """

    query_pids: NDArray[np.int64]
    gallery_pids: NDArray[np.int64]
    query_camids: NDArray[np.int64]
    gallery_camids: NDArray[np.int64]
    order: NDArray[np.int64]
    sorted_pids: NDArray[np.int64]

    @classmethod
    def checked(
        cls,
        query_pids: Numbers,
        gallery_pids: Numbers,
        query_camids: Numbers,
        gallery_camids: Numbers,
        queries: int,
        gallery: int,
    ) -> Labels:
        """Labels of `queries` query images and `gallery` gallery images.

        Raises:
            ReidError: an array that is not whole numbers, not one-dimensional or of another length.
        """
        given = {
            "query_pids": (query_pids, queries),
            "gallery_pids": (gallery_pids, gallery),
            "query_camids": (query_camids, queries),
            "gallery_camids": (gallery_camids, gallery),
        }
        arrays = {name: _whole_numbers(name, values, length) for name, (values, length) in given.items()}
        order = np.argsort(arrays["gallery_pids"], kind="stable")
        return cls(**arrays, order=order, sorted_pids=arrays["gallery_pids"][order])

    def under(self, protocol: Protocol) -> Labels:
        """The labels that a protocol goes by: without cameras, as if no image shared its camera with a query."""
        if protocol != "no-cameras":
            return self
        return replace(
            self, query_camids=np.zeros_like(self.query_camids), gallery_camids=np.ones_like(self.gallery_camids)
        )

    def same_person(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of a query of `start:stop` and a gallery image of the same person.

        Returns:
            Query rows relative to `start`, ascending, and gallery indices, both (pairs,); none for a junk query.
        """
        pids = self.query_pids[start:stop]
        low = np.searchsorted(self.sorted_pids, pids, side="left")
        high = np.searchsorted(self.sorted_pids, pids, side="right")
        counts = np.where(pids == JUNK, 0, high - low)
        rows = np.repeat(np.arange(len(pids)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.order[np.repeat(low, counts) + within]

    def _matches(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which queries' persons are in the gallery, and which are so at another camera."""
        people, firsts = np.unique(self.sorted_pids, return_index=True)
        camids = self.gallery_camids[self.order]
        lowest, highest = np.minimum.reduceat(camids, firsts), np.maximum.reduceat(camids, firsts)
        at = np.minimum(np.searchsorted(people, self.query_pids), len(people) - 1)
        known = (people[at] == self.query_pids) & (self.query_pids != JUNK)
        return known, known & ((lowest[at] != self.query_camids) | (highest[at] != self.query_camids))

    def require_match(self, protocol: Protocol) -> None:
        """Check that at least one query can be scored.

        Raises:
            ReidError: no query has a match; the message lists the pids and cameras.
        """
        if not (self.gallery_pids != JUNK).any():
            raise ReidError(
                f"protocol {protocol}: all of {counted(len(self.gallery_pids), 'gallery image')} are of no person "
                f"(pid {JUNK}), "
                f"nothing can be scored. Query pids {_listed(self.query_pids)} at cameras "
                f"{_listed(self.query_camids)}; gallery at cameras {_listed(self.gallery_camids)}"
            )
        known, matched = self._matches()
        if matched.any():
            return
        shared = np.unique(self.query_pids[known])
        cause = (
            f"the {len(shared)} persons in both ({_listed(shared)}) appear at the same camera only, "
            "and gallery images of the query's person at the query's camera are ignored; --protocol no-cameras takes "
            "no notice of cameras, for images of one alone or of cameras that are not known"
            if len(shared)
            else "query and gallery have no person in common"
        )
        raise ReidError(
            f"protocol {protocol}: no query has a match in the gallery, nothing can be scored: {cause}. "
            f"Query pids {_listed(self.query_pids)} at cameras {_listed(self.query_camids)}; "
            f"gallery pids {_listed(self.gallery_pids)} at cameras {_listed(self.gallery_camids)}"
        )


def _whole_numbers(name: str, values: Numbers, length: int) -> NDArray[np.int64]:
    array = on_host(values)
    if array.ndim != 1:
        raise ReidError(f"{name} has shape {array.shape}; it needs one dimension, a whole number per image")
    if not np.issubdtype(array.dtype, np.integer):
        raise ReidError(f"{name} holds {array.dtype}; it needs whole numbers, such as int64")
    if array.dtype.kind == "u" and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ReidError(f"{name} holds {array.max()}, which is larger than whole numbers may be: {2**63 - 1}")
    if len(array) != length:
        raise ReidError(
            f"{name} has {counted(len(array), 'entry', 'entries')} for {counted(length, 'image')}; the lengths must "
            "agree"
        )
    return array.astype(np.int64, copy=False)


def _listed(values: NDArray[np.int64]) -> str:
    unique = np.unique(values)
    shown = ", ".join(str(value) for value in unique[:_SHOWN])
    return shown if len(unique) <= _SHOWN else f"{shown}, ... ({len(unique)} in all)"
