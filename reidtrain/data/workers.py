"""Processes of a DataLoader."""

from __future__ import annotations

import signal

import cv2


def prepare_worker(worker: int) -> None:
    """Keep a worker to one thread, as there are several of them, and leave Ctrl-C to the parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
