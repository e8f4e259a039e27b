"""What a run tells its reader: a line per epoch, metrics.csv, TensorBoard and the picture of the curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from reidtrain.plots import curves
from reidtrain.recipes.schema import Recipe
from reidtrain.training.pace import POSITION, finished
from reidtrain.training.run_folder import RunFolder


class Records:
    """Written in the first process of a run.

    Args:
        folder: of the run.
        recipe: of the run.
        log: is given a line for the reader after each epoch.
    """

    def __init__(self, folder: RunFolder, recipe: Recipe, log: Callable[[str], None] | None) -> None:
        self.folder = folder
        self.recipe = recipe
        self.log = log
        self.board = TensorBoardLogger(folder.path, name="", version="tensorboard")
        self.seconds_before = float(folder.about["seconds"])

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Record the last row of the history."""
        row = history[-1]
        self.board.log_metrics(
            {name: value for name, value in row.items() if isinstance(value, float)}, step=row["epoch"]
        )
        self.board.save()
        self.folder.write_metrics(history)
        ended = finished(self.recipe, history)
        if any(name.startswith("val/") for name in row) or ended:
            for suffix in curves.FIGURE_SUFFIXES if ended else curves.FIGURE_SUFFIXES[:1]:
                curves.draw_curves(history, self.folder.path / f"curves{suffix}")
        if self.log:
            self.log(describe(row, self.recipe))

    def close(self) -> None:
        """Finish the TensorBoard file."""
        self.board.finalize("success")


def describe(row: Mapping[str, Any], recipe: Recipe) -> str:
    """One line on an epoch."""
    text = f"epoch {row['epoch']}"
    text += f", {row[POSITION] / recipe.epochs:.0%} of the time" if POSITION in row else f"/{recipe.epochs}"
    text += f" ({row['stage']}): loss {row['loss']:.4f}, accuracy {row['accuracy']:.1%}, "
    text += f"lr {row['lr']:.2g}, {row['images_per_second']:.1f} images/s, data wait {row['data_wait']:.1%}"
    scores = [f"{name.removeprefix('val/')} {value:.2%}" for name, value in row.items() if name.startswith("val/")]
    return text + (f"; validation {', '.join(scores)}" if scores else "")
