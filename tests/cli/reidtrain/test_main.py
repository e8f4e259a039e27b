import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.reidtrain.main import main


@pytest.mark.parametrize("command", sorted(main.commands))
def test_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output and f"reidtrain {command}" in result.output


def test_a_name_too_long_to_ask_for_is_a_plain_error() -> None:
    result = CliRunner().invoke(main, ["evaluate", "x" * 1000, "shards", "--out", "out"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: xxx") and "File name too long" in result.output


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"  # what an import of a module that is not there runs into
        "from reid_cli.reidtrain.main import main; main(['complexity'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and "pip install 'reidprep[train]'" in result.stderr


@pytest.mark.parametrize(("before", "within"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_that_wait_leave_their_core_to_others_unless_told(before: dict[str, str], within: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    code = "import os, reid_cli; print(os.environ['OMP_WAIT_POLICY'])"
    result = subprocess.run([sys.executable, "-c", code], env=others | before, capture_output=True, text=True)
    assert result.stdout.strip() == within


@pytest.mark.parametrize("command", [["fit", "shards", "--recipe", "demo"], ["ablate", "6"]])
@pytest.mark.parametrize("which", ["last", "best"])
def test_weights_to_start_from_are_those_of_the_checkpoint_asked_for(
    command: list[str], which: str, tmp_path: Path
) -> None:
    arguments = [*command, "--init", str(tmp_path), "--which", which, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and f"no checkpoints/{which}.ckpt here" in result.output
