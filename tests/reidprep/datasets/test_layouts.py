"""Datasets as people have them: named in some form, a folder per person, lists with names, and no splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.records import Names

Touch = Callable[..., Path]


def said(dataset: Dataset) -> list[tuple[str, int, int, str]]:
    return [(record.path, record.pid, record.camid, record.split) for record in dataset.records]


def splits(dataset: Dataset) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"train": set(), "query": set(), "gallery": set()}
    for record in dataset.records:
        found[record.split].add(record.path)
    return found


@pytest.mark.parametrize(
    ("pattern", "path", "pid", "camid", "frame"),
    [
        ("{pid}_c{cam}_{frame}", "0002_c3_0007.jpg", 2, 3, 7),
        ("{pid}_c{cam}_{frame}.png", "0002_C3_0007.PNG", 2, 3, 7),
        ("*/{pid}_c{cam}s*", "train/-1_c2s1_000451_03.jpg.jpg", -1, 2, -1),
        ("cam{cam}/{pid}/*", "cam12/0001/x.y.bmp", 1, 12, -1),
        ("{pid}/{pid}C{cam}T{tracklet}F{frame}", "0001/0001C1T0002F003.jpg", 1, 1, 3),
    ],
)
def test_a_pattern_reads_paths(touch: Touch, pattern: str, path: str, pid: int, camid: int, frame: int) -> None:
    dataset = open_dataset(touch(path), "pattern", {"pattern": pattern, "train": "1"})
    (record,) = dataset.records
    assert (record.path, record.pid, record.camid, record.frame) == (path, pid, camid, frame)
    assert dataset.options.get("tracklets") == ("yes" if "{tracklet}" in pattern else None)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{pid}_{camera}", r"\{camera\} is not known \(did you mean 'cam'\?\); there are \{pid\}, \{cam\}"),
        ("{cam}_*", r"says no \{pid\}"),
        ("{pid_*", "a brace is not closed"),
        ("../{pid}", "is not a path below"),
        ("{pid}-{frame}", r"of 3 images none are named like.*not so: 1_2\.jpg, 3_4\.jpg, a\.jpg; mend the pattern"),
        ("{pid}_{frame}", r"of 3 images 2 are named like.*not so: a\.jpg; .*unmatched=skip"),
    ],
)
def test_a_pattern_that_does_not_fit_is_refused(touch: Touch, pattern: str, reason: str) -> None:
    with pytest.raises(ReidError, match=reason):
        open_dataset(touch("1_2.jpg", "3_4.jpg", "a.jpg"), "pattern", {"pattern": pattern})


def test_what_is_named_otherwise_may_be_left_out(touch: Touch) -> None:
    options = {"pattern": "{pid}_{frame}", "unmatched": "skip", "train": "1"}
    dataset = open_dataset(touch("1_2.jpg", "1_4.jpg", "a.jpg", ".1_3.jpg", "notes.txt"), "pattern", options)
    assert [record.path for record in dataset.records] == ["1_2.jpg", "1_4.jpg"]
    assert dataset.notes[:2] == ("2 of 3 images are named like {pid}_{frame}", "ignored 1 that are not: a.jpg")


def test_a_name_that_can_be_read_in_two_ways_is_refused(touch: Touch) -> None:
    root = touch("a_c1_c2_3.jpg")
    with pytest.raises(ReidError, match="could be pid a, cam 1_c2, frame 3 or pid a_c1, cam 2, frame 3; say more"):
        open_dataset(root, "pattern", {"pattern": "{pid}_c{cam}_{frame}"})


def test_a_pattern_that_is_not_given(touch: Touch) -> None:
    with pytest.raises(ReidError, match="needs the form of the names: --pattern"):
        open_dataset(touch("1.jpg"), "pattern")


@pytest.mark.parametrize("folder", ["query", "gallery"])
def test_splits_that_the_paths_tell(touch: Touch, folder: str) -> None:
    root = touch("train/1_1.jpg", f"{folder}/2_1.jpg", "test/2_2.jpg", "test/3_1.jpg")
    dataset = open_dataset(root, "pattern", {"pattern": "{split}/{pid}_{cam}"})
    assert [record.split for record in dataset.records] == ["train", *sorted([folder, "gallery", "gallery"])[::-1]]
    with pytest.raises(ReidError, match=r"are divided already, into .*; leave out --"):
        open_dataset(root, "pattern", {"pattern": "{split}/{pid}_{cam}", "train": "0.5"})


def test_a_folder_per_person_with_cameras_in_the_names(touch: Touch) -> None:
    names = [f"{person}/{person}_c{camera}s1_{frame}.jpg" for person in "123" for camera in (1, 2) for frame in (1, 2)]
    dataset = open_dataset(touch(*names), "folders", {"train": "0.34", "seed": "7"})
    found = splits(dataset)
    assert [len(found[split]) for split in ("train", "query", "gallery")] == [4, 4, 4]
    assert dataset.options == {"train": "0.34", "seed": "7"}
    assert not found["query"] & found["gallery"]
    assert dataset.notes == (
        "cameras from the file names: 1, 2",
        "divided by identity, seed 7: 1 person trains, 2 people are searched for",
    )


def test_a_folder_per_person_without_cameras(touch: Touch) -> None:
    root = touch(*(f"{split}/{person}/{n}.jpg" for split in ("train", "test") for person in "12" for n in range(3)))
    dataset = open_dataset(root, "folders")
    assert {record.camid for record in dataset.records} == {0}
    assert {split: len(paths) for split, paths in splits(dataset).items()} == {"train": 6, "query": 2, "gallery": 4}
    assert dataset.options == {"seed": "0", "cameras": "none"}
    assert "no cameras are known: people are searched in all other images (--protocol no-cameras)" in dataset.notes


def test_division_does_not_depend_on_order_and_hardly_on_who_joins(touch: Touch) -> None:
    def made(people: range, seed: int) -> set[int]:
        root = touch(*(f"{person}_c{camera}_{n}.jpg" for person in people for camera in (1, 2) for n in (1, 2)))
        options = {"pattern": "{pid}_c{cam}_{frame}", "seed": str(seed)}
        dataset = open_dataset(root, "pattern", options)
        assert open_dataset(root, "pattern", options).records == dataset.records
        return {record.pid for record in dataset.records if record.split == "train"}

    first, other = made(range(1, 41), 0), made(range(1, 41), 1)
    assert len(first) == len(other) == 20
    assert first != other
    assert len(first - made(range(1, 43), 0)) <= 2


def test_who_cannot_be_searched_for_does_no_harm(touch: Touch) -> None:
    root = touch(
        "one/c1.jpg",
        *(f"same/c1_{n}.jpg" for n in range(3)),
        *(f"{person}/c{camera}_{n}.jpg" for person in "abc" for camera in (1, 2) for n in range(2)),
        "a/c3_0.jpg",
        "-1/c1.jpg",
    )
    found = splits(dataset := open_dataset(root, "folders", {"train": "0.5"}))
    assert {path for path in found["train"] if path[0] == "s"} == {f"same/c1_{n}.jpg" for n in range(3)}
    assert {"one/c1.jpg", "-1/c1.jpg"} <= found["gallery"]
    assert "1 person has one image only and cannot be searched for (one): they are in the gallery" in dataset.notes
    assert "1 person has one camera only and cannot be searched for (same): they train" in dataset.notes
    # Each query finds somebody at another camera, and a single image at a camera stays in the gallery.
    pids = {(record.pid, record.camid) for record in dataset.records if record.split == "gallery"}
    for record in dataset.records:
        if record.split == "query":
            assert any(pid == record.pid and camid != record.camid for pid, camid in pids)
    assert "a/c3_0.jpg" not in found["query"]


ODD = ('Ann, of "C"', "Zoë 人", "b;c#1%", "x\ty")


def test_people_with_names_are_numbered_in_sorted_order(touch: Touch) -> None:
    root = touch(*(f"{name}/{n}.jpg" for name in ODD for n in range(2)))
    dataset = open_dataset(root, "folders", {"train": "1"})
    assert dataset.names == Names(people=tuple(sorted(ODD)))
    assert {(record.path.split("/")[0], record.pid) for record in dataset.records} == {
        (name, number) for number, name in enumerate(sorted(ODD), start=1)
    }


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        (("0001", "ann"), "person ids: 1 are numbers, 1 are not .ann.; take all as names by --dataset-option ids=text"),
        (("0001", "1"), "person ids: 0001 and 1 would be the same number"),
    ],
)
def test_numbers_and_names_mixed_are_refused_but_on_demand(touch: Touch, folders: tuple[str, ...], reason: str) -> None:
    root = touch(*(f"{name}/1.jpg" for name in folders))
    with pytest.raises(ReidError, match=reason):
        open_dataset(root, "folders")
    assert open_dataset(root, "folders", {"ids": "text"}).names.people == tuple(sorted(folders))


def test_cameras_keep_their_numbers_where_people_are_taken_as_names(touch: Touch) -> None:
    root = touch("12_c3.jpg", "ann_c10.jpg")
    dataset = open_dataset(root, "pattern", {"pattern": "{pid}_c{cam}", "train": "1", "ids": "text"})
    assert said(dataset) == [("12_c3.jpg", 1, 3, "train"), ("ann_c10.jpg", 2, 10, "train")]
    assert dataset.names == Names(people=("12", "ann"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lists_with_names_and_any_separator_in_a_folder_of_their_own(touch: Touch, separator: str) -> None:
    root = touch("a.jpg", "b.jpg", "c.jpg")
    rows = ["path,pid,camid,split", "a.jpg,Zoë,door,train", "b.jpg,Ann,door,query", "c.jpg,Ann,yard,gallery"]
    text = "\ufeff" + "\n".join(rows).replace(",", separator)
    (root / "people.CSV").write_text(text, encoding="utf-8")
    dataset = open_dataset(root)
    assert (dataset.name, dataset.root) == ("csv", root / "people.CSV")
    assert said(dataset) == [("a.jpg", 2, 1, "train"), ("b.jpg", 1, 1, "query"), ("c.jpg", 1, 2, "gallery")]
    assert dataset.names == Names(("Ann", "Zoë"), ("door", "yard"))


def test_a_list_beside_another_dataset_is_none(touch: Touch) -> None:
    root = touch("bounding_box_train/0002_c1s1_000451_03.jpg")
    (root / "attributes.csv").write_text("path,pid\n")
    assert open_dataset(root).name == "market1501"


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("path;pid;camid;split\na.jpg,1,1,train\n", {}, "line 2: 1 value for 4 columns; other separators than in the"),
        ("path,pid,camid\na.jpg,1,1\n", {}, "missing: split; --split-by-identity 0.5 divides"),
        ("path,pid,split\na.jpg,1,train\n", {}, "missing: camid; --dataset-option cameras=none says"),
        ("path,pid,camid,split\na.jpg,1,1,train\n", {"train": "0.5"}, "has a column split, so leave out --split-by"),
        ("path,pid,camid,split\na.jpg,1,1,train\n", {"cameras": "none"}, "has a column camid, so leave out"),
        ("path,pid,camid,split\na.jpg,x,1,train\nb.jpg,,1,train\n", {}, "line 3: pid is empty"),
        ("path,pid,camid\na.jpg,1,1\n", {"train": "2"}, "csv: train=2: is not a share of the people, from 0 to 1"),
        ("path,pid,camid,split,sequence,tracklet\na.jpg,1,1,train,1,1\n", {}, "kept in one place; rename one"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, text: str, options: Mapping[str, str], reason: str) -> None:
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(ReidError, match=reason):
        open_dataset(tmp_path / "people.csv", options=options)


def test_a_list_without_splits_and_cameras(touch: Touch) -> None:
    root = touch(*(f"{n}.jpg" for n in range(6)))
    (root / "people.csv").write_text("path,pid\n" + "".join(f"{n}.jpg,{n % 2 + 5}\n" for n in range(6)))
    dataset = open_dataset(root, options={"train": "0.5", "cameras": "none"})
    assert {split: len(paths) for split, paths in splits(dataset).items()} == {"train": 3, "query": 1, "gallery": 2}


def test_folders_behind_links_are_listed_once(touch: Touch) -> None:
    root = touch("real/1.jpg", "data/p/2.jpg") / "data"
    (root / "linked").symlink_to(root.parent / "real")
    (root / "p" / "round").symlink_to(root)
    dataset = open_dataset(root, "folders", {"train": "1", "ids": "text"})
    assert [record.path for record in dataset.records] == ["linked/1.jpg", "p/2.jpg"]


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (
            "occluded-reid",
            {"occluded_body_images/001/001_01.tif": "query", "whole_body_images/001/001_01.tif": "gallery"},
        ),
        (
            "p-dukemtmc",
            {
                "train/occluded_body_images/3/0003_c1_f01.jpg": "train",
                "train/whole_body_images/3/0003_c2_f01.jpg": "train",
                "test/occluded_body_images/5/0005_c1_f02.jpg": "query",
                "test/whole_body_images/5/0005_c1_f01.jpg": "gallery",
            },
        ),
        (
            "dukemtmc",  # Occluded-Duke
            {
                "bounding_box_train/0001_c2_f0046182.jpg": "train",
                "query/0005_c2_f0046985.jpg": "query",
                "bounding_box_test/0005_c5_f0051341.jpg": "gallery",
            },
        ),
        (
            "market1501",
            {
                "bounding_box_train/0002_c1s1_000451_03.jpg": "train",
                "query/0001_c1s1_001051_00.jpg": "query",
                "bounding_box_test/0001_c2s1_001051_00.jpg": "gallery",
                "gt_bbox/0001_c1s1_001051_00.jpg": "",
                "gt_query/0001_c1s1_001051_00_good.mat": "",
            },
        ),
    ],
)
def test_relatives_are_recognised(touch: Touch, name: str, paths: Mapping[str, str]) -> None:
    dataset = open_dataset(touch(*paths))
    assert dataset.name == name
    assert {record.path: record.split for record in dataset.records} == {k: v for k, v in paths.items() if v}
    assert dataset.options.get("cameras") == ("none" if "occluded_body_images" in "".join(paths) else None)


def test_tracklets_whose_numbers_would_be_equal_are_numbered_anew(tmp_path: Path) -> None:
    rows = [f"{name}.jpg,1,1,train,{name}" for name in ("1", "01", "2")]
    (tmp_path / "list.csv").write_text("\n".join(["path,pid,camid,split,tracklet", *rows]))
    assert [record.sequence for record in open_dataset(tmp_path / "list.csv").records] == [1, 2, 3]


@pytest.mark.parametrize("pid", ["12.0", "-1.0", "-2"])
def test_numbers_that_are_no_ids_are_not_taken_for_names(tmp_path: Path, pid: str) -> None:
    (tmp_path / "list.csv").write_text(f"path,pid,camid,split\na.jpg,{pid},1,train\n")
    with pytest.raises(ReidError, match=rf"line 2: pid '{pid}' is not a whole number (?s:.*)ids=text"):
        open_dataset(tmp_path / "list.csv")
    assert open_dataset(tmp_path / "list.csv", options={"ids": "text"}).names.people == (pid,)


@pytest.mark.parametrize(
    ("folder", "options"),
    [("", ("folders", {})), ("", ("pattern", {"pattern": "{pid}/*"})), ("occluded_body_images/", (None, {}))],
)
def test_files_that_are_no_images_are_told(
    tmp_path: Path, folder: str, options: tuple[str | None, Mapping[str, str]]
) -> None:
    for name in ("ann/1.jpg", "ann/2.jpg", "joe/1.gif", "joe/\udcff.jfif", "joe/.hidden"):
        file = tmp_path / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "whole_body_images").mkdir(exist_ok=bool(folder))
    notes = open_dataset(tmp_path, *options).notes
    assert rf"ignored 2 files that are no image file: {folder}joe/1.gif, {folder}joe/\xff.jfif" in notes
