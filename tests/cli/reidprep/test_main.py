import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.reidprep.main import main

from reidprep.poses.reader import PoseSet

COMMANDS = sorted(main.commands)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output and f"reidprep {command}" in result.output


def test_help_does_not_load_heavy_modules() -> None:
    code = (
        "import sys; from reid_cli.reidprep.main import main; main(['--help'], standalone_mode=False);"
        "heavy = {'numpy', 'cv2', 'h5py', 'onnxruntime', 'torch', 'PIL', 'ray', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_three_commands_make_shards(drawn: Path, tmp_path: Path) -> None:
    poses, shards, page = tmp_path / "poses", tmp_path / "shards", tmp_path / "preview"
    result = invoke("extract-poses", drawn, poses, "--limit", 2, "--json")
    assert result.exit_code == 0, result.output
    extracted = json.loads(result.stdout)
    assert extracted["dataset"] == "market1501" and extracted["skipped_files"] == []

    result = invoke("build-shards", poses, shards, "--json", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == extracted["rows"]

    result = invoke("verify", shards, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout) == {
        "path": str(shards),
        "ok": True,
        "faults": [],
    }

    result = invoke("preview", shards, page, "--limit", 3)
    assert result.exit_code == 0, result.output
    assert (page / "index.html").is_file()


@pytest.mark.parametrize("kind", ["poses", "shards"])
def test_info(kind: str, drawn_poses: Path, drawn_shards: Path) -> None:
    path = drawn_poses if kind == "poses" else drawn_shards
    content = json.loads(invoke("info", path, "--json").stdout)
    assert content["kind"] == kind and content["complete"]
    assert sum(split["images"] for split in content["splits"].values()) == content["rows"]
    text = invoke("info", path).output
    assert f"{content['rows']} in" in text and "l_ankle" in text and "movenet" in text
    assert "images.train " in text and "{" not in text


def test_help_lists_options_under_headings() -> None:
    lines = invoke("build-shards", "--help").output.splitlines()
    assert lines.index("Options:") < lines.index("Joints and boxes:") < lines.index("Crops:") < lines.index("Workers:")
    assert any(line.startswith("  --beta") for line in lines[lines.index("Joints and boxes:") : lines.index("Crops:")])
    assert "(3/48)" not in "".join(lines) and "[default: 3/48]" in "".join(lines)


def test_verify_fails_with_the_fault(drawn_shards: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(drawn_shards, tmp_path / "shards"))
    (path / "train-00000.h5").unlink()
    result = invoke("verify", path)
    assert result.exit_code == 1
    assert "train-00000.h5: missing or unreadable" in result.output and "1 fault\n" in result.output


def test_skipped_images_give_exit_status_3(drawn: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(drawn, tmp_path / "data"))
    bad = sorted((path / "query").iterdir())[0]
    bad.write_bytes(b"")
    result = invoke("extract-poses", path, tmp_path / "poses", "--split", "query")
    assert result.exit_code == 3
    assert f"query/{bad.name}: the file is empty" in result.stderr
    result = invoke("extract-poses", path, tmp_path / "strict", "--split", "query", "--on-error", "fail")
    assert result.exit_code == 1 and f"Error: query/{bad.name}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract-poses", "{drawn}", "{full}"], "not empty"),
        (["extract-poses", "{full}", "{out}"], "no dataset found"),
        (["extract-poses", "{drawn}", "{out}", "--dataset-option", "color=red"], "no option 'color'"),
        (["build-shards", "{full}", "{out}"], "no manifest.json"),
        (["build-shards", "{full}/gone", "{out}"], "no such directory"),
        (["build-shards", "{shards}", "{out}"], r"holds 'reidprep.shards', expected poses \(reidprep extract-poses\)"),
        (["build-shards", "{poses}", "{full}"], "not empty"),
        (
            ["build-shards", "{poses}", "{out}", "--canonical", "{full}/note.txt"],
            "no usable canonical poses",
        ),
        (["verify", "{full}"], "no manifest.json"),
        (["info", "{full}"], "no manifest.json"),
        (["demo", "{full}"], "the folder is not empty"),
        (["synth", "{full}"], "not empty|empty folder"),
        (["fit-canonical", "{poses}", "{out}", "--count", "4000"], "too few"),
    ],
)
def test_errors_are_one_plain_sentence(
    arguments: list[str], message: str, drawn: Path, drawn_poses: Path, drawn_shards: Path, tmp_path: Path
) -> None:
    import re

    full = tmp_path / "full"
    full.mkdir()
    (full / "note.txt").write_text("mine")
    places = {
        "drawn": drawn,
        "poses": drawn_poses,
        "shards": drawn_shards,
        "full": full,
        "out": tmp_path / "out",
    }
    result = invoke(*[argument.format(**places) for argument in arguments])
    assert result.exit_code == 1
    assert re.search(f"Error: .*({message})", result.stderr), result.output
    assert [entry.name for entry in full.iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--whole-size", "384"),
        ("--whole-size", "4x99999"),
        ("--border", "1,2"),
        ("--border", "300,0,0"),
        ("--beta", "-1"),
        ("--image-size", "64x32"),
        ("--beta", "nan"),
        ("--confidence", "nan"),
        ("--confidence", "inf"),
    ],
)
def test_values_out_of_range_are_usage_errors(option: str, value: str, drawn_poses: Path, tmp_path: Path) -> None:
    result = invoke("build-shards", drawn_poses, tmp_path / "out", option, value)
    assert result.exit_code == 2 and option in result.stderr
    assert not (tmp_path / "out").exists()


