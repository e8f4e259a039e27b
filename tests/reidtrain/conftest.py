"""Fixtures: small drawn classification sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RECORD = 3074


@pytest.fixture
def save_images(tmp_path: Path) -> Callable[..., Path]:
    """Write noise images at relative paths; returns the folder."""

    def save(*paths: str, size: tuple[int, int] = (20, 30)) -> Path:
        for number, path in enumerate(paths):
            pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / path)
        return tmp_path

    return save


def cifar_records(labels: list[int], seed: int = 0) -> np.ndarray:
    """(n, 3074) records as published: coarse label, fine label, red plane, green plane, blue plane."""
    records = np.random.default_rng(seed).integers(0, 256, (len(labels), RECORD), dtype=np.uint8)
    records[:, 0], records[:, 1] = np.array(labels) // 5, labels
    return records


@pytest.fixture
def save_cifar(tmp_path: Path) -> Callable[..., Path]:
    """Write CIFAR-100 files of the given fine labels; returns the folder."""

    def save(files: Mapping[str, list[int]], folder: str = ".") -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for seed, (name, labels) in enumerate(files.items()):
            cifar_records(labels, seed).tofile(tmp_path / folder / name)
        return tmp_path

    return save
