"""CUHK03 from a file built like the official one, from extracted images and from the CUHK03-NP folders."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from reidprep.datasets.base import ImageSource
from reidprep.datasets.cuhk03_names import ImageId, parse_name
from reidprep.datasets.registry import open_dataset, open_images
from reidprep.errors import ImageError, ReidError
from reidprep.records import SPLITS, Record


def expected_records(mat: Any, boxes: str, split: int, form: str = "{boxes}/{name}") -> list[Record]:
    """The classic protocol, spelt out."""
    tested = mat.tested(split)
    records = []
    for kind, pair, person, index in mat.pixels:
        if kind != boxes:
            continue
        view = 1 if index <= 5 else 2
        name = f"{pair}_{person:03d}_{view}_{index:02d}.png"
        part = "train" if (pair, person) not in tested else "query" if view == 1 else "gallery"
        records.append(Record(form.format(boxes=boxes, name=name), pair * 1000 + person, 2 * (pair - 1) + view, part))
    return sorted(records, key=lambda record: (SPLITS.index(record.split), record.path))


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
@pytest.mark.parametrize("split", [1, 20])
def test_classic_from_the_mat_file(mat_file: Any, boxes: str, split: int) -> None:
    options = {"boxes": boxes, "protocol": "classic", "split": str(split)}
    dataset = open_dataset(mat_file.path, options=options)
    assert (dataset.name, dataset.root, dataset.options) == ("cuhk03", mat_file.path, options)
    assert list(dataset.records) == expected_records(mat_file, boxes, split)


def test_defaults_and_notes(mat_file: Any) -> None:
    dataset = open_dataset(mat_file.path)
    assert dataset.options == {"boxes": "labeled", "protocol": "classic", "split": "1"}
    assert dataset.notes == ()
    # Split 2 tests person 3 of pair 1, who was never detected in the second view.
    notes = open_dataset(mat_file.path, options={"boxes": "detected", "split": "2"}).notes
    assert notes == ("1 query id has a query without a gallery image from another camera: pid 1003",)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_found_from_the_folders_above(mat_file: Any, levels: int) -> None:
    source = [mat_file.path, *mat_file.path.parents][levels]
    assert open_dataset(source).root == mat_file.path


def test_numbers_do_not_depend_on_the_split(mat_file: Any) -> None:
    known: dict[str, tuple[int, int]] = {}
    for split in ("1", "2", "7"):
        for record in open_dataset(mat_file.path, options={"split": split}).records:
            assert known.setdefault(record.path, (record.pid, record.camid)) == (record.pid, record.camid)


def test_pixels(mat_file: Any) -> None:
    images = open_images("cuhk03", mat_file.path)
    for (boxes, pair, person, index), pixels in mat_file.pixels.items():
        read = images.read(f"{boxes}/{ImageId(pair, person, index).name}")
        np.testing.assert_array_equal(read, pixels)
        assert read.dtype == np.uint8
        assert read.flags.c_contiguous


def test_people_first_orientation(make_mat_file: Any, tmp_path: Path) -> None:
    # Ten people by ten images cannot be told apart and are taken as MATLAB writes them.
    mat = make_mat_file(tmp_path / "cuhk-03.mat", people=(4, 3), people_first=True)
    dataset = open_dataset(tmp_path)
    assert list(dataset.records) == expected_records(mat, "labeled", 1)
    np.testing.assert_array_equal(dataset.images.read("labeled/2_003_2_07.png"), mat.pixels["labeled", 2, 3, 7])


def read_all(images: ImageSource, paths: list[str]) -> list[bytes]:
    return [images.read(path).tobytes() for path in paths]


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_images_in_other_processes(mat_file: Any, method: str, workers: int) -> None:
    dataset = open_dataset(mat_file.path)
    paths = [record.path for record in dataset.records][:20]
    here = read_all(dataset.images, paths)  # the file is open here before the others start
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method)) as pool:
        there = [pool.submit(read_all, dataset.images, paths) for _ in range(2)]
        assert [future.result() for future in there] == [here, here]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_process_opens_the_file_anew(make_mat_file: Any, tmp_path: Path) -> None:
    mat = make_mat_file(tmp_path / "cuhk-03.mat")
    images = open_images("cuhk03", mat.path)
    images.read("labeled/1_001_1_01.png")
    mat.path.unlink()  # an inherited handle would go on to work
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def read() -> None:
        try:
            images.read("labeled/1_001_1_01.png")
            send.send("read through the inherited handle")
        except ReidError as error:
            send.send(str(error))

    child = context.Process(target=read)
    child.start()
    assert receive.poll(20)
    assert receive.recv() == f"{mat.path}: file not found"
    child.join()


def test_images_from_several_threads(mat_file: Any) -> None:
    dataset = open_dataset(mat_file.path)
    paths = [record.path for record in dataset.records]
    images = pickle.loads(pickle.dumps(dataset.images))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(images.read, paths, chunksize=1))[7].tobytes() == dataset.images.read(paths[7]).tobytes()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("labeled/1_001_1_05.png", "the cell is empty"),
        ("labeled/1_005_1_01.png", "no such image"),
        ("labeled/6_001_1_01.png", "no such image"),
        ("drawn/1_001_1_01.png", "not the path of an image"),
        ("labeled/1_001_2_01.png", "not the path of an image"),
        ("labeled/../x.png", "not the path of an image"),
    ],
)
def test_an_image_that_is_not_there(mat_file: Any, path: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        open_images("cuhk03", mat_file.path).read(path)


def test_a_mat_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "cuhk-03.mat"
    file.write_bytes(b"MATLAB 5.0 MAT-file" + b"\0" * 200)
    with pytest.raises(ReidError, match="cannot be opened as HDF5"):
        open_dataset(tmp_path)
    with h5py.File(file, "w") as content:
        content["labeled"] = np.zeros((1, 5))
    with pytest.raises(ReidError, match=r"is not built like cuhk-03\.mat"):
        open_dataset(tmp_path)


def test_a_mat_file_cut_short(make_mat_file: Any, tmp_path: Path) -> None:
    file = make_mat_file(tmp_path / "cuhk-03.mat").path
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ReidError, match=r"cuhk-03\.mat"):
        open_dataset(tmp_path)


def test_split_is_an_option_of_classic(mat_file: Any) -> None:
    with pytest.raises(ReidError, match="split=21 is not possible"):
        open_dataset(mat_file.path, options={"split": "21"})
    with pytest.raises(ReidError, match="split=3 is for protocol=classic"):
        open_dataset(mat_file.path, options={"protocol": "np", "split": "3"})


# the 767/700 protocol


def np_lists(mat: Any, boxes: str) -> dict[str, list[str]]:
    """Camera pair 1 trains; of the others the first image of each view is a query, the rest gallery."""
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for kind, pair, person, index in mat.pixels:
        if kind == boxes:
            split = "train" if pair == 1 else "query" if index in (1, 6) else "gallery"
            lists[split].append(ImageId(pair, person, index).name)
    return lists


def write_config(folder: Path, boxes: str, lists: dict[str, list[str]]) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    names = [name for split in SPLITS for name in lists[split]]
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    positions = {f"{split}_idx": [[1 + names.index(name)] for name in lists[split]] for split in SPLITS}
    savemat(folder / f"cuhk03_new_protocol_config_{boxes}.mat", {"filelist": cells, **positions})


def write_json(folder: Path, boxes: str, lists: dict[str, list[str]]) -> None:
    entries = {split: [[f"C:\\data\\images\\{name}", 0, 0] for name in lists[split]] for split in SPLITS}
    (folder / f"splits_new_{boxes}.json").write_text(json.dumps([entries]))


@pytest.mark.parametrize("write", [write_config, write_json])
@pytest.mark.parametrize("above", [False, True])
def test_np_from_the_mat_file(make_mat_file: Any, tmp_path: Path, write: Any, above: bool) -> None:
    mat = make_mat_file(tmp_path / "cuhk03_release" / "cuhk-03.mat")
    lists = np_lists(mat, "detected")
    gone = lists["gallery"].pop()
    lists["query"].append("4_700_1_01.png")
    write(tmp_path if above else mat.path.parent, "detected", lists)
    dataset = open_dataset(tmp_path, options={"boxes": "detected", "protocol": "np"})
    assert dataset.options == {"boxes": "detected", "protocol": "np"}
    assert dataset.notes == (
        "1 image of the protocol's lists missing: 4_700_1_01.png",
        f"1 image is in no list of the protocol: {gone}",
    )
    for split in SPLITS:
        found = {record.path for record in dataset.records if record.split == split}
        assert found == {f"detected/{name}" for name in lists[split]} - {"detected/4_700_1_01.png"}
    assert {record.pid for record in dataset.records if record.split == "train"} == {1001, 1002, 1003, 1004}


def test_np_without_its_lists(mat_file: Any) -> None:
    with pytest.raises(ReidError, match=r"protocol=np needs splits_new_labeled\.json or cuhk03_new_protocol"):
        open_dataset(mat_file.path, options={"protocol": "np"})


def test_np_without_scipy(make_mat_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mat = make_mat_file(tmp_path / "cuhk-03.mat")
    write_config(tmp_path, "labeled", np_lists(mat, "labeled"))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ReidError, match=r"needs scipy.*reidprep\[cuhk03\]"):
        open_dataset(tmp_path, options={"protocol": "np"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query_idx": [[99999]]}, "query_idx holds 99999, but the folder has"),
        ({"filelist": np.array([["beach.jpg"]], dtype=object)}, "'beach.jpg' is no image name"),
    ],
)
def test_np_with_a_wrong_config(make_mat_file: Any, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    io = pytest.importorskip("scipy.io")
    mat = make_mat_file(tmp_path / "cuhk-03.mat")
    write_config(tmp_path, "labeled", np_lists(mat, "labeled"))
    file = tmp_path / "cuhk03_new_protocol_config_labeled.mat"
    content = {key: value for key, value in io.loadmat(file).items() if not key.startswith("__")}
    io.savemat(file, {**content, **change})
    with pytest.raises(ReidError, match=reason):
        open_dataset(tmp_path, options={"protocol": "np"})


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + b"\0" * 300])
def test_np_with_a_damaged_config(make_mat_file: Any, tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("scipy.io")
    make_mat_file(tmp_path / "cuhk-03.mat")
    (tmp_path / "cuhk03_new_protocol_config_labeled.mat").write_bytes(content)
    with pytest.raises(ReidError, match=r"config_labeled\.mat: (cannot be read as a MATLAB file|lacks)"):
        open_dataset(tmp_path, options={"protocol": "np"})


# extracted images


@pytest.fixture
def extracted(mat_file: Any, tmp_path: Path) -> Path:
    """The images of the .mat file as (empty) files, with the JSON lists of the classic splits."""
    for boxes, pair, person, index in mat_file.pixels:
        folder = tmp_path / f"images_{boxes}"
        folder.mkdir(exist_ok=True)
        (folder / ImageId(pair, person, index).name).touch()
    splits = []
    for split in range(1, 21):
        tested = mat_file.tested(split)
        test = [[f"/home/x/{pair}_{person:03d}_1_01.png", 0, 0] for pair, person in tested]
        splits.append({"train": [], "query": test, "gallery": test})
    (tmp_path / "splits_classic_labeled.json").write_text(json.dumps(splits))
    return tmp_path


@pytest.mark.parametrize("split", [1, 20])
def test_classic_from_extracted_images(mat_file: Any, extracted: Path, split: int) -> None:
    (extracted / "images_labeled" / "Thumbs.db").touch()
    (extracted / "images_labeled" / "beach.png").touch()
    dataset = open_dataset(extracted, options={"split": str(split)})
    assert (dataset.name, dataset.root) == ("cuhk03", extracted)
    assert list(dataset.records) == expected_records(mat_file, "labeled", split, "images_{boxes}/{name}")
    assert dataset.notes == ("images_labeled: ignored 2 entries not named like 1_001_1_01.png: Thumbs.db, beach.png",)


def test_np_from_extracted_images(mat_file: Any, extracted: Path) -> None:
    lists = np_lists(mat_file, "labeled")
    write_json(extracted, "labeled", lists)
    dataset = open_dataset(extracted, options={"protocol": "np"})
    for split in SPLITS:
        found = {record.path for record in dataset.records if record.split == split}
        assert found == {f"images_labeled/{name}" for name in lists[split]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"query": 3}]', '[{"query": [["beach.jpg"]]}]', "[" * 9999])
def test_damaged_json_lists(extracted: Path, text: str) -> None:
    (extracted / "splits_classic_labeled.json").write_text(text)
    with pytest.raises(ReidError, match=r"splits_classic_labeled\.json: "):
        open_dataset(extracted)


def test_extracted_images_without_lists(extracted: Path) -> None:
    with pytest.raises(ReidError, match=r"needs splits_classic_detected\.json"):
        open_dataset(extracted, options={"boxes": "detected"})


# the CUHK03-NP folders

NP_FILES = (
    "bounding_box_train/0001_c1_1.png",
    "bounding_box_train/0001_c2_6.png",
    "query/0003_c1_21.png",
    "bounding_box_test/0003_c2_27.png",
)
NP_NUMBERS = ((1, 1), (1, 2), (3, 1), (3, 2))


def np_folders(root: Path) -> Path:
    for path in NP_FILES:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_np_folders(tmp_path: Path, boxes: str) -> None:
    np_folders(tmp_path / "labeled")
    np_folders(tmp_path / "detected")
    dataset = open_dataset(tmp_path, options={"boxes": boxes})
    assert (dataset.name, dataset.root, dataset.notes) == ("cuhk03", tmp_path, ())
    assert dataset.options == {"boxes": boxes, "protocol": "np"}
    assert [record.path for record in dataset.records] == [f"{boxes}/{path}" for path in NP_FILES]
    assert tuple((record.pid, record.camid) for record in dataset.records) == NP_NUMBERS
    assert open_dataset(dataset.root, dataset.name, dataset.options) == dataset


def test_np_folders_of_one_kind(tmp_path: Path) -> None:
    dataset = open_dataset(np_folders(tmp_path), "cuhk03")
    assert dataset.options == {"protocol": "np"}
    assert [record.path for record in dataset.records] == list(NP_FILES)
    with pytest.raises(ReidError, match="one kind of boxes only, so leave out boxes=labeled"):
        open_dataset(tmp_path, options={"boxes": "labeled"})


def test_np_folders_refuse_what_they_cannot_give(tmp_path: Path) -> None:
    np_folders(tmp_path / "detected")
    with pytest.raises(ReidError, match="there is no folder labeled for boxes=labeled; try boxes=detected"):
        open_dataset(tmp_path)
    with pytest.raises(ReidError, match="hold the 767/700 protocol only"):
        open_dataset(tmp_path, options={"boxes": "detected", "protocol": "classic"})
    with pytest.raises(ReidError, match="split=3 is for protocol=classic"):
        open_dataset(tmp_path, options={"boxes": "detected", "split": "3"})


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("1_001_1_01.png", ImageId(1, 1, 1)),
        ("5_049_2_10.png", ImageId(5, 49, 10)),
        ("1_843_1_5.PNG", ImageId(1, 843, 5)),
        ("1_001_1_06.png", None),
        ("1_001_2_05.png", None),
        ("1_001_2_11.png", None),
        ("1_000_1_01.png", None),
        ("0_001_1_01.png", None),
        ("1_1001_1_01.png", None),
        ("1_001_3_01.png", None),
        ("1_001_1_01.jpg", None),
    ],
)
def test_parse_name(name: str, image: ImageId | None) -> None:
    assert parse_name(name) == image
