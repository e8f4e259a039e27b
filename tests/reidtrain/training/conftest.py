"""Training on the drawn people."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture
def run(drawn_shards: Path, tmp_path: Path):
    """Train on the drawn people, decoding in this process."""
    pytest.importorskip("torch")
    from reidtrain.training.fit import Machine, RunResult, fit

    def train(recipe: object, out: str = "run", **options: object) -> RunResult:
        options.setdefault("machine", Machine(device="cpu", workers=0))
        return fit(options.pop("shards", drawn_shards), tmp_path / out, recipe, **options)

    return train


@pytest.fixture(scope="session")
def full(tiny: Callable[..., object]) -> Callable[..., object]:
    """A recipe of a network with attention, validated after every epoch, but for the values given."""
    return partial(tiny, model={"branches": ["head"]}, validation={"every": 1})


@pytest.fixture(scope="session")
def trained(drawn_shards: Path, made_once: MadeOnce) -> Callable[[str, object], Path]:
    """Makes a finished run of a name and a recipe; said.json beside it has the lines it said. Read only."""

    def make(name: str, recipe: object) -> Path:
        from reidtrain.training.fit import Machine, fit

        def fill(folder: Path) -> None:
            lines: list[str] = []
            fit(drawn_shards, folder / "run", recipe, machine=Machine(device="cpu", workers=0), log=lines.append)
            (folder / "said.json").write_text(json.dumps(lines))

        return made_once(f"trained-{name}", fill) / "run"

    return make


@pytest.fixture(scope="session")
def finished(trained: Callable[[str, object], Path], full: Callable[..., object]) -> Path:
    """A finished run of `full()`. Read only."""
    pytest.importorskip("torch")
    return trained("full", full())
