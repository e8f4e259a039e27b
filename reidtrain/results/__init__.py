"""Scores of a trained network beside the papers', as `reidtrain evaluate` gives them (docs/evaluation.md)."""

from .evaluate import Evaluation, evaluate, evaluation_folder
from .report import as_text, as_values, write_evaluation

__all__ = ["Evaluation", "as_text", "as_values", "evaluate", "evaluation_folder", "write_evaluation"]
