"""The map of the house: who may import whom, and where things are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:  # what pytest itself reads it with
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
FOLDERS = {"reidprep": "reidprep", "reidtrain": "reidtrain", "reid_cli": "cli"}

# From top to bottom. What stands on a line may import what stands on lines below it, and nothing else of its package.
LAYERS = {
    "": """
        reid_cli
        reidtrain
        reidprep
    """,
    # Alignment is geometry: it knows neither files nor images. What executors run, and what they give back, are the
    # files of a store.
    "reidprep": """
        demo
        fit_canonical info verify
        export inspect preview
        drawing
        shards
        poses
        estimators
        keypoints
        datasets
        synth
        executors
        store
        alignment device images text
        files jpeg pickles
        signals
        errors lazy progress records skeleton
    """,
    # Training is validated by evaluation and draws its own curves, so both are below it. A network runs on a batch of
    # `data`, and a recipe says how `data` prepares images, so that is below them.
    "reidtrain": """
        ablation
        explore export retrieval training
        plots
        evaluation
        features
        checkpoints
        failures losses
        recipes
        papers
        models
        data
        metrics
    """,
    "reid_cli": """
        reidprep reidtrain
        serving
        common options
    """,
}
# Of `reidprep`, what only shows, checks or demonstrates: no network needs it.
NOT_FOR_TRAINING = {"demo", "fit_canonical", "info", "inspect", "preview", "synth", "verify"}
# Folders of tests that mirror no package: across packages, and what drives a browser.
OTHER_TESTS = {"end_to_end", "reidprep/inspect/browser"}
HEAVY = {
    "PIL", "cv2", "h5py", "jinja2", "lightning", "mmpose", "numpy", "onnxruntime", "pydantic", "ray", "rich", "scipy",
    "starlette", "torch", "yaml",
}  # fmt: skip


def module_name(file: Path, package: str) -> str:
    parts = file.relative_to(ROOT / FOLDERS[package]).with_suffix("").parts
    return ".".join((package, *parts)).removesuffix(".__init__")


FILES = {
    module_name(file, package): file
    for package, folder in FOLDERS.items()
    for file in sorted((ROOT / folder).rglob("*.py"))
}
PACKAGES = sorted(name for name, file in FILES.items() if file.name == "__init__.py")


def import_statements(module: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """All of them: inside functions, and for the type checker alone, too."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node


