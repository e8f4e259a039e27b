"""Learning curves of a run, and CMC curves, as PNG, PDF and SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError
from reidprep.files import write_file

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c6169")
"""Okabe and Ito's set for colour-blind readers, and a grey; their yellow is too faint on white."""
_DASHES = ("-", "--", "-.", ":")
_RULE = "#8c929c"
FIGURE_SUFFIXES = (".png", ".pdf", ".svg")
"""A figure to look at, and those for a paper."""

_FEW_POINTS = 25

History = Sequence[Mapping[str, Any]]


def draw_curves(history: History, path: Path) -> None:
    """Draw the learning curves of a run: a panel each for losses, learning rate and validation scores.

    Args:
        history: a mapping per epoch: `epoch`, counted over all stages, and any of `stage` (its name), `loss`,
            `loss/<term>`, `val/loss`, `lr`, `val/rank1` and `val/mAP` (0 to 1). Values that are missing or not
            finite are left out.
        path: the file, of one of `FIGURE_SUFFIXES`, which is replaced whole or not at all.

    Raises:
        ReidError: nothing to draw, or the file cannot be written.
    """
    terms = sorted({name for row in history for name in row if name.startswith("loss/")})
    panels: list[tuple[str, list[str], Callable[[Axes], None]]] = [
        ("loss", ["loss", *terms, "val/loss"], _logarithmic),
        ("learning rate", ["lr"], _learning_rate),
        ("validation", ["val/rank1", "val/mAP"], _percent),
    ]
    drawn = [(title, keys, scale) for title, keys, scale in panels if any(len(_points(history, key)) for key in keys)]
    if not drawn:
        raise ReidError(f"{path}: no epoch with a loss, learning rate or score to draw")
    figure = Figure(figsize=(9, 0.6 + 2.6 * len(drawn)), dpi=100, layout="constrained")
    grid = figure.subplots(len(drawn), sharex=True, squeeze=False)[:, 0]
    for axes, (title, keys, scale) in zip(grid, drawn, strict=True):
        lines = [(key, points) for key in keys if len(points := _points(history, key))]
        for i, (key, points) in enumerate(lines):
            axes.plot(points[:, 0], points[:, 1], label=_label(key, points), **_line(i, len(points)))
        scale(axes)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        for position, _ in _stages(history)[1:]:
            axes.axvline(position, color=_RULE, linestyle=":")
        # Beside the axes it hides no line, whatever their shape.
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    for position, stage in _stages(history):
        x_with_y_of_axes = grid[0].get_xaxis_transform()
        text = grid[0].text(position, 1.02, stage, color=_RULE, transform=x_with_y_of_axes, fontsize="small")
        text.set_parse_math(False)
    epochs = [row["epoch"] for row in history]
    grid[-1].set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid[-1].set_xlabel("epoch")
    figure.align_ylabels()
    _write(figure, path)


def draw_cmc(curves: Mapping[str, ArrayLike], path: Path) -> None:
    """Draw cumulative matching characteristics, a line for each entry.

    Args:
        curves: label -> (ranks,) share of queries with a match among the first 1, 2, ... images, 0 to 1, such as
            `evaluate_features(..., ranks=range(1, 51)).cmc`. Lengths may differ.
        path: the file, of one of `FIGURE_SUFFIXES`, which is replaced whole or not at all.

    Raises:
        ReidError: no curve, one that is not of shares that never fall, or the file cannot be written.
    """
    if not curves:
        raise ReidError(f"{path}: there is no curve to draw")
    arrays = {label: np.asarray(values, dtype=np.float64) for label, values in curves.items()}
    for label, values in arrays.items():
        if values.ndim != 1 or not len(values) or not _is_cmc(values):
            raise ReidError(f"{label!r} is no CMC curve; it needs shares of 0 to 1 that never fall, from rank 1 on")
    longest = max(len(values) for values in arrays.values())
    step = max(1, round(longest / 10))
    figure = Figure(figsize=(7, 5), dpi=110, layout="constrained")
    axes = figure.subplots()
    for i, (label, values) in enumerate(arrays.items()):
        line = _line(i, len(values))
        axes.plot(np.arange(1, len(values) + 1), values, label=f"Rank-1 {values[0]:.1%}: {label}", **line)
    axes.xaxis.set_major_locator(FixedLocator([1, *range(step * (1 + (step == 1)), longest + 1, step)]))
    axes.set_ylim(cmc_floor(list(arrays.values())), 1.005)
    axes.yaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    axes.set_xlabel("rank")
    axes.set_ylabel("queries with a match")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    for text in axes.legend(loc="lower right").get_texts():
        text.set_parse_math(False)  # a dollar sign is one
    _write(figure, path)


