"""Marks, the file that they are written to, and shards built without what it lists."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reidprep.poses.reader import PoseSet
from reidprep.shards.exclusions import read_exclusions, write_exclusions
from reidprep.shards.reader import ShardSet

pytestmark = pytest.mark.browser

BUILD = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()", "build-shards", "--json"]

OpenPage = Callable[..., Any]
Serve = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Listed = Callable[[Path], list[str]]


def test_exclude_undo_and_rebuild(
    serve: Serve,
    shards: Path,
    drawn: Path,
    drawn_poses: Path,
    open_page: OpenPage,
    tmp_path: Path,
    until: Until,
    listed: Listed,
) -> None:
    server = serve(shards, "--source", drawn)
    paths = ShardSet.open(shards).column("paths").tolist()
    page = open_page(server.url)
    for index in (1, 4, 6):
        page.click(f"article.sample[data-index='{index}'] button.exclude")
        page.wait_for_selector(f"article.sample[data-index='{index}'] button.exclude[aria-pressed=true]")
    until(lambda: listed(shards) == sorted(paths[index] for index in (1, 4, 6)))
    page.click("#undo")
    page.wait_for_selector("article.sample[data-index='6'] button.exclude[aria-pressed=false]")
    page.click("article.sample[data-index='1'] button.exclude")  # a second click takes it back, too
    page.wait_for_selector("article.sample[data-index='1'] button.exclude[aria-pressed=false]")
    until(lambda: listed(shards) == [paths[4]])
    page.reload()
    assert page.get_attribute("article.sample[data-index='4'] button.exclude", "aria-pressed") == "true"
    page.goto(f"{server.url}/?flag=excluded")
    assert page.shown() == [4]
    page.goto(f"{server.url}/excluded")
    assert paths[4] in page.inner_text("main")

    for out, *options in ((tmp_path / "rebuilt",), (shards, "--overwrite")):
        command = [*BUILD, str(drawn_poses), str(out), "--exclude", str(shards / "exclude.csv"), *options]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert result["rows"] == len(paths) - 1 and result["unknown_excluded"] == []
        rebuilt = ShardSet.open(out)
        assert rebuilt.column("paths").tolist() == [path for path in paths if path != paths[4]]
        assert rebuilt.plan.excluded.images == 1

    # The list stays beside the new shards, which do not have the image any more.
    again = open_page(serve(shards, "--source", drawn).url)
    assert again.count() == len(paths) - 1
    again.click("article.sample[data-index='0'] button.exclude")
    until(lambda: listed(shards) == sorted([paths[0], paths[4]]))
    again.goto(again.url + "excluded")
    assert again.shown() == [0]
    assert paths[4] in again.inner_text("main")


def test_marks_made_fast_are_all_kept_in_their_order(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, until: Until, listed: Listed
) -> None:
    """The next sample is opened before the server has answered."""
    server = serve(shards, "--source", drawn)
    paths = ShardSet.open(shards).column("paths").tolist()
    page = open_page(f"{server.url}/sample/0")
    for index in range(4):
        page.evaluate(
            "['x', 'j'].forEach(key => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})))"
        )
        page.wait_for_url(f"**/sample/{index + 1}*")
    assert listed(shards) == sorted(paths[:4])
    for left in (3, 2, 1):
        page.keyboard.press("u")
        until(lambda left=left: listed(shards) == sorted(paths[:left]))
    page.goto(server.url)
    page.keyboard.press("j")
    for _ in range(9):
        page.keyboard.press("x")  # the first sample was marked and is not after an odd number of times
    until(lambda: page.locator("[aria-pressed=true]").count() == 0)
    until(lambda: listed(shards) == [])


def test_undo_gives_the_reason_again(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, until: Until, listed: Listed
) -> None:
    path = ShardSet.open(shards)[2].path
    write_exclusions(shards / "exclude.csv", {path: "two people"})
    page = open_page(serve(shards, "--source", drawn).url)
    page.click("article.sample[data-index='2'] button.exclude")
    until(lambda: listed(shards) == [])
    page.click("#undo")
    until(lambda: read_exclusions(shards / "exclude.csv") == {path: "two people"})


def test_a_filter_is_excluded_for_a_reason_typed_before_and_undone(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, until: Until, listed: Listed
) -> None:
    opened = ShardSet.open(shards)
    people = opened.column("pids")
    page = open_page(f"{serve(shards, '--source', drawn).url}/?pid={people[0]}")
    page.fill("#reason", "two people")
    page.click("article.sample >> nth=0 >> button.exclude")
    until(lambda: len(listed(shards)) == 1)
    page.click("#mark-all")
    of_person = sorted(path for path, pid in zip(opened.column("paths"), people, strict=True) if pid == people[0])
    until(lambda: read_exclusions(shards / "exclude.csv") == dict.fromkeys(of_person, "two people"))
    page.wait_for_selector("#mark-all[data-excluded=false]")
    assert page.input_value("#reason") == "two people"
    assert f"{len(of_person) - 1} samples excluded" in page.inner_text("[role=status]")
    page.click("#undo")
    until(lambda: len(listed(shards)) == 1)
    page.wait_for_selector("#mark-all[data-excluded=true]")
    page.click("#undo")
    until(lambda: listed(shards) == [])


def test_marks_of_another_window_are_kept(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, until: Until, listed: Listed
) -> None:
    server = serve(shards, "--source", drawn)
    first, second = open_page(server.url), open_page(server.url)
    for page, index in ((first, 0), (second, 2)):
        page.click(f"article.sample[data-index='{index}'] button.exclude")
        page.wait_for_selector(f"article.sample[data-index='{index}'] button.exclude[aria-pressed=true]")
    until(lambda: len(listed(shards)) == 2)


def test_a_mark_that_cannot_be_written_is_not_shown_as_one(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, complaints: list[str], until: Until
) -> None:
    server = serve(shards, "--source", drawn)
    page = open_page(server.url)
    (shards / "exclude.csv").mkdir()  # as root, no folder is read-only
    page.click("article.sample[data-index='1'] button.exclude")
    until(lambda: "exclude.csv" in page.inner_text("[role=status]"))
    assert page.get_attribute("article.sample[data-index='1'] button.exclude", "aria-pressed") == "false"
    assert any("500" in line or "409" in line or "Failed to load" in line for line in complaints)
    complaints.clear()


def test_a_pose_directory(
    serve: Serve, drawn_poses: Path, drawn: Path, open_page: OpenPage, tmp_path: Path, until: Until, listed: Listed
) -> None:
    """Overlays only, and the list of images to leave out."""
    poses = PoseSet(drawn_poses)
    server = serve(drawn_poses, "--source", drawn, "--exclude-file", tmp_path / "exclude.csv")
    page = open_page(server.url)
    assert page.count() == len(poses)
    assert page.wait_for_images() == len(poses)
    page.click("article.sample[data-index='3'] button.exclude")
    until(lambda: listed(tmp_path) == [str(poses.column("paths")[3])])
    for view in ("sample/0", f"identity/{poses.column('pids')[0]}", "overview", "excluded"):
        page.goto(f"{server.url}/{view}")
        page.wait_for_images()
        assert page.locator("h1").count() == 1


def test_an_excluded_sample_without_a_reason_shows_none(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage
) -> None:
    write_exclusions(shards / "exclude.csv", {ShardSet.open(shards)[2].path: ""})
    page = open_page(serve(shards, "--source", drawn).url)
    page.fill("#reason", "blurred")
    for index, reason in ((3, "blurred"), (2, "")):
        page.goto(f"{page.url.partition('/sample')[0].rstrip('/')}/sample/{index}")
        assert page.input_value("#reason") == reason


def test_a_page_that_does_not_know_of_a_mark_neither_changes_nor_undoes_it(
    serve: Serve, shards: Path, drawn: Path, open_page: OpenPage, until: Until
) -> None:
    path = ShardSet.open(shards)[2].path
    page = open_page(serve(shards, "--source", drawn).url)
    write_exclusions(shards / "exclude.csv", {path: "blurred"})
    page.click("article.sample[data-index='2'] button.exclude")
    until(lambda: page.locator("#undo").is_enabled())
    assert read_exclusions(shards / "exclude.csv") == {path: "blurred"}
    page.click("#undo")
    until(lambda: page.locator("#undo").is_disabled())
    assert read_exclusions(shards / "exclude.csv") == {path: "blurred"}
