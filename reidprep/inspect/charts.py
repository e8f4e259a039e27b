"""Counts and means as bars, each of which leads to the samples behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BARS = 24
# Percentiles: what lies far beyond them is put into one bar, or the others would be too narrow to tell anything.
_USUAL = (0.5, 99.5)


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        label: what it is of.
        text: its value.
        share: its length, 0 to 1.
        href: where the samples behind it are.
    """

    label: str
    text: str
    share: float
    href: str


@dataclass(frozen=True)
class Histogram:
    """Bars side by side.

    Attributes:
        bars: from the lowest values on.
        low: where the scale begins.
        high: where it ends.
        most: count of the highest bar.
        missing: how many have no value.
    """

    bars: tuple[Bar, ...]
    low: str
    high: str
    most: int
    missing: int


Link = Callable[[float | None, float | None], str]
"""Least and most, both included, None for no end -> address."""


def histogram(
    values: NDArray[np.float32],
    link: Link,
    *,
    unit: str = "samples",
    whole: bool = False,
    limit: float = math.inf,
) -> Histogram:
    """Count values in steps of a round width.

    Args:
        values: (n,) float32; those that are not finite count as missing.
        link: the address of the samples between two values.
        unit: what is counted.
        whole: the values are whole numbers.
        limit: no value can be larger.
    """
    finite = values[np.isfinite(values)]
    missing = len(values) - len(finite)
    if not len(finite):
        return Histogram((), "", "", 0, missing)
    edges, open_low, open_high = _edges(finite, whole)
    bounds = edges.astype(np.float64)
    bounds[0], bounds[-1] = (-np.inf if open_low else bounds[0]), (np.inf if open_high else bounds[-1])
    counts = np.histogram(finite, bounds)[0].tolist()
    most = max(counts)
    bars = []
    for i, count in enumerate(counts):
        low, end = (float(str(edge)) for edge in edges[i : i + 2])
        # The bar ends before the next one begins, and an address includes both of its bounds.
        high = end - 1 if whole else float(str(np.nextafter(edges[i + 1], np.float32(-np.inf))))
        least = None if open_low and i == 0 else low
        greatest = None if open_high and i == len(counts) - 1 else high
        label = _range(least, greatest, low, min(end, limit), whole)
        bars.append(Bar(label, f"{count:,} {unit}", count / most, link(least, greatest)))
    ends = [float(str(edges[0])), min(float(str(edges[-1])) - whole, limit)]
    return Histogram(
        tuple(bars),
        f"{'<' if open_low else ''}{ends[0] if not open_low else float(str(edges[1])):.4g}",
        f"{'>' if open_high else ''}{ends[1] if not open_high else float(str(edges[-2])):.4g}",
        most,
        missing,
    )


def _range(least: float | None, greatest: float | None, low: float, end: float, whole: bool) -> str:
    if least is None:
        return f"below {end:.4g}"
    if greatest is None:
        return f"{low:.4g} and more"
    if whole:
        return f"{low:.4g}" if greatest == low else f"{low:.4g} to {greatest:.4g}"
    return f"{low:.4g} to {end:.4g}" if low < end else f"{low:.4g}"


def _edges(values: NDArray[np.float32], whole: bool) -> tuple[NDArray[np.float32], bool, bool]:
    """Edges of the bars, ascending float32 as the values are, and whether the first and the last one have no end."""
    low, high = float(values.min()), float(values.max())
    usual_low, usual_high = (float(bound) for bound in np.percentile(values, _USUAL))
    reach = (usual_high - usual_low) / 4
    open_low, open_high = 0 < reach < usual_low - low, 0 < reach < high - usual_high
    bottom, top = (usual_low if open_low else low), (usual_high if open_high else high)
    # Edges have to differ as float32.
    finest = 8 * float(np.spacing(np.float32(max(abs(low), abs(high)))))
    step = round_step(max((top - bottom) / _BARS, finest), whole)
    first, last = math.floor(bottom / step), math.floor(top / step) + 1
    # Rounded to float32 an edge can come to lie on the other side of a value.
    first -= np.float32(first * step) > np.float32(bottom)
    last += np.float32(last * step) <= np.float32(top)
    edges = np.arange(first - open_low, last + 1 + open_high, dtype=np.float64) * step
    return edges.astype(np.float32), open_low, open_high


def round_step(least: float, whole: bool) -> float:
    """The smallest of 1, 2, 5, 10, ... or their tenths, hundredths, ... that is not below `least`."""
    least = max(least, 1.0 if whole else 1e-6)
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def counted(entries: Sequence[tuple[str, int, str]], of: int) -> list[Bar]:
    """Bars of (label, count, address); their length is that beside the longest, their text has the share of `of`."""
    most = max((count for _, count, _ in entries), default=0)
    return [
        Bar(label, f"{count:,} ({count / max(1, of):.1%})", count / max(1, most), href)
        for label, count, href in entries
    ]