def test_fit_canonical_writes_a_set_that_build_shards_takes(drawn_poses: Path, tmp_path: Path) -> None:
    result = invoke("fit-canonical", drawn_poses, tmp_path / "c.json", "--count", 2, "--confidence", 0.05)
    assert result.exit_code == 0, result.output
    result = invoke(
        "build-shards", drawn_poses, tmp_path / "s", "--canonical", tmp_path / "c.json", "--workers", 1,
        "--border", "1,2,3", "--encoding", "raw", "--whole-size", "64x32", "--part-size", "16x32",
        "--scale", "full",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    plan = json.loads(invoke("info", tmp_path / "s", "--json").stdout)["plan"]
    assert plan["border"] == [1, 2, 3] and plan["whole_size"] == [64, 32]
    assert plan["scale"] == "full" and plan["stored_sizes"] == {"whole": [64, 32], "parts": [16, 32]}


def test_the_choices_offered_are_those_of_the_library() -> None:
    from reid_cli.options import ESTIMATORS, KEYPOINT_FORMATS
    from reid_cli.reidprep.extract_poses import DATASETS

    from reidprep import datasets, keypoints
    from reidprep.estimators import registry as estimators

    assert set(DATASETS) == set(datasets.READERS)
    assert set(ESTIMATORS) == set(estimators.ESTIMATORS)
    assert KEYPOINT_FORMATS == keypoints.FORMATS


def test_build_shards_leaves_out_what_a_file_lists(drawn_poses: Path, tmp_path: Path) -> None:
    path = str(PoseSet(drawn_poses).column("paths")[0])
    (tmp_path / "list.csv").write_text(f"path,reason\n{path},two people\ngone.jpg,\n")
    arguments = ("build-shards", drawn_poses, tmp_path / "s", "--workers", 1, "--exclude", tmp_path / "list.csv")
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert "excluded: 1 image," in result.stdout
    assert "1 image of" in result.stderr and "  gone.jpg" in result.stderr
    content = json.loads(invoke(*arguments, "--json").stdout)
    assert sum(content["excluded"].values()) == 1 and content["unknown_excluded"] == ["gone.jpg"]
    (tmp_path / "list.csv").write_text("path,reason\n")
    assert invoke(*arguments, "--overwrite", "--json").exit_code == 0  # an empty list is no list
    assert "excluded" not in json.loads((tmp_path / "s" / "manifest.json").read_text())["plan"]
