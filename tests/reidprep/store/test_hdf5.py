import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.store.hdf5 import Column, Schema, hdf5_bytes, open_hdf5, read_columns

SCHEMA = Schema("reidprep.test", 1)
TABLE = {
    "names": Column(np.str_),
    "counts": Column(np.int64),
    "values": Column(np.float32, (2,)),
    "flags": Column(np.bool_, optional=True),
}
VALUES = {
    "names": ["a", "", "\N{GREEK SMALL LETTER ALPHA}\N{GRINNING FACE}"],
    "counts": range(3),
    "values": np.arange(6.0).reshape(3, 2),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of three rows."""
    (tmp_path / "a.h5").write_bytes(hdf5_bytes(SCHEMA, {"p": "\N{GREEK SMALL LETTER ALPHA}"}, TABLE, VALUES))
    return tmp_path / "a.h5"


def test_round_trip_and_same_bytes(file: Path) -> None:
    with open_hdf5(file, SCHEMA, TABLE, 3) as opened:
        columns = read_columns(opened, TABLE)
    assert columns["names"].tolist() == VALUES["names"]
    np.testing.assert_array_equal(columns["values"], VALUES["values"])
    assert columns.keys() == VALUES.keys() and columns["values"].dtype == np.float32
    assert hdf5_bytes(SCHEMA, {"p": "\N{GREEK SMALL LETTER ALPHA}"}, TABLE, VALUES) == file.read_bytes()


def test_nothing_is_stored_with_variable_length(file: Path) -> None:
    with h5py.File(file) as opened:
        types = [opened.attrs.get_id(name).dtype for name in opened.attrs] + [opened[name].dtype for name in opened]
        assert not [kind for kind in types if h5py.check_string_dtype(kind) and kind.kind == "O"]
        assert json.loads(opened.attrs["plan"].decode()) == {"p": "\N{GREEK SMALL LETTER ALPHA}"}


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_give_a_plain_error_or_nothing(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = file.read_bytes()
    for _ in range(20):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            with open_hdf5(file, SCHEMA, TABLE, 3) as opened:
                read_columns(opened, TABLE)
        except ReidError:
            pass


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(hdf5_bytes(SCHEMA, {}, TABLE, {"names": [], "counts": [], "values": []}))
    with open_hdf5(tmp_path / "a.h5", SCHEMA, TABLE, 0) as opened:
        assert {name: values.shape for name, values in read_columns(opened, TABLE).items()} == {
            "names": (0,),
            "counts": (0,),
            "values": (0, 2),
        }


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(ReidError, match="missing"):
        open_hdf5(path, SCHEMA, TABLE, 3)
    path.write_bytes(b"not hdf5")
    with pytest.raises(ReidError, match="not a readable HDF5"):
        open_hdf5(path, SCHEMA, TABLE, 3)
    with h5py.File(path, "w") as file:
        file.attrs["schema"], file.attrs["version"] = "reidprep.test", 2
    with pytest.raises(ReidError, match="version 2, expected reidprep.test 1"):
        open_hdf5(path, SCHEMA, TABLE, 3)


def test_another_number_of_rows_than_expected(file: Path) -> None:
    with pytest.raises(ReidError, match=r"a\.h5: holds 3 rows, the manifest says 4"):
        open_hdf5(file, SCHEMA, TABLE, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda old: None, "there is no column values"),
        (lambda old: old[:2], "holds 2 or 3 rows"),
        (lambda old: old.astype(np.float64), r"column values is float64\(3, 2\), expected float32\('rows', 2\)"),
        (lambda old: old.astype(">f4"), r"column values is >f4\(3, 2\)"),
        (lambda old: old[..., None], r"column values is float32\(3, 2, 1\)"),
        (lambda old: old[0, 0], r"column values is float32\(\)"),
        (lambda old: h5py.Empty("f4"), r"column values is float32\(\)"),
        (lambda old: np.zeros((3, 2), [("a", "f4"), ("b", "i4")]), "column values is"),
        (lambda old: np.array([b"x"] * 3), "column values is"),
    ],
    ids=["gone", "shorter", "wider type", "other order", "rank", "scalar", "empty", "compound", "text"],
)
def test_columns_that_are_not_those_of_the_table(file: Path, change: Callable, message: str) -> None:
    with h5py.File(file, "r+") as opened:
        value = change(opened["values"][:])
        del opened["values"]
        if value is not None:
            opened["values"] = value
    with pytest.raises(ReidError, match=rf"a\.h5: .*{message}"):
        open_hdf5(file, SCHEMA, TABLE, 3)


@pytest.mark.parametrize("value", [7, h5py.Empty("i8"), np.zeros((3, 1), "i8")], ids=["scalar", "empty", "rank"])
def test_columns_of_single_values_have_one_dimension(file: Path, value: object) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["counts"]
        opened["counts"] = value
    with pytest.raises(ReidError, match=r"a\.h5: .*column counts is int64\(.*\), expected int64\('rows',\)"):
        open_hdf5(file, SCHEMA, TABLE, 3)


def test_text_of_variable_length(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["names"]
        opened.create_dataset("names", data=["a", "b", "c"], dtype=h5py.string_dtype("utf-8"))
    with pytest.raises(ReidError, match=r"a\.h5: .*column names is object\(3,\), expected fixed-length UTF-8"):
        open_hdf5(file, SCHEMA, TABLE, 3)


def test_text_that_is_not_utf8(file: Path) -> None:
    with h5py.File(file) as opened:
        start = opened["names"].id.get_offset()
    content = bytearray(file.read_bytes())
    content[start] = 0xFF
    file.write_bytes(content)
    with (
        open_hdf5(file, SCHEMA, TABLE, 3) as opened,
        pytest.raises(ReidError, match=r"a\.h5: damaged .*utf-8"),
    ):
        read_columns(opened, TABLE)


@pytest.mark.parametrize("how", ["external", "link", "soft", "virtual", "chunked", "group"])
def test_no_dataset_may_lie_in_another_file(tmp_path: Path, how: str) -> None:
    """HDF5 reads any file of the machine for whoever asks for the values."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["values"] = np.arange(6.0)
    path = tmp_path / "a.h5"
    path.write_bytes(hdf5_bytes(SCHEMA, {}, TABLE, VALUES))
    with h5py.File(path, "r+") as file:
        if how == "external":
            file.create_dataset("more", shape=10, dtype="u1", external=[(str(secret), 0, 10)])
        elif how == "link":
            file["more"] = h5py.ExternalLink(str(secret), "values")
        elif how == "soft":
            file["more"] = h5py.SoftLink("/values")
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape=(6,), dtype="f8")
            layout[:] = h5py.VirtualSource(str(secret), "values", shape=(6,))
            file.create_virtual_dataset("more", layout)
        elif how == "chunked":  # could be a few bytes that unpack to more than there is memory
            file.create_dataset("more", shape=10**12, chunks=(10**6,), dtype="u1", compression="gzip")
        else:
            file.create_group("more")
    with pytest.raises(ReidError, match=r"a\.h5: damaged HDF5 file .*more"):
        open_hdf5(path, SCHEMA, TABLE, 3)
