import json
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.files import file_sha256, is_temporary, whole_file, write_file
from reidprep.store.hdf5 import DAMAGE, Schema, hdf5_bytes, open_hdf5, read_strings

SCHEMA = Schema("reidprep.test", 1)


def test_write_file_replaces_and_returns_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    assert write_file(path, b"new") == file_sha256(path)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the kernel refuses to write on, as on a full disk
    try:
        with pytest.raises(ReidError, match=r"a\.bin: cannot be written"):
            write_file(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ReidError])
def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), whole_file(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_file_sha256_of_a_missing_file_is_none(tmp_path: Path) -> None:
    assert file_sha256(tmp_path / "nothing") is None


def test_hdf5_round_trip_and_same_bytes(tmp_path: Path) -> None:
    columns = {
        "names": ["a", "", "\N{GREEK SMALL LETTER ALPHA}\N{GRINNING FACE}"],
        "values": np.arange(6.0).reshape(3, 2),
    }
    data = hdf5_bytes(SCHEMA, {"p": 1}, columns)
    assert data == hdf5_bytes(SCHEMA, {"p": 1}, columns)
    (tmp_path / "a.h5").write_bytes(data)
    with open_hdf5(tmp_path / "a.h5", SCHEMA) as file:
        assert read_strings(file["names"]).tolist() == columns["names"]
        np.testing.assert_array_equal(file["values"][:], columns["values"])


def test_hdf5_stores_nothing_of_variable_length(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(hdf5_bytes(SCHEMA, {"p": "\N{GREEK SMALL LETTER ALPHA}"}, {"names": ["a"]}))
    with h5py.File(tmp_path / "a.h5") as file:
        types = [file.attrs.get_id(name).dtype for name in file.attrs] + [file[name].dtype for name in file]
        assert not [kind for kind in types if h5py.check_string_dtype(kind) and kind.kind == "O"]
        assert json.loads(file.attrs["plan"].decode()) == {"p": "\N{GREEK SMALL LETTER ALPHA}"}


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_give_a_plain_error_or_nothing(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = hdf5_bytes(SCHEMA, {}, {"names": ["a", "bc"], "values": np.arange(6.0)})
    for _ in range(20):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "a.h5").write_bytes(damaged)
        try:
            with open_hdf5(tmp_path / "a.h5", SCHEMA) as file:
                read_strings(file["names"]), file["values"][:]
        except (ReidError, *DAMAGE):
            pass


def test_hdf5_without_rows(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(hdf5_bytes(SCHEMA, {}, {"names": [], "values": np.zeros((0, 2))}))
    with open_hdf5(tmp_path / "a.h5", SCHEMA) as file:
        assert read_strings(file["names"]).tolist() == []


def test_open_hdf5_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(ReidError, match="missing"):
        open_hdf5(path, SCHEMA)
    path.write_bytes(b"not hdf5")
    with pytest.raises(ReidError, match="not a readable HDF5"):
        open_hdf5(path, SCHEMA)
    with h5py.File(path, "w") as file:
        file.attrs["schema"], file.attrs["version"] = "reidprep.test", 2
    with pytest.raises(ReidError, match="version 2, expected reidprep.test 1"):
        open_hdf5(path, SCHEMA)


@pytest.mark.parametrize("how", ["external", "link", "soft", "virtual", "chunked", "group"])
def test_no_dataset_may_lie_in_another_file(tmp_path: Path, how: str) -> None:
    """HDF5 reads any file of the machine for whoever asks for the values."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["values"] = np.arange(6.0)
    path = tmp_path / "a.h5"
    path.write_bytes(hdf5_bytes(SCHEMA, {}, {"values": np.arange(6.0)}))
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
        open_hdf5(path, SCHEMA)


@pytest.mark.parametrize(
    ("name", "expected"), [(".a.h5.12.tmp", True), ("a.h5", False), (".hidden", False), (".notes.tmp", False)]
)
def test_temporary_names(name: str, expected: bool) -> None:
    assert is_temporary(name) is expected
