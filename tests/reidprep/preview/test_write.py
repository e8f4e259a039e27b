import base64
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.preview.selection import Selection
from reidprep.preview.write import write_preview
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS

MakeShards = Callable[..., Path]


class Elements(HTMLParser):
    """All start tags with their attributes, all text, and whether every element is closed."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def previewed(drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("preview") / "out"
    write_preview(drawn_shards, out, Selection(limit=5), per_sheet=2)
    return out


def test_the_files_and_the_summary(drawn_shards: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_preview(
        drawn_shards, tmp_path, Selection(limit=5), per_sheet=2, progress=lambda *call: calls.append(call)
    )
    total = len(ShardSet.open(drawn_shards))
    assert (summary.shown, summary.matched, summary.total, summary.missing) == (5, total, total, 0)
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html",
        "preview.json",
        *(p.name for p in summary.sheets),
    }
    assert [path.name for path in summary.sheets] == ["sheet-001.png", "sheet-002.png", "sheet-003.png"]
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_the_same_input_gives_the_same_files(drawn_shards: Path, previewed: Path, tmp_path: Path) -> None:
    write_preview(drawn_shards, tmp_path, Selection(random=3, limit=7), per_sheet=2)  # one sheet more
    write_preview(drawn_shards, tmp_path, Selection(limit=5), per_sheet=2)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in previewed.iterdir()}
    for path in previewed.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_the_page_holds_all_it_shows(previewed: Path) -> None:
    page = Elements((previewed / "index.html").read_text(encoding="utf-8"))
    assert not page.open
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert len(links) == 5 * 6 and all(link and link.startswith("data:image/jpeg;base64,") for link in links)
    for link in links:
        data = base64.b64decode((link or "").split(",")[1], validate=True)
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    text = " ".join(page.text)
    assert "://" not in text and "url(" not in text
    assert all(re.search(rf"{joint}: (measured|filled), score", text) for joint in ("nose", "l_knee"))
    assert all(joint in text for joint in JOINTS)


def test_the_page_names_each_sample(drawn_shards: Path, previewed: Path) -> None:
    text = (previewed / "index.html").read_text(encoding="utf-8")
    indices = [int(number) for number in re.findall(r'<article id="sample-(\d+)"', text)]
    shards = ShardSet.open(drawn_shards)
    assert len(indices) == 5 and indices == sorted(indices)
    assert all(f"<h3>{shards[index].path}</h3>" in text for index in indices)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.jpg", "a&amp;\"'b.jpg", "r\u00fce \u6f22.jpg", "x\ny.jpg"])
def test_any_path_is_shown_as_it_is(make_shards: MakeShards, tmp_path: Path, name: str) -> None:
    summary = write_preview(make_shards([name]), tmp_path / "out")
    page = Elements(summary.page.read_text(encoding="utf-8"))
    assert not page.open
    assert name in page.text
    assert "script" not in {tag for tag, _ in page.tags}


def test_images_that_are_gone_leave_a_note(make_shards: MakeShards, tmp_path: Path) -> None:
    summary = write_preview(make_shards(["a.jpg", "b.jpg"]), tmp_path / "out")
    assert summary.missing == 2
    text = summary.page.read_text(encoding="utf-8")
    assert text.count("source missing: whole-body crop") == 2 and "--source" in text


def test_one_image_that_is_gone(drawn: Path, drawn_shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(drawn, copy)
    (copy / ShardSet.open(drawn_shards)[0].path).unlink()
    summary = write_preview(drawn_shards, tmp_path / "out", Selection(limit=1), source=copy)
    assert summary.missing == 1
    assert "source image: file not found" in summary.page.read_text(encoding="utf-8")


def test_a_wrong_source_leaves_the_earlier_preview(drawn_shards: Path, tmp_path: Path) -> None:
    summary = write_preview(drawn_shards, tmp_path / "out", Selection(limit=1))
    with pytest.raises(ReidError, match="nowhere"):
        write_preview(drawn_shards, tmp_path / "out", source=tmp_path / "nowhere")
    assert summary.page.exists()


def test_the_shards_are_no_place_for_a_preview(drawn_shards: Path) -> None:
    before = sorted(drawn_shards.iterdir())
    with pytest.raises(ReidError, match="not empty"):
        write_preview(drawn_shards, drawn_shards)
    assert sorted(drawn_shards.iterdir()) == before


def test_joints_that_are_not_numbers(make_shards: MakeShards, tmp_path: Path) -> None:
    """An estimator that found nothing: the pose is a guess, the page says so, worst first."""
    nothing = np.full((18, 3), np.nan, dtype=np.float32)
    fine = np.array([(32 + (-1) ** i * 8, 15 + 5.5 * i, 0.9) for i in range(18)], dtype=np.float32)
    shards = make_shards(["fine.jpg", "nothing.jpg"], [fine, nothing])
    text = write_preview(shards, tmp_path / "out", Selection(flagged=True)).page.read_text(encoding="utf-8")
    assert text.index("<h3>nothing.jpg") < text.index("<h3>fine.jpg")
    assert "filled, no score" in text and '="nan' not in text


def test_per_sheet_is_at_least_one(drawn_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="0 on a sheet"):
        write_preview(drawn_shards, tmp_path / "out", per_sheet=0)
