import json
import os
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.features import numpy_files
from reidtrain.features.files import Features, open_output, read_about, read_array, read_query_and_gallery

ABOUT = {"schema": "reidtrain.features", "version": 1, "dimensions": {"embedding": 3, "whole": 2}}
FORMS = ("stored", "compressed", "folder")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    arrays = {"about": np.array(json.dumps(ABOUT))}
    for prefix, count in (("query_", 4), ("gallery_", 6)):
        arrays |= {
            f"{prefix}features": rng.random((count, 3), dtype=np.float32),
            f"{prefix}whole": rng.random((count, 2), dtype=np.float32),
            f"{prefix}pids": np.arange(count),
            f"{prefix}camids": np.arange(count, dtype=np.uint8),
        }
    return arrays


@pytest.fixture
def save(tmp_path):
    """Writes the arrays to a file or a folder."""

    def save(arrays, form):
        path = tmp_path / ("folder" if form == "folder" else f"{form}.npz")
        if form == "folder":
            path.mkdir()
            for name, values in arrays.items():
                if name != "about":
                    np.save(path / f"{name}.npy", values)
            (path / "features.json").write_text(str(arrays["about"]))
        else:
            (np.savez if form == "stored" else np.savez_compressed)(path, **arrays)
        return path

    return save


def fails(path, *names):
    with pytest.raises(ReidError) as error:
        read_query_and_gallery(path, *names)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["features.npz", "folder"])
def test_paths_that_are_no_text_are_written_and_read(name, tmp_path):
    about = {**ABOUT, "source": os.fsdecode(b"caf\xe9")}
    features = Features({"embedding": np.ones((2, 3), np.float32)}, np.ones(2, np.int64), np.ones(2, np.int64))
    with open_output(tmp_path / name) as output:
        output.write(features, "", 2)
        output.finish(about)
    assert read_about(tmp_path / name) == about


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_read(form, arrays, save):
    path = save(arrays, form)
    query, gallery = read_query_and_gallery(path, ["embedding", "whole"])
    for prefix, side in (("query_", query), ("gallery_", gallery)):
        assert side.dimensions == ABOUT["dimensions"]
        np.testing.assert_array_equal(side.arrays["embedding"], arrays[f"{prefix}features"])
        np.testing.assert_array_equal(side.arrays["whole"], arrays[f"{prefix}whole"])
        np.testing.assert_array_equal(side.camids, arrays[f"{prefix}camids"])
        assert isinstance(side.arrays["whole"], np.memmap) == (form == "folder"), "left on the disk"
    assert read_about(path) == ABOUT


@pytest.mark.parametrize("order", "CF")
def test_one_array_is_mapped_in_the_order_it_has(order, tmp_path):
    values = np.asarray(np.random.default_rng(0).random((5, 3)), order=order)
    np.save(tmp_path / "gallery", values)
    np.testing.assert_array_equal(read_array(tmp_path / "gallery.npy", "gallery_features"), values)


@pytest.mark.parametrize("form", FORMS)
def test_missing_arrays_are_named(form, arrays, save):
    del arrays["query_pids"], arrays["gallery_camids"]
    message = fails(save(arrays, form))
    assert "lacks query_pids, gallery_camids; it holds" in message and "gallery_features" in message


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("query_features", np.zeros((4, 3), complex), "holds complex128; it needs (images, dimension) real numbers"),
        ("query_features", np.zeros(4), "has shape (4,)"),
        ("gallery_features", np.zeros((0, 3)), "has shape (0, 3)"),
        ("gallery_features", np.array([[b"a"]]), "holds |S1"),
        ("gallery_features", np.zeros((6, 3), "m8[s]"), "holds timedelta64[s]"),
        ("gallery_features", np.zeros((6, 3), [("x", "f4")]), "needs (images, dimension)"),
        ("query_pids", np.zeros(4), "holds float64; it needs one whole number per image"),
        ("query_pids", np.zeros((4, 1), int), "has shape (4, 1)"),
        ("gallery_pids", np.zeros(6, object), "objects, which are never read"),
        ("query_features", np.array([["a"]]), "holds <U1"),
        ("gallery_camids", np.zeros(5, int), "different numbers of images: gallery_features 6,"),
    ],
)
def test_arrays_that_are_not_what_their_names_say(form, name, value, message, arrays, save):
    found = fails(save(arrays | {name: value}, form))
    assert message in found and name in found


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY\x01\x00", b"\x80\x04K\x01."])
def test_no_npz(content, tmp_path):
    (tmp_path / "features.npz").write_bytes(content)
    assert "is not an .npz file" in fails(tmp_path / "features.npz")


def test_nothing_there(tmp_path):
    assert "no such file" in fails(tmp_path / "none.npz")
    assert "is a folder without features.json" in fails(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["features.npz", "features.npy", "folder/gallery_pids.npy", "folder/features.json"])
