import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from reid_cli.common import Group
from reid_cli.reidtrain.index import index
from reid_cli.reidtrain.search import search

from reidtrain.retrieval.exact import search as find


def invoke(*arguments: object) -> Result:
    main = Group("reidtrain", commands={"search": search, "index": index})
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def features(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(25, 6)).astype(np.float32), rng.normal(size=(300, 6)).astype(np.float32)
    np.save(tmp_path / "query.npy", query)
    np.save(tmp_path / "gallery-0.npy", gallery[:100])
    np.save(tmp_path / "gallery-1.npy", gallery[100:])
    np.savez(tmp_path / "features.npz", query_features=query, gallery_features=gallery)
    return query, gallery


def nearest(result: Result) -> list[list[int]]:
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["queries"] == len(values["nearest"])
    return [[entry["index"] for entry in row] for row in values["nearest"]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("files", [["features.npz"], ["query.npy", "gallery-0.npy", "gallery-1.npy"]])
def test_json_holds_what_the_library_gives(files, metric, features, tmp_path) -> None:
    result = invoke("search", *(tmp_path / name for name in files), "--top", 5, "--metric", metric, "--json")
    expected = find(features[0], [features[1]], top=5, metric=metric)
    assert nearest(result) == expected.indices.tolist()
    distances = [[entry["distance"] for entry in row] for row in json.loads(result.stdout)["nearest"]]
    np.testing.assert_allclose(distances, expected.distances)


def test_text_and_file(features, tmp_path) -> None:
    result = invoke("search", tmp_path / "features.npz", "--top", 3, "--out", tmp_path / "nearest.npz")
    assert result.exit_code == 0, result.output
    expected = find(features[0], [features[1]], top=3)
    assert result.output.startswith(f"query 0: {expected.indices[0, 0]} ({expected.distances[0, 0]:.4g}), ")
    assert "... and 5 more queries" in result.output
    with np.load(tmp_path / "nearest.npz") as written:
        np.testing.assert_array_equal(written["indices"], expected.indices)
        np.testing.assert_array_equal(written["distances"], expected.distances)


def test_paths_are_told_where_the_files_have_them(features, tmp_path) -> None:
    names = np.array([f"gallery/{number:03d}.jpg" for number in range(300)])
    expected = names[find(features[0], [features[1]], top=3).indices].tolist()
    np.savez(tmp_path / "named.npz", query_features=features[0], gallery_features=features[1], gallery_paths=names)
    folders = []
    for number, part in enumerate((slice(100), slice(100, None))):
        folders.append(tmp_path / f"folder-{number}")
        folders[-1].mkdir()
        np.save(folders[-1] / "features.npy", features[1][part])
        np.save(folders[-1] / "paths.npy", names[part])
    parts = [folder / "features.npy" for folder in folders]
    for files in ([tmp_path / "named.npz"], [tmp_path / "query.npy", *parts]):
        values = json.loads(invoke("search", *files, "--top", 3, "--json").stdout)["nearest"]
        assert [[entry["path"] for entry in row] for row in values] == expected
        assert f"query 0: {expected[0][0]} (" in invoke("search", *files, "--top", 3).output
    np.save(folders[1] / "paths.npy", names[:5])
    assert f"{folders[1] / 'paths.npy'}: gallery_paths is of 5 images, the features are of 200" in (
        invoke("search", tmp_path / "query.npy", *parts).output
    )


def test_labelled_images_are_judged_listed_and_drawn(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for name in ("q.png", "a.png", "b.png", "c.png", "d.png"):
        Image.fromarray(rng.integers(0, 256, (20, 10, 3), dtype=np.uint8)).save(tmp_path / name)
    gallery = {
        "gallery_features": np.arange(1.0, 5)[:, None],
        "gallery_paths": np.array(["a.png", "b.png", "c.png", "d.png"]),
        "gallery_pids": np.array([1, 1, 2, -1]),
        "gallery_camids": np.array([1, 2, 2, 2]),
    }
    query = {"query_paths": np.array(["q.png"]), "query_pids": np.array([1]), "query_camids": np.array([1])}
    np.savez(tmp_path / "features.npz", query_features=np.zeros((1, 1)), **query, **gallery)
    drawn, listing = tmp_path / "drawn", tmp_path / "found.json"
    asked = ("search", tmp_path / "features.npz", "--list", listing, "--draw", drawn, "--images", tmp_path)
    result = invoke(*asked)
    assert result.exit_code == 0, result.output
    verdicts = "a.png (1, junk), b.png (2, right), c.png (3, wrong), d.png (4, junk)"
    assert result.output.startswith(f"query 0 (q.png): {verdicts}\n1 query on 1 sheet")
    (found,) = json.loads(listing.read_text())["queries"]
    assert found["path"] == "q.png" and [entry["verdict"] for entry in found["found"]] == [
        *("junk", "right", "wrong", "junk")
    ]
    page = (drawn / "index.html").read_text()
    assert page.count("&#x2713;") + page.count("\u2713") >= 2 and 'class="junk"' in page
    assert "junk: nobody of the set" in page
    assert "give the folder of its images by --images" in invoke(*asked[:-2]).output
    (tmp_path / "b.png").unlink()
    assert "b.png: file not found" in invoke(*asked).output
    assert "go with --draw" in invoke("search", tmp_path / "features.npz", "--images", tmp_path).output


def test_images_of_one_camera_are_no_junk(tmp_path) -> None:
    labels = {"gallery_pids": np.array([1, 2]), "gallery_camids": np.array([0, 0])}
    query = {"query_features": np.zeros((1, 1)), "query_pids": np.array([1]), "query_camids": np.array([0])}
    np.savez(tmp_path / "features.npz", gallery_features=np.arange(1.0, 3)[:, None], **query, **labels)
    assert invoke("search", tmp_path / "features.npz").output == "query 0: 0 (1, right), 1 (2, wrong)\n"


@pytest.mark.parametrize("code", [0xD800, 0x7FFFFFFF])
def test_paths_that_are_no_text(code, features, tmp_path) -> None:
    names = np.array(["a.jpg"] * 300)
    names.view(np.uint32)[0] = code
    np.savez(tmp_path / "named.npz", query_features=features[0], gallery_features=features[1], gallery_paths=names)
    result = invoke("search", tmp_path / "named.npz", "--top", 300, "--json")
    paths = {entry["index"]: entry["path"] for entry in json.loads(result.stdout)["nearest"][0]}
    assert paths[1] == "a.jpg" and paths[0].endswith(".jpg") and not paths[0].startswith("a")


def test_index(features, tmp_path) -> None:
    pytest.importorskip("faiss")
    parts = [tmp_path / "gallery-0.npy", tmp_path / "gallery-1.npy"]
    result = invoke("index", *parts, "--out", tmp_path / "index", "--kind", "hnsw", "--metric", "cosine")
    assert result.output == "hnsw index of 300 images, 6 dimensions, cosine distance\n"
    found = nearest(
        invoke("search", tmp_path / "query.npy", *parts, "--index", tmp_path / "index", "--top", 4, "--json")
    )
    assert found == find(features[0], [features[1]], top=4, metric="cosine").indices.tolist()
    assert json.loads(invoke("index", *parts, "--out", tmp_path / "other", "--kind", "hnsw", "--json").stdout) == {
        "out": str(tmp_path / "other"),
        **json.loads((tmp_path / "other" / "index.json").read_text()),
    }


@pytest.mark.parametrize("options", [["--candidates", 30], ["--visits", 3], ["--index", "i", "--metric", "cosine"]])
def test_options_that_would_be_ignored(options, features, tmp_path) -> None:
    assert invoke("search", tmp_path / "features.npz", *options).exit_code == 2


def fails(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and "Traceback" not in result.output
    return result.output


def test_where_results_go_is_made_or_refused_before_the_search(features, tmp_path, monkeypatch) -> None:
    asked = ("search", tmp_path / "features.npz")
    assert invoke(*asked, "--list", tmp_path / "new/found.csv", "--out", tmp_path / "other/found.npz").exit_code == 0
    assert (tmp_path / "new/found.csv").is_file() and (tmp_path / "other/found.npz").is_file()
    monkeypatch.setattr("reidtrain.retrieval.exact.search", None)
    for option, name in (("--list", "found.csv"), ("--out", "found.npz")):
        assert "query.npy: is a file; choose a folder" in fails(*asked, option, tmp_path / "query.npy" / name)


def test_files_that_cannot_be_read(features, tmp_path) -> None:
    query = tmp_path / "query.npy"
    assert "none.npy: no such file" in fails("search", query, tmp_path / "none.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object))
    assert "objects.npy is no .npy file of numbers" in fails("search", query, tmp_path / "objects.npy")
    np.savez(tmp_path / "other.npz", query_features=features[0])
    assert "other.npz lacks gallery_features; it holds query_features" in fails("search", tmp_path / "other.npz")
    assert "is a folder without features.json" in fails("index", tmp_path, "--out", tmp_path / "index")
