import subprocess
import sys

import pytest
from click.testing import CliRunner
from reid_cli.reidtrain.main import main


@pytest.mark.parametrize("command", sorted(main.commands))
def test_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output and f"reidtrain {command}" in result.output


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"  # what an import of a module that is not there runs into
        "from reid_cli.reidtrain.main import main; main(['complexity'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and "pip install 'reidprep[train]'" in result.stderr
