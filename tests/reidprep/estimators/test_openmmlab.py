"""Imports without parts of OpenMMLab, and checkpoints that may hold anything."""

import hashlib
import os
import pickle
import sys
import threading
import traceback
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.estimators.openmmlab import NOT_NEEDED, import_openmmlab, load_checkpoint, placeholders
from reidprep.estimators.registry import create_estimator

torch = pytest.importorskip("torch")


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.witness),)


class Lookup:
    """Asks for an attribute when it is unpickled, as a way to functions that are not allowed by name."""

    def __init__(self, owner: object, name: str) -> None:
        self.what = (owner, name)

    def __reduce__(self) -> object:
        return getattr, self.what


@pytest.mark.parametrize("place", ["top", "meta", "state_dict"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_hostile_checkpoint_is_refused_and_nothing_is_run(tmp_path: Path, place: str, zipped: bool) -> None:
    witness, path = tmp_path / "witness", tmp_path / "hostile.pth"
    weights = {"layer.weight": torch.zeros(2)}
    content = {
        "top": Harmful(witness),
        "meta": {"state_dict": weights, "meta": {"epoch": Harmful(witness)}},
        "state_dict": {"state_dict": {**weights, "layer.bias": Harmful(witness)}},
    }[place]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ReidError, match=r"hostile.pth: not loaded as a checkpoint: it holds \S*mkdir, which could run code"
    ):
        load_checkpoint(str(path))
    assert not witness.exists()
    torch.load(path, weights_only=False)  # the file does what it is said to do
    assert witness.exists()


def test_a_plain_pickle_is_refused_and_nothing_is_run(tmp_path: Path) -> None:
    witness, path = tmp_path / "witness", tmp_path / "hostile.pth"
    path.write_bytes(pickle.dumps(Harmful(witness), protocol=2))
    with pytest.raises(ReidError, match="hostile.pth: not loaded"):
        load_checkpoint(str(path))
    assert not witness.exists()


@pytest.mark.parametrize(("owner", "name"), [(np.ndarray, "tofile"), (np.dtype, "__subclasses__"), (dict, "mro")])
def test_attributes_of_allowed_types_are_out_of_reach(tmp_path: Path, owner: object, name: str) -> None:
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": {}, "meta": {"x": Lookup(owner, name)}}, path)
    with pytest.raises(ReidError, match="which could run code"):
        load_checkpoint(str(path))


def test_numpy_values_of_a_published_checkpoint_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    meta = {
        "dataset_meta": {"sigmas": np.full(17, 0.5, np.float32), "colors": np.zeros((2, 3), np.uint8)},
        "names": np.array(["nose", "neck"]),
        "seen": np.array([True]),
        "score": np.float64(0.5),
        "epoch": np.int64(3),
    }
    torch.save({"meta": meta, "state_dict": {"module.layer.weight": torch.ones(2)}}, path)
    state, got, digest = load_checkpoint(str(path))
    assert set(state) == {"layer.weight"} and bool((state["layer.weight"] == 1).all())
    np.testing.assert_equal(got, meta)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_training_logs_are_passed_over(tmp_path: Path) -> None:
    history = pytest.importorskip("mmengine.logging.history_buffer", reason="needs MMPose: make setup-mmpose")
    path = tmp_path / "model.pth"
    logs = {"log_scalars": {"train/loss": history.HistoryBuffer([1.0, 2.0], [1, 1])}}
    torch.save({"message_hub": logs, "state_dict": {"layer.weight": torch.ones(2)}}, path)
    assert set(load_checkpoint(str(path))[0]) == {"layer.weight"}


def test_weights_alone_are_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"layer.weight": torch.ones(2)}, path)
    state, meta, _ = load_checkpoint(str(path))
    assert set(state) == {"layer.weight"} and meta == {}


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04 cut off", b"\x80\x02."], ids=["empty", "text", "zip", "stop"]
)
def test_other_files_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(ReidError, match="model.pth: not loaded as a checkpoint"):
        load_checkpoint(str(path))


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save([1, 2], path)
    with pytest.raises(ReidError, match="model.pth: no checkpoint"):
        load_checkpoint(str(path))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="nothing.pth: no such checkpoint; choose another --mmpose-checkpoint"):
        load_checkpoint(str(tmp_path / "nothing.pth"))
    with pytest.raises(ReidError, match="cannot be read"):
        load_checkpoint(str(tmp_path))


def test_a_url_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "served"
    served.mkdir()
    torch.save({"state_dict": {"layer.weight": torch.ones(2)}}, served / "model.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/model.pth"
        first = load_checkpoint(url)
        server.shutdown()
        thread.join()
    assert first[2] == hashlib.sha256((served / "model.pth").read_bytes()).hexdigest()
    assert load_checkpoint(url)[2] == first[2]  # the server is gone
    with pytest.raises(ReidError, match=r"other.pth cannot be read .*; without a network give a file"):
        load_checkpoint(url.replace("model", "other"))


def test_placeholders_stand_only_for_what_is_missing_and_say_so_when_used() -> None:
    names = {"json": ("loads",), "absent_package.part": ("Thing", "function"), "json.absent": ("x",)}
    with placeholders(names) as replaced:
        import json

        from absent_package.part import Thing, function

        assert set(replaced) == {"absent_package", "absent_package.part", "json.absent"}
        assert json.loads("1") == 1
        with pytest.raises(ImportError, match=r"cannot import name 'other'|absent_package.part.other is needed"):
            from absent_package.part import other  # noqa: F401
    for used in (Thing, function):
        with pytest.raises(
            ImportError, match=rf"absent_package.part.{used.__name__} is needed here: install absent_package"
        ):
            used(1)
    assert not set(replaced) & set(sys.modules)
    assert not hasattr(json, "absent")
    with pytest.raises(ModuleNotFoundError):
        __import__("absent_package")


def forget(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Have packages imported anew, for the time of a test."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)


def test_without_mmpose_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "mmpose")
    monkeypatch.setitem(sys.modules, "mmpose", None)
    with pytest.raises(ReidError, match="'make setup-mmpose' installs it"):
        create_estimator("mmpose", mmpose_config="rtmpose-m")


def test_a_complete_installation_needs_no_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("mmpose") is None:
        pytest.skip("needs MMPose: make setup-mmpose")
    complete: dict[str, ModuleType] = {}
    for name, attributes in NOT_NEEDED["mmpose"].items():
        for depth in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:depth])
            if part != "mmcv":
                complete.setdefault(part, ModuleType(part)).__path__ = []
        for attribute in attributes:
            setattr(complete[name], attribute, type(attribute, (), {}))
    for name, module in complete.items():
        parent, _, child = name.rpartition(".")
        if parent in complete:
            setattr(complete[parent], child, module)

    child = os.fork()  # what is imported with them is not for other tests
    if child == 0:
        status = 1
        try:
            forget(monkeypatch, "mmpose", "mmengine", "mmcv", *complete)
            sys.modules.update(complete)
            assert import_openmmlab("mmpose", "apis", "datasets", "models") == ()
            assert all(sys.modules[name] is module for name, module in complete.items())
            import mmpose.datasets.datasets.base.base_coco_style_dataset as user

            assert user.COCO is complete["xtcocotools.coco"].COCO
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