def test_a_pipe_is_not_waited_for(name, arrays, save, tmp_path):
    folder = save(arrays, "folder")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ReidError, match=f"{name} cannot be read: not a regular file"):
        if name.startswith("folder"):
            read_query_and_gallery(folder)
        else:
            read_array(tmp_path / name, "gallery_features")


def npy(header, values=b""):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


def of_shape(shape):
    return b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no numbers",
        npy(of_shape(b"(4, 3)"), bytes(47)),
        npy(of_shape(b"(4, 3)"), bytes(49)),
        npy(of_shape(b"(400000000000, 2048)")),
        npy(of_shape(b"(-4, -3)"), bytes(48)),
        npy(of_shape(b"4"), bytes(16)),
        npy(of_shape(b"(10**9, 3)")),
        npy(b"(" * 9000),
        npy(b"  {'descr'\n  : '" + b"''"),
        npy(b"{'descr': '<f4'}"),
        npy(b"\xff\x00garbage"),
        b"\x93NUMPY\x02\x00" + (4_000_000_000).to_bytes(4, "little") + bytes(3000),
        b"\x93NUMPY\x09\x00" + bytes(3000),
    ],
    ids=str,
)
def test_headers_that_lie_or_are_garbage(content, arrays, save, tmp_path):
    (tmp_path / "features.npy").write_bytes(content)
    with pytest.raises(ReidError, match="features.npy is no .npy file of numbers, or a damaged one"):
        read_array(tmp_path / "features.npy", "gallery_features")
    packed = tmp_path / "packed.npz"
    with zipfile.ZipFile(save(arrays, "stored")) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name == "query_features.npy" else source.read(name))
    assert "packed.npz: query_features cannot be read" in fails(packed)


@pytest.mark.parametrize("form", ["stored", "compressed"])
def test_a_damaged_member_is_named(form, arrays, save):
    path = save(arrays, form)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        begin = archive.getinfo("gallery_pids.npy").header_offset
    content[begin + 90 : begin + 120] = bytes(30)
    path.write_bytes(content)
    assert "gallery_pids cannot be read" in fails(path)


def test_a_cut_and_an_encrypted_file(arrays, save):
    path = save(arrays, "compressed")
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    fails(path)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in [*re.finditer(re.escape(signature), content)]:
            content[found.start() + flags] |= 1
    path.write_bytes(content)
    assert "encrypted" in fails(path)


def test_larger_than_the_memory(arrays, save, monkeypatch):
    monkeypatch.setattr(numpy_files, "_memory", lambda: 100.0)
    assert "GB of memory" in fails(save(arrays, "compressed"))
    read_query_and_gallery(save(arrays, "folder"))


@pytest.mark.parametrize(
    ("name", "header", "message"),
    [
        ("gallery_pids", b"", "gallery_pids cannot be read: .*magic"),
        ("gallery_features", npy(of_shape(b"(6, 2796224)")), "gallery_features unpacks from .* it is all but constant"),
        ("gallery_pids", npy(of_shape(b"(16777344,)").replace(b"<f4", b"<i4")), "different numbers of images"),
    ],
)
def test_what_unpacks_to_much_is_refused_before_it_is_unpacked(name, header, message, arrays, save, monkeypatch):
    monkeypatch.setattr(np.lib.format, "read_array", None)
    del arrays[name]
    path = save(arrays, "compressed")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", header + bytes(6 * 2796224 * 4))
    with pytest.raises(ReidError, match=message):
        read_query_and_gallery(path)


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize(
    "about",
    [
        "",
        "[" * 100_000,
        "1e999",
        "[]",
        json.dumps(ABOUT | {"version": 2}),
        json.dumps(ABOUT | {"dimensions": 3}),
        json.dumps(ABOUT | {"dimensions": {"whole": 2}}),
    ],
    ids=lambda about: about[:40],
)
def test_what_a_file_says_about_itself_is_checked(form, about, arrays, save):
    path = save(arrays | {"about": np.array(about)}, form)
    with pytest.raises(ReidError, match="is not that of reidtrain.features version 1"):
        read_about(path)


@settings(max_examples=100)
@given(st.data())
def test_whatever_is_in_a_file_it_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("mutated") / "features.npz"
    form = data.draw(st.sampled_from([np.savez, np.savez_compressed, np.save]))
    features = np.ones((3, 2), np.float32)
    if form is np.save:
        path = path.with_suffix(".npy")
        np.save(path, features)
    else:
        form(path, gallery_features=features)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(1, 4))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content)
    try:
        values = read_array(path, "gallery_features")
    except ReidError as error:
        assert str(path) in str(error)
    else:
        assert values.ndim == 2 and values.dtype.kind in "fiu"
