"""Training of both networks (docs/training.md)."""

from .fit import Machine, RunResult, fit, is_first_process, train
from .task import Task, identities_task

__all__ = ["Machine", "RunResult", "Task", "fit", "identities_task", "is_first_process", "train"]