def imported(module: str) -> set[str]:
    """The modules of these packages that one imports."""
    found = set()
    for node in import_statements(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        above = module.split(".")[: len(module.split(".")) - node.level + (FILES[module].name == "__init__.py")]
        source = ".".join([*(above if node.level else []), *([node.module] if node.module else [])])
        # The version is all that a module may ask of the package's own front.
        names = [alias.name for alias in node.names if alias.name != "__version__"]
        found |= {f"{source}.{name}" if f"{source}.{name}" in FILES else source for name in names}
    return (found & set(FILES)) - {module}


@cache
def arrows() -> dict[str, set[str]]:
    """What each module imports. Not where tests are collected, which every process does."""
    return {module: imported(module) for module in FILES}


def below(module: str, package: str) -> str | None:
    """Which module or package directly in `package` holds a module; None if it lies elsewhere or is its front."""
    prefix = f"{package}." if package else ""
    return module.removeprefix(prefix).partition(".")[0] if module.startswith(prefix) else None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_imports_go_in_a_circle(package: str) -> None:
    graph = defaultdict(set)
    for module, others in arrows().items():
        for other in others:
            # The front of a package belongs to it, beside what it holds.
            ends = [below(name, package) or ("front" if name == package else None) for name in (module, other)]
            if None not in ends and ends[0] != ends[1]:
                graph[ends[0]].add(ends[1])
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"in {package}: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("package", LAYERS)
def test_arrows_point_down(package: str) -> None:
    layer = {name: row for row, line in enumerate(LAYERS[package].strip().splitlines()) for name in line.split()}
    assert layer.keys() == {below(name, package) for name in FILES} - {None}
    upward = {
        f"{module} imports {other}"
        for module, others in arrows().items()
        for other in others
        if (source := below(module, package)) and (target := below(other, package))
        if source != target and layer[source] >= layer[target]
    }
    assert not upward


def test_training_needs_nothing_that_only_shows_or_checks() -> None:
    needed = {
        (module, other)
        for module, others in arrows().items()
        for other in others
        if module.startswith("reidtrain.") and below(module, "reidtrain") != "explore"
        if below(other, "reidprep") in NOT_FOR_TRAINING
    }
    assert not needed


def test_imports_are_absolute_but_for_the_commands() -> None:
    relative = {module for module in FILES for node in import_statements(module) if getattr(node, "level", 0)}
    assert {module for module in relative if not module.startswith("reid_cli")} == set()
    assert not any(other.startswith("reid_cli") for module in FILES.keys() - relative for other in arrows()[module])


@pytest.mark.parametrize(
    "code",
    [
        "import reidprep",
        "import reidtrain",
        "from reid_cli.reidprep.main import main; main(['--help'], standalone_mode=False)",
        "from reid_cli.reidprep.main import main; main(['extract-poses', '--help'], standalone_mode=False)",
        "from reid_cli.reidtrain.main import main; main(['--help'], standalone_mode=False)",
        "from reid_cli.reidtrain.main import main; from click.testing import CliRunner\n"
        "assert 'demo' in CliRunner().invoke(main, ['fit', 's', '--out', 'o', '--recipe', 'dmo']).output",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(code: str) -> None:
    shown = f"{code}\nimport sys\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_compiler_is_loaded_inside_functions() -> None:
    """It takes as long as PyTorch itself, which commands that compile nothing load."""
    at_the_top = {
        module
        for module in FILES
        for node in ast.parse(FILES[module].read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom | ast.Import) and re.search(r"torch\._(dynamo|inductor)", ast.unparse(node))
    }
    assert not at_the_top


def test_all_packages_are_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert sorted(settings["packages"]) == PACKAGES
    assert settings["package-dir"] == {name: folder for name, folder in FOLDERS.items() if name != folder}


def test_the_tests_mirror_the_packages() -> None:
    tests = ROOT / "tests"
    folders = {file.parent.relative_to(tests).as_posix() for file in tests.rglob("test_*.py")} - {"."}
    packages = {FILES[package].parent.relative_to(ROOT).as_posix() for package in PACKAGES}
    assert folders - packages == OTHER_TESTS


def definitions(file: Path) -> set[str]:
    """Functions, classes and methods of a module, by their qualified names."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = {node.name: node for node in body if isinstance(node, kinds)}
    methods = {
        f"{name}.{inner.name}" for name, node in found.items() for inner in node.body if isinstance(inner, kinds)
    }
    return {*found, *methods}


def test_the_page_of_the_architecture_knows_the_tree() -> None:
    tree = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("## The tree")[1].split("\n## ")[0]
    named = re.split(r"^    (reidprep|reidtrain|cli)/", tree, flags=re.MULTILINE)[1:]
    for package, text in zip(named[::2], named[1::2], strict=True):
        if package == "cli":
            continue
        there = {below(name, package) for name in FILES} - {None}
        folders = {name for name in there if f"{package}.{name}" in PACKAGES}
        assert set(re.findall(r"^ {6}(\w+)/", text, re.MULTILINE)) == folders
        assert there - folders == set(
            " ".join(re.findall(r"^ {6}(?!\w+/)(.+?)(?: {3,}.*)?$", text, re.MULTILINE)).split()
        )


def test_the_journeys_of_the_architecture_pass_functions_that_there_are() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^ +(\S+\.py) +([\w.]+) {2,}", page, re.MULTILINE)
    assert len(steps) > 30
    assert [(file, name) for file, name in steps if name not in definitions(ROOT / file)] == []
