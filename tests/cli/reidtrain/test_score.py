import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.common import Group
from reid_cli.reidtrain.score import score

from reidtrain.metrics.ranking import evaluate_features
from reidtrain.metrics.reranking import Reranking

NAMES = ("query_features", "gallery_features", "query_pids", "gallery_pids", "query_camids", "gallery_camids")
KEYS = ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP", "queries", "queries_without_match", "queries_identical"]


def invoke(*arguments: object) -> Result:
    main = Group("reidtrain", commands={"score": score})
    return CliRunner().invoke(main, ["score", *(str(argument) for argument in arguments)])


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 8))
    query_pids, gallery_pids = rng.integers(0, 12, 30), rng.integers(-1, 11, 150)
    return {
        "query_features": (centres[query_pids] + rng.normal(size=(30, 8))).astype(np.float32),
        "gallery_features": (centres[gallery_pids] + rng.normal(size=(150, 8))).astype(np.float32),
        "query_pids": query_pids,
        "gallery_pids": gallery_pids,
        "query_camids": rng.integers(0, 3, 30),
        "gallery_camids": rng.integers(0, 3, 150),
    }


@pytest.fixture
def file(arrays: dict[str, np.ndarray], tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "features.npz", **arrays)
    return tmp_path / "features.npz"


@pytest.mark.parametrize(
    ("options", "same"),
    [
        (["--protocol", "market1501"], {}),
        (["--protocol", "cuhk03-np", "--ap", "trapezoid"], {"ap": "trapezoid"}),
        (["--protocol", "market1501", "--metric", "cosine", "--rerank"], {"metric": "cosine", "rerank": Reranking()}),
        (["--protocol", "cuhk03-classic"], {"protocol": "cuhk03-classic"}),
        (["--protocol", "no-cameras"], {"protocol": "no-cameras"}),
    ],
)
def test_json_holds_what_the_library_gives(file, arrays, options, same) -> None:
    result = invoke(file, *options, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    metrics = evaluate_features(*(arrays[name] for name in NAMES), **same)
    assert list(values) == KEYS
    expected = [*metrics.cmc, metrics.mAP, metrics.mINP, metrics.queries, metrics.queries_without_match, 0]
    assert list(values.values()) == pytest.approx(expected)
    assert values["queries_without_match"] > 0


def test_text(file) -> None:
    result = invoke(file, "--protocol", "market1501", "--rerank")
    assert result.exit_code == 0, result.output
    for part in ("market1501", "euclidean distance, re-ranked, step AP", "Rank-20", "mINP", "30 queries"):
        assert part in result.output


def test_any_feature_of_the_file_is_scored_by_its_name(arrays, tmp_path) -> None:
    renamed = {name.replace("features", "fused"): values for name, values in arrays.items()}
    np.savez(tmp_path / "f.npz", **renamed, **{name: arrays[name] * 0 for name in NAMES[:2]})
    np.savez(tmp_path / "alone.npz", **arrays)
    fused, alone = (
        invoke(*given, "--protocol", "market1501", "--json").stdout
        for given in ((tmp_path / "f.npz", "--feature", "fused"), (tmp_path / "alone.npz",))
    )
    assert fused == alone and json.loads(fused)["mAP"] > 0.2
    absent = invoke(tmp_path / "alone.npz", "--protocol", "market1501", "--feature", "head")
    assert absent.exit_code == 1 and "query_head" in absent.output
    assert "alone.npz: pids is no feature" in fails(tmp_path / "alone.npz", "--feature", "pids")


def test_several_files_are_averaged(file, arrays, tmp_path) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, **arrays | {"query_features": -arrays["query_features"]})
    values = [
        json.loads(invoke(*files, "--protocol", "cuhk03-classic", "--json").stdout)
        for files in ([file], [other], [file, other])
    ]
    assert values[2]["mAP"] == pytest.approx((values[0]["mAP"] + values[1]["mAP"]) / 2)
    assert values[2]["queries"] == 60


def fails(*arguments: object) -> str:
    result = invoke(*arguments, "--protocol", "market1501")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and "Traceback" not in result.output
    return result.output


def test_a_folder_of_features_is_scored_as_a_file(file, arrays, tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    assert "is a folder without features.json" in fails(folder)
    about = {"schema": "reidtrain.features", "version": 1, "dimensions": {"embedding": 8}}
    (folder / "features.json").write_text(json.dumps(about))
    options = ("--protocol", "market1501", "--json")
    assert invoke(folder, *options).stdout == invoke(file, *options).stdout


def test_errors_of_the_features_name_the_file(arrays, tmp_path) -> None:
    arrays["query_features"][3, 2] = np.nan
    np.savez(tmp_path / "nan.npz", **arrays)
    assert "nan.npz: query_features holds nan in row 3, column 2" in fails(tmp_path / "nan.npz")


@pytest.mark.parametrize("options", [[], ["--protocol", "duke"], ["--protocol", "market1501", "--ap", "mean"]])
def test_wrong_usage(file, options) -> None:
    assert invoke(file, *options).exit_code == 2
