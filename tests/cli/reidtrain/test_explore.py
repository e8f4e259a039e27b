from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("starlette")
from reid_cli.reidtrain.main import main


def test_nothing_is_written_but_where_out_says(
    drawn_shards: Path, make_checkpoint: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    monkeypatch.setattr("reidprep.inspect.server.serve", lambda *arguments: served.append(arguments))
    one, other = (make_checkpoint("attention-driven", {"branches": [name]}).path for name in ("whole", "head"))
    out = tmp_path / "out"
    options = ["--out", out, "--exclude-file", tmp_path / "exclude.csv", "--port", 0, "--no-browser"]
    arguments = ["explore", one, drawn_shards, "--other", other, *options, "--device", "cpu", "--workers", 0]
    result = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0 and served, result.output
    assert len(list(out.glob("rankings-*.h5"))) == len(list(out.glob("other/rankings-*.h5"))) == 1
