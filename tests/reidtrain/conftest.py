"""Fixtures: small drawn classification sets, and programs in processes of their own."""

from __future__ import annotations

import multiprocessing
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
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


PROGRAM = """
import os, sys

os.environ.update({environment!r})
sys.argv = {argv!r}
sys.stdout, sys.stderr = (open({said!r} + suffix, "a") for suffix in (".out", ".err"))
{code}
"""


@dataclass(frozen=True)
class Program:
    """A program that was started; files of its name hold what it says."""

    process: BaseProcess
    said: Path

    def end(self, timeout: float = 120) -> tuple[int | None, str, str]:
        """Wait for its end: how it ended (None: it had to be killed), and what it said on both streams."""
        self.process.join(timeout)
        code = self.process.exitcode
        self.process.kill()
        return code, *(self.said.with_suffix(suffix).read_text() for suffix in (".out", ".err"))


@pytest.fixture(scope="session")
def forkserver() -> BaseContext:
    """Starts processes from one that has imported all that training needs: that takes longer than small trainings."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("no forkserver on this system")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["reid_cli.reidtrain.main", "reidtrain.training.fit"])
    return context


@pytest.fixture
def start(forkserver: BaseContext, tmp_path: Path) -> Callable[..., Program]:
    """Starts a program of a name, a text and arguments in a process of its own, forked from the prepared one."""

    def begin(name: str, code: str, *arguments: object, environment: Mapping[str, str] | None = None) -> Program:
        script = tmp_path / f"{name}.py"
        argv = [str(script), *map(str, arguments)]
        content = {"environment": environment or {}, "argv": argv, "said": str(tmp_path / name), "code": code}
        script.write_text(PROGRAM.format(**content))
        process = forkserver.Process(target=runpy.run_path, args=(str(script),), kwargs={"run_name": "__main__"})
        process.start()
        return Program(process, tmp_path / name)

    return begin