def cmc_floor(curves: Sequence[NDArray[np.float64]]) -> float:
    """Where the axis of CMC curves starts: at a multiple of 10 % clearly below the lowest Rank-1, at most 80 %."""
    lowest = min(float(values[0]) for values in curves)
    return max(0.0, min(0.8, math.floor((lowest - 0.02) * 10) / 10))


def _is_cmc(values: NDArray[np.float64]) -> bool:
    # The mean over many queries may fall by a rounding error.
    return bool(np.all((values >= 0) & (values <= 1 + 1e-9)) and np.all(np.diff(values) >= -1e-9))


def _points(history: History, key: str) -> NDArray[np.float64]:
    """(n, 2) epochs and values of a key, where it is there and finite."""
    points = np.array([(row["epoch"], row[key]) for row in history if key in row], dtype=np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _label(key: str, points: NDArray[np.float64]) -> str:
    name = {"lr": "learning rate", "val/rank1": "Rank-1", "val/mAP": "mAP", "val/loss": "validation loss"}.get(key, key)
    if key not in ("val/rank1", "val/mAP"):
        return name
    best = points[points[:, 1].argmax()]
    return f"{name}, best {best[1]:.1%}\nat epoch {best[0]:g}"


def _stages(history: History) -> list[tuple[float, str]]:
    """Where each stage starts, half an epoch before its first, and its name."""
    rows = [row for row in history if "stage" in row]
    starts = [i for i, row in enumerate(rows) if i == 0 or row["stage"] != rows[i - 1]["stage"]]
    return [(rows[i]["epoch"] - 0.5, str(rows[i]["stage"])) for i in starts]


def _line(number: int, points: int) -> dict[str, Any]:
    """Colour and dashes of a line; with few points each gets a mark, as a lone one makes no line."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "marker": "." if points <= _FEW_POINTS else None,
    }


class _PlainNumbers(LogFormatter):
    """0.002, not 2 x 10^-3, but no row of zeros; which ticks are named is left to Matplotlib."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        named = super().__call__(x, pos)
        if not named:
            return ""
        return f"{x:.3g}" if x < 1e-4 else np.format_float_positional(x, precision=3, fractional=False, trim="-")


def _logarithmic(axes: Axes) -> None:
    """A logarithmic axis, unless a loss is 0 or less."""
    if all(np.asarray(line.get_ydata()).min() > 0 for line in axes.get_lines()):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PlainNumbers())
        axes.yaxis.set_minor_formatter(_PlainNumbers())


def _learning_rate(axes: Axes) -> None:
    """A logarithmic axis, of at most four decades: a cosine ends so near 0 that nothing else would be seen."""
    _logarithmic(axes)
    top = max(float(np.max(line.get_ydata())) for line in axes.get_lines())
    if axes.get_yscale() == "log" and axes.get_ylim()[0] < top / 1e4:
        axes.set_ylim(top / 1e4, top * 1.5)


def _percent(axes: Axes) -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _write(figure: Figure, path: Path) -> None:
    data = io.BytesIO()
    # No dates and no random names, so that the same curves give the same bytes; letters as such, as publishers ask for.
    dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix, {})
    with rc_context({"svg.hashsalt": "reidtrain", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(data, format=path.suffix.removeprefix("."), metadata=dates)
    write_file(path, data.getvalue())
