import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.common import Group
from reid_cli.reidtrain.score import score

from reidtrain.metrics import features_file
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.metrics.reranking import Reranking

KEYS = ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP", "queries", "queries_without_match"]


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
    ],
)
def test_json_holds_what_the_library_gives(file, arrays, options, same) -> None:
    result = invoke(file, *options, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    metrics = evaluate_features(*(arrays[name] for name in features_file.ARRAYS), **same)
    assert list(values) == KEYS
    expected = [*metrics.cmc, metrics.mAP, metrics.mINP, metrics.queries, metrics.queries_without_match]
    assert list(values.values()) == pytest.approx(expected)
    assert values["queries_without_match"] > 0


def test_text(file) -> None:
    result = invoke(file, "--protocol", "market1501", "--rerank")
    assert result.exit_code == 0, result.output
    for part in ("market1501", "euclidean distance, re-ranked, step AP", "Rank-20", "mINP", "30 queries"):
        assert part in result.output


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


def test_missing_arrays_are_named(arrays, tmp_path) -> None:
    del arrays["query_pids"], arrays["gallery_camids"]
    np.savez(tmp_path / "part.npz", **arrays)
    message = fails(tmp_path / "part.npz")
    assert "lacks query_pids, gallery_camids; it holds gallery_features" in message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY\x01\x00", b"\x80\x04K\x01."])
def test_no_npz(content, tmp_path) -> None:
    path = tmp_path / "features.npz"
    path.write_bytes(content)
    assert f"{path} is not an .npz file" in fails(path)


def test_no_file_and_folder(tmp_path) -> None:
    assert "no such file" in fails(tmp_path / "none.npz")
    assert "cannot be read" in fails(tmp_path)


def test_pickled_arrays_are_not_loaded(arrays, tmp_path) -> None:
    np.savez(tmp_path / "pickled.npz", **arrays | {"query_pids": np.array([{}] * 30, dtype=object)})
    assert "cannot be read" in fails(tmp_path / "pickled.npz")


def test_cut_and_damaged_files(file, tmp_path) -> None:
    content = bytearray(file.read_bytes())
    cut, damaged = tmp_path / "cut.npz", tmp_path / "damaged.npz"
    cut.write_bytes(content[: len(content) // 2])
    fails(cut)
    content[200:400] = bytes(200)
    damaged.write_bytes(content)
    fails(damaged)


def test_encrypted_file(file, tmp_path) -> None:
    content = bytearray(file.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    (tmp_path / "encrypted.npz").write_bytes(content)
    assert "encrypted" in fails(tmp_path / "encrypted.npz")


def test_lying_header(file, tmp_path) -> None:
    # A header that promises far more than the member holds.
    header = b"\x93NUMPY\x01\x00\x76\x00" + (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (400000000000, 2048), }".ljust(117) + b"\n"
    )
    path = tmp_path / "lying.npz"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, header if name == "query_features.npy" else source.read(name))
    assert "cannot be read" in fails(path)


def test_larger_than_the_memory(file, monkeypatch) -> None:
    monkeypatch.setattr(features_file, "_memory", lambda: 1000.0)
    assert "GB of memory" in fails(file)


def test_errors_of_the_features_name_the_file(arrays, tmp_path) -> None:
    arrays["query_features"][3, 2] = np.nan
    np.savez(tmp_path / "nan.npz", **arrays)
    assert "nan.npz: query_features holds nan in row 3, column 2" in fails(tmp_path / "nan.npz")


@pytest.mark.parametrize("options", [[], ["--protocol", "duke"], ["--protocol", "market1501", "--ap", "mean"]])
def test_wrong_usage(file, options) -> None:
    assert invoke(file, *options).exit_code == 2
