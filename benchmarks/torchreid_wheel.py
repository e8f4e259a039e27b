"""Load single modules of torchreid from the wheel of `pyppbox-torchreid`, which need nothing but numpy.

The package itself imports torch; its compiled ranker and its re-ranking do not. Nothing is installed:

    pip download --no-deps pyppbox-torchreid==1.4.1.0

gives the wheel (CPython 3.10 to 3.12, Linux) whose path the benchmarks take.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType


def load(wheel: Path, name: str) -> ModuleType:
    """The module `name` (`rank_cy`, `rerank`) of the wheel."""
    folder = tempfile.mkdtemp(prefix="torchreid-")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [entry for entry in archive.namelist() if f"/{name}." in entry]
        path = archive.extract(member, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{wheel}: {member} is no module this Python can load")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
