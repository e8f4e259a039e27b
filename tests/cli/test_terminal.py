"""What a terminal shows of long work."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

SCRIPT = """
import time
from reid_cli.common import progress_of, say

with progress_of("fit", "validate") as (fit, validate):
    for epoch in (1, 2):
        fit(epoch, 4)
        validate(1, 2)
        time.sleep(0.3)
        validate(2, 2)
        say(f"epoch {epoch} [of 4]")
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_lines_stand_above_the_bars_and_a_step_in_between_has_its_own() -> None:
    master, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stderr=terminal, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while block := os.read(master, 4096):
                shown += block
        except OSError:  # the other side is closed
            pass
    os.close(master)
    assert process.returncode == 0
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()))
    assert "epoch 1 [of 4]" in lines and "epoch 2 [of 4]" in lines
    assert any(line.startswith("validate ") and "1/2" in line for line in lines)
    assert any(line.startswith("fit ") and "2/4" in line for line in lines)
