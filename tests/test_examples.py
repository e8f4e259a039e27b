"""What docstrings and documentation show is run, in a folder with a small drawn dataset."""

from __future__ import annotations

import ast
import doctest
import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import reidprep
import reidtrain
from reidprep.synth.dataset import generate

if TYPE_CHECKING:
    from reidtrain.checkpoints import Checkpoint

PACKAGES = {"reidprep": reidprep, "reidtrain": reidtrain}
NAMES = [(package, name) for package in PACKAGES.values() for name in package.__all__]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `people`, one of its images, and its poses and shards. Read only."""
    path = tmp_path_factory.mktemp("examples")
    generate(path / "people", identities=4, cameras=2, images_per_camera=2, seed=1)
    shutil.copy(path / "people/bounding_box_train/0002_c1s1_000451_01.jpg", path / "person.jpg")
    dataset = reidprep.open_dataset(path / "people")
    reidprep.extract_poses(dataset, path / "poses", reidprep.create_estimator(device="cpu"))
    reidprep.build_shards(path / "poses", path / "shards")
    return path


@pytest.fixture(scope="module")
def trained(made: Path, make_checkpoint: Callable[..., Checkpoint]) -> None:
    """A network, not trained at all, in the place of that of a run. Read only."""
    (made / "run/checkpoints").mkdir(parents=True)
    shutil.copy(make_checkpoint("attention-driven").path, made / "run/checkpoints/last.ckpt")


@pytest.fixture
def workplace(
    package: ModuleType, made: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory of an example; what it writes is gone afterwards."""
    if package is reidtrain:
        request.getfixturevalue("trained")
    for entry in made.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("package", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value))
def test_every_public_name_has_an_example_that_runs(package: ModuleType, name: str) -> None:
    value = getattr(package, name)
    tests = [test for test in doctest.DocTestFinder().find(value, name) if test.examples]
    assert any(test.name == name for test in tests), f"the docstring of {name} shows no example"
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)


@pytest.mark.parametrize("package", PACKAGES.values(), ids=list(PACKAGES))
def test_type_checkers_see_the_public_names_where_they_are_loaded_from(package: ModuleType) -> None:
    tree = ast.parse(inspect.getsource(package))
    seen = {
        alias.asname: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == package._HOMES
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_imports_nothing_it_offers(package: str) -> None:
    code = f"import sys; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded} <= {"reidprep", "reidtrain"} and len(loaded) <= 3


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'aline'"):
        _ = reidprep.aline
