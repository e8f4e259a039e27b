"""Which tests are run by the same process."""

from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def suite(request: pytest.FixtureRequest) -> ModuleType:
    """The conftest.py of all tests."""
    return next(plugin for plugin in request.config.pluginmanager.get_plugins() if hasattr(plugin, "group_of"))


def test_tests_of_a_file_and_all_that_use_ray_are_a_group_each(suite: ModuleType) -> None:
    assert suite.group_of("tests/reidtrain/test_losses.py::test_any[a/b.py::c]") == "test_losses"
    assert suite.group_of("tests/reidprep/executors/test_ray.py::test_any") == "ray"
    assert suite.group_of("tests/reidprep/executors/test_commands.py::test_any") == "ray"
    assert suite.group_of("tests/reidprep/executors/test_local.py::test_any") == "test_local"


def test_what_is_named_is_there(suite: ModuleType) -> None:
    assert all([*HERE.parent.glob(f"{start}*")] for start in suite.TOGETHER)
    assert {*suite.LONG} <= {file.stem for file in HERE.rglob("test_*.py")} | {*suite.TOGETHER.values()}
