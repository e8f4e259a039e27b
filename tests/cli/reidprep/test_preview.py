import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.reidprep.main import main


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["preview", *map(str, arguments)])


def test_json_names_the_files(drawn_shards: Path, tmp_path: Path) -> None:
    result = invoke(drawn_shards, tmp_path / "out", "--limit", 3, "--per-sheet", 2, "--split", "query", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["shown"] == 3 and content["missing_sources"] == 0
    assert Path(content["page"]).is_file() and [Path(sheet).is_file() for sheet in content["sheets"]] == [True, True]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--random", 1, "--flagged"], 1, "either random or flagged"),
        (["--ids", "2,x"], 2, "is not a list of person ids"),
        (["--ids", "123456"], 1, "no image of person 123456"),
        (["--limit", 0], 2, "--limit"),
    ],
)
def test_wrong_use(drawn_shards: Path, tmp_path: Path, options: list, status: int, message: str) -> None:
    result = invoke(drawn_shards, tmp_path / "out", *options)
    assert result.exit_code == status and message in result.output
    assert not (tmp_path / "out").exists()


def test_junk_can_be_asked_for(drawn_shards: Path, tmp_path: Path) -> None:
    result = invoke(drawn_shards, tmp_path / "out", "--ids=-1")
    assert result.exit_code == 0, result.output
    assert "junk (id -1)" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_a_folder_that_is_no_preview(drawn_shards: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    result = invoke(drawn_shards, tmp_path, "--limit", 1)
    assert result.exit_code == 1 and "choose an empty folder" in result.output
