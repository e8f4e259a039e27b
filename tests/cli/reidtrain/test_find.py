"""Finding people by their images in folders, features and shards, and what is told of them."""

from __future__ import annotations

import csv
import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.reidtrain.main import main

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.shards.build import BuildOptions, build_shards
from reidtrain.checkpoints import load_checkpoint
from reidtrain.features.embedder import Embedder, embed_to_file
from reidtrain.features.extract import extract_to_file
from reidtrain.features.extractor import Computing

HERE = ("--workers", 1, "--device", "cpu")
COMPUTING = Computing(device="cpu", workers=0)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["find", *map(str, arguments), *map(str, HERE)])


def found(*arguments: object) -> list[dict]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["queries"]


@pytest.fixture
def run(make_run):
    return make_run("run", "attention-driven-market1501", "model.branches=[head]")


@pytest.fixture
def person(drawn):
    return sorted((drawn / "query").iterdir())[0]


def test_a_person_is_found_in_a_folder_that_nobody_labelled(run, person, drawn, tmp_path) -> None:
    pictures, listing = tmp_path / "found", tmp_path / "found.csv"
    result = invoke(run, person, drawn / "query", "--top", 2, "--draw", pictures, "--list", listing)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"query 0: {person}"
    assert lines[1].split()[:2] == ["1", "0.0000"] and lines[1].endswith(person.name)
    assert lines[2].split()[0] == "2" and lines[3].startswith("1 query on 1 sheet")
    page = (pictures / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 3 and "right: the query" not in page and "None" not in page
    rows = list(csv.DictReader(listing.open(encoding="utf-8")))
    assert [(row["rank"], row["verdict"], row["pid"]) for row in rows] == [("1", "", ""), ("2", "", "")]
    assert rows[0]["path"] == person.name and rows[0]["query_path"] == str(person)


def test_all_kinds_of_galleries_give_the_same(run, person, drawn, drawn_shards, tmp_path) -> None:
    checkpoint = load_checkpoint(run)
    embed_to_file(Embedder(checkpoint, COMPUTING), drawn / "bounding_box_test", tmp_path / "embedded.npz")
    extract_to_file(checkpoint, drawn_shards, tmp_path / "features.npz", computing=COMPUTING)
    extract_to_file(checkpoint, drawn_shards, tmp_path / "folder", images="gallery", computing=COMPUTING)
    galleries = {
        "images": found(run, person, drawn / "bounding_box_test", "--top", 3),
        **{
            name: found(run, person, tmp_path / name, "--top", 3, "--draw", tmp_path / "drawn")
            for name in ("embedded.npz", "features.npz")
        },
        "folder": found(run, person, tmp_path / "folder", "--top", 3),
        "shards": found(run, person, drawn_shards, "--top", 3),
    }
    names = {
        kind: [entry["path"].rpartition("/")[2] for entry in lists[0]["found"]] for kind, lists in galleries.items()
    }
    assert len({tuple(paths) for paths in names.values()}) == 1
    for lists in galleries.values():
        distances = [[entry["distance"] for entry in some[0]["found"]] for some in (lists, galleries["images"])]
        np.testing.assert_allclose(*distances, atol=1e-4)
    assert "pid" not in galleries["images"][0]["found"][0] and galleries["shards"][0]["found"][0]["camera"] > 0


def test_a_gallery_of_one_and_several_queries(run, drawn, person, tmp_path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(person, tmp_path / "one")
    lists = found(run, drawn / "query", person, tmp_path / "one", "--top", 5)
    assert len(lists) == 5 and [len(entry["found"]) for entry in lists] == [1] * 5
    assert lists[4]["found"][0]["distance"] == 0


def test_images_of_a_list_are_where_its_link_lies(run, drawn, person, tmp_path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/real.csv").write_text(f"path\n{person.name}\n")
    shutil.copy(person, tmp_path)
    (tmp_path / "current.csv").symlink_to("lists/real.csv")
    embed_to_file(Embedder(run, COMPUTING), tmp_path / "current.csv", tmp_path / "features.npz")
    result = invoke(run, person, tmp_path / "features.npz", "--draw", tmp_path / "drawn")
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX alone")
def test_folders_whose_names_are_no_text(run, drawn, person, tmp_path) -> None:
    gallery = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(drawn / "query", gallery)
    result = invoke(run, person, gallery, "--draw", tmp_path / "drawn", "--list", tmp_path / "list.json", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["queries"], result.output


def test_images_that_cannot_be_read_are_left_out_and_told(run, drawn, tmp_path) -> None:
    shutil.copytree(drawn / "query", tmp_path / "photos")
    (tmp_path / "photos/a.jpg").write_bytes(b"no image")
    result = invoke(run, drawn / "query", tmp_path / "photos", "--top", 1)
    assert result.exit_code == 3 and "1 image was skipped:\n  a.jpg: not an image" in result.stderr


def test_what_cannot_be_compared_is_refused(
    run, make_run, person, drawn, drawn_poses, strips_shards, estimator, tmp_path
) -> None:
    other = make_run("other", "attention-driven-market1501", "model.branches=[head]", "seed=7")
    shutil.copytree(drawn / "query", tmp_path / "moved")
    embedder = Embedder(run, COMPUTING, estimator=estimator)
    embed_to_file(embedder, tmp_path / "moved", tmp_path / "features.npz")
    shutil.rmtree(tmp_path / "moved")
    embed_to_file(Embedder(other, COMPUTING, estimator=estimator), person, tmp_path / "other.npz")
    files = [str(tmp_path / f"{name}.npz") for name in ("features", "features", "other")]
    assert CliRunner().invoke(main, ["search", *files[:2]]).exit_code == 0
    assert "by another network than those of" in CliRunner().invoke(main, ["search", *files]).output
    flipping = Embedder(run, Computing("cpu", 0, flip=True), estimator=estimator)
    embed_to_file(flipping, person, tmp_path / "flipped.npz")
    build_shards(drawn_poses, tmp_path / "beta", BuildOptions(beta=0.1))
    extract_to_file(load_checkpoint(run), tmp_path / "beta", tmp_path / "beta.npz", computing=COMPUTING)
    output = CliRunner().invoke(main, ["search", files[0], str(tmp_path / "beta.npz")]).output
    assert "beta.npz: the crops of its features were cut otherwise than those of" in output and "(beta 0.0625" in output
    asked = ["index", *files[1:], "--kind", "hnsw", "--out", str(tmp_path / "index")]
    assert "by another network than those of" in CliRunner().invoke(main, asked).output
    np.savez(tmp_path / "anybodys.npz", gallery_features=np.ones((3, 4)))
    for checkpoint, gallery, message in [
        (other, "features.npz", "features.npz: its features were computed by another network"),
        (run, "flipped.npz", "were computed otherwise (flip True, here False)"),
        (run, "anybodys.npz", "anybodys.npz lacks about"),
        (run, "beta", "beta: its crops were cut otherwise than those of the queries (beta 0.1 -> 0.0625)"),
        (run, strips_shards, "alignment strips"),
        (run, "nothing", "nothing: no such file or folder"),
    ]:
        result = invoke(checkpoint, person, tmp_path / gallery)
        assert result.exit_code == 1 and message in result.output, result.output
    assert "goes with --draw" in invoke(run, person, drawn, "--images", drawn).output
    assert "end in .csv or .json" in invoke(run, person, drawn, "--list", tmp_path / "list.txt").output
    asked = (run, person, tmp_path / "features.npz", "--draw", tmp_path / "drawn")
    assert "give the folder of its images by --images" in invoke(*asked).output
    assert invoke(*asked, "--images", drawn / "query").exit_code == 0
