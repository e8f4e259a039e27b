"""Pictures: the bytes of the shards, the pixels of the source, or the reason why there is none."""

import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidprep.shards.reader import ShardSet


def test_pictures_are_the_stored_bytes(reader, drawn_shards: Path) -> None:
    encoded = ShardSet.open(drawn_shards).encoded(2)
    for name, data in zip(("whole", "head", "upper_body", "upper_leg", "lower_leg", "plain"), encoded, strict=True):
        answer = reader.get(f"/image/2/{name}")
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        assert answer.content == data.tobytes()


def test_the_source_image_is_sent_as_pixels(reader, drawn: Path, drawn_shards: Path) -> None:
    path = ShardSet.open(drawn_shards)[2].path
    answer = reader.get("/image/2/source")
    sent = np.asarray(Image.open(BytesIO(answer.content)), dtype=float)
    there = np.asarray(Image.open(drawn / path).convert("RGB"), dtype=float)
    assert sent.shape == there.shape and np.abs(sent - there).mean() < 4


def test_raw_shards_are_encoded_without_loss(browse, by_hand) -> None:
    path = by_hand({"train": ["a.jpg"]}, encoding="raw")
    answer = browse(path).get("/image/0/head")
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(answer.content))), ShardSet.open(path)[0].parts[0])


@pytest.mark.parametrize("path", ["/image/0/tail", "/image/99999/whole", "/image/-1/whole", "/image/x/whole"])
def test_pictures_that_are_not_there(reader, path: str) -> None:
    assert reader.get(path).status_code == 404


@pytest.mark.parametrize("without", ["image_sizes", ""])
def test_without_source_images_the_crop_stands_at_its_place(browse, by_hand, without: str) -> None:
    client = browse(by_hand({"train": ["a.jpg"]}, without=without))
    answer = client.get("/image/0/source")
    assert answer.status_code == 404 and answer.headers["content-type"] == "image/svg+xml"
    assert "--source" in client.get("/sample/0").text
    drawing = re.search(r'<svg class="overlay".*?</svg>', client.get("/?show=source").text, re.DOTALL)
    assert drawing and 'href="/image/0/whole?' in drawing[0]


def test_addresses_of_pictures_change_with_the_shards_and_the_source(
    browse, by_hand, drawn: Path, drawn_shards: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(drawn, tmp_path / "copy")
    versions = set()
    for path, source in ((by_hand({"train": ["a.jpg"]}), None), (drawn_shards, drawn), (drawn_shards, copy)):
        found = re.search(r"/image/0/whole\?v=(\w+)", browse(path, source=source).get("/").text)
        assert found
        versions.add(found[1])
    assert len(versions) == 3
