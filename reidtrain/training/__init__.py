"""Training of both networks (docs/training.md)."""

from .fit import Machine, RunResult, fit, train
from .task import Task, identities_task

__all__ = ["Machine", "RunResult", "Task", "fit", "identities_task", "train"]
