"""What docstrings and documentation show is run, in a folder with a small drawn dataset."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
import re
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
from reidprep.export.webdataset import export_webdataset

if TYPE_CHECKING:
    from reidtrain.checkpoints import Checkpoint

PACKAGES = {"reidprep": reidprep, "reidtrain": reidtrain}
NAMES = [(package, name) for package in PACKAGES.values() for name in package.__all__]

ROOT = Path(__file__).parents[1]
PAGES = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
SNIPPETS = {page: re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) for page, text in PAGES.items()}
NOT_MADE = ("resnet50.pth", "network.onnx", "network.pt2")
"""Files that snippets read and that take too long to make here."""
SMALLER = {"identities=18": "identities=2", "num_workers=8": "num_workers=0"}
"""Numbers that four drawn people do not serve."""


@pytest.fixture(scope="module")
def made(drawn: Path, drawn_poses: Path, plain_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `people`, one of its images, its poses, shards and tar files. Read only."""
    path = tmp_path_factory.mktemp("examples")
    links = {"people": drawn, "Market-1501-v15.09.15": drawn, "poses": drawn_poses, "shards": plain_shards}
    for name, folder in links.items():
        (path / name).symlink_to(folder)
    shutil.copy(path / "people/bounding_box_train/0002_c1s1_000451_01.jpg", path / "person.jpg")
    export_webdataset(path / "shards", path / "tars")
    return path


@pytest.fixture(scope="module")
def trained(made: Path, make_checkpoint: Callable[..., Checkpoint]) -> None:
    """A network, not trained at all, in the place of that of a run, and its features. Read only."""
    from reidtrain.features.extract import extract_to_file
    from reidtrain.features.extractor import Computing

    checkpoint = make_checkpoint("attention-driven", {"attention": "none"})
    (made / "run/checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint.path, made / "run/checkpoints/last.ckpt")
    here = Computing(device="cpu", workers=0)
    extract_to_file(checkpoint, made / "shards", made / "features.npz", computing=here)
    extract_to_file(checkpoint, made / "shards", made / "query", images="query", computing=here)
    extract_to_file(checkpoint, made / "shards", made / "gallery", images="gallery", computing=here)


@pytest.fixture
def workplace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory of an example; what it writes is gone afterwards."""
    for entry in made.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("package", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value))
def test_every_public_name_has_an_example_that_runs(
    package: ModuleType, name: str, request: pytest.FixtureRequest
) -> None:
    for fixture in (["trained"] if package is reidtrain else []) + ["workplace"]:
        request.getfixturevalue(fixture)
    tests = [test for test in doctest.DocTestFinder().find(getattr(package, name), name) if test.examples]
    assert any(test.name == name for test in tests), f"the docstring of {name} shows no example"
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)


@pytest.mark.parametrize("page", [page for page, snippets in SNIPPETS.items() if snippets])
def test_snippets_of_the_documentation_run(page: str, request: pytest.FixtureRequest) -> None:
    code = "\n".join(snippet for snippet in SNIPPETS[page] if not any(file in snippet for file in NOT_MADE))
    for real, small in SMALLER.items():
        code = code.replace(real, small)
    modules = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    for module in modules - {"reidprep", "reidtrain"}:
        pytest.importorskip(module)
    if "reidtrain" in modules or "features.npz" in code:
        request.getfixturevalue("trained")
    request.getfixturevalue("workplace")
    exec(compile(code, page, "exec"), {"__name__": page})


@pytest.mark.parametrize("page", PAGES)
def test_what_the_documentation_names_in_modules_is_there(page: str) -> None:
    # With two dots or more: with one they are schemas, too.
    for name in set(re.findall(r"`((?:reidprep|reidtrain)\.\w+(?:\.\w+)+)", PAGES[page])):
        if name.startswith("reidtrain"):
            pytest.importorskip("torch")
        pkgutil.resolve_name(name)


@pytest.mark.parametrize("package", PACKAGES.values(), ids=list(PACKAGES))
def test_type_checkers_see_the_public_names_where_they_are_loaded_from(package: ModuleType) -> None:
    seen = {
        alias.asname: node.module
        for branch in ast.parse(inspect.getsource(package)).body
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
    assert set(loaded) <= {"reidprep", "reidprep.lazy", "reidtrain"}


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'aline'"):
        _ = reidprep.aline
