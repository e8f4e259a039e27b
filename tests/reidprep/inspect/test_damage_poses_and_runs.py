"""What is damaged, and what is not shards: pose directories and the pictures of runs."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from reidprep.files import write_file
from reidprep.inspect.runs import find_run_pictures
from reidprep.store.manifest import MANIFEST

from .conftest import count, indices


def test_a_damaged_sample_shows_as_such(browse, by_hand) -> None:
    path = by_hand({"train": ["a.jpg", "b.jpg", "c.jpg"]})
    with h5py.File(path / "train-00000.h5", "r+") as file:
        file["images"][int(file["offsets"][5]) + 3] ^= 255
    client = browse(path)
    assert client.get("/").status_code == 200
    assert [client.get(f"/image/{index}/whole").status_code for index in range(3)] == [200, 404, 200]
    picture = client.get("/image/1/whole")
    assert picture.headers["content-type"] == "image/svg+xml" and "checksum" in picture.text
    assert "do not match their checksum" in client.get("/sample/1").text
    assert "checksum" not in client.get("/sample/0").text


@pytest.mark.parametrize("damage", ["cut", "gone", "rows", "offsets"])
def test_a_damaged_file_breaks_nothing_else(browse, by_hand, damage: str) -> None:
    path = by_hand({"train": ["a.jpg", "b.jpg"], "query": ["c.jpg"]})
    file = path / "train-00000.h5"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif damage == "gone":
        file.unlink()
    elif damage == "rows":
        manifest = (path / MANIFEST).read_text(encoding="utf-8").replace('"rows": 2', '"rows": 3')
        write_file(path / MANIFEST, (manifest.rpartition(',\n "sha256"')[0] + "\n}").encode())
    else:
        with h5py.File(file, "r+") as content:
            del content["offsets"]
            content["offsets"] = np.zeros(3, np.uint64)
    client = browse(path)
    total = 4 if damage == "rows" else 3
    page = client.get("/").text
    assert count(page) == total
    last = total - 1
    assert client.get(f"/image/{last}/whole").status_code == 200
    assert client.get("/image/0/whole").status_code == 404
    for address in ("/sample/0", f"/sample/{last}", "/overview", "/?sort=doubt", "/?sort=path&order=desc"):
        assert client.get(address).status_code == 200
    assert "c.jpg" in client.get(f"/sample/{last}").text
    if damage != "offsets":
        assert indices(client.get("/?flag=damaged").text) == list(range(last))
        assert indices(client.get("/?min_score=-1").text) == [last]


def test_shards_that_were_made_again_are_not_shown_by_the_old_numbers(browse, by_hand) -> None:
    path = by_hand({"train": ["a.jpg", "b.jpg"]})
    client = browse(path)
    assert client.get("/image/0/whole").status_code == 200
    (path / MANIFEST).touch()
    assert client.get("/image/0/whole").status_code == 200
    shutil.rmtree(path)
    assert client.get("/").status_code == 409
    by_hand({"train": ["b.jpg", "a.jpg"]}, encoding="raw")
    for address in ("/", "/sample/0"):
        answer = client.get(address)
        assert answer.status_code == 409 and "was made again" in answer.text
    assert client.get("/image/0/whole").status_code == 404


def test_poses_have_overlays_only(browse, drawn_poses: Path, tmp_path: Path) -> None:
    client = browse(drawn_poses, exclude=tmp_path / "exclude.csv")
    page = client.get("/").text
    assert page.count('<svg class="overlay"') == len(indices(page)) > 0
    assert "/whole?" not in page and "box-head" not in page
    for address in ("/sample/0", "/identity/2", "/overview", "/excluded", "/image/0/source", "/?min_filled=1"):
        assert client.get(address).status_code == 200, address
    assert client.get("/image/0/whole").status_code == 404
    for query in ("min_residual=1", "sort=height", "flag=truncated", "max_outside=0"):
        answer = client.get(f"/?{query}")
        assert answer.status_code == 400 and "build shards" in answer.text


def test_a_damaged_part_of_poses(browse, drawn_poses: Path, tmp_path: Path) -> None:
    path = tmp_path / "poses"
    shutil.copytree(drawn_poses, path)
    part = sorted(path.glob("part-*.h5"))[0]
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    client = browse(path)
    page = client.get("/")
    assert page.status_code == 200 and "SHA-256" in page.text
    assert client.get("/sample/0").status_code == 200 and client.get("/overview").status_code == 200


def test_pictures_of_a_run(browse, drawn_shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    maps = run / "maps"
    maps.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(maps / "sheet-001.png")
    (maps / "other.png").write_bytes(b"secret")
    (maps / "sheet-002.png").symlink_to("/etc/passwd")
    (maps / "preview.json").write_text('{"files": ["index.html", "sheet-001.png", "sheet-002.png", "../../x.png"]}')
    Image.new("RGB", (4, 4)).save(run / "curves.png")
    (run / "run.json").write_text("{}")
    client = browse(drawn_shards, run=run, exclude=tmp_path / "exclude.csv")
    page = client.get("/run").text
    assert re.findall(r'src="(/run/[^"]+)"', page) == ["/run/0/curves.png", "/run/1/sheet-001.png"]
    assert client.get("/run/1/sheet-001.png").headers["content-type"] == "image/png"
    for name in ("other.png", "sheet-002.png", "preview.json", "index.html", "..%2frun.json", "%2e%2e%2frun.json"):
        assert client.get(f"/run/1/{name}").status_code == 404
    assert client.get("/run/7/curves.png").status_code == 404


def test_sheets_come_in_the_order_of_their_list(tmp_path: Path) -> None:
    names = [f"sheet-{number:03d}.png" for number in (1, 999, 1000)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "preview.json").write_text(json.dumps({"files": ["index.html", *names]}))
    (found,) = find_run_pictures(tmp_path)
    assert list(found.names) == names


def test_a_run_without_pictures_yet(browse, drawn_shards: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    page = browse(drawn_shards, run=tmp_path, exclude=tmp_path / "exclude.csv").get("/run").text
    assert "No pictures yet" in page and "<img" not in page
