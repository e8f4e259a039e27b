"""Files as `reidtrain export` writes them, read as someone without this toolkit would."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.reidtrain.main import main

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")
pytest.importorskip("onnxscript", reason="ONNX export needs onnxscript: pip install 'reidprep[export]'")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import Checkpoint
from reidtrain.features.extractor import compute_features
from reidtrain.recipes.loading import recipe_from_dict

MakeCheckpoint = Callable[..., Checkpoint]
ROOT = Path(__file__).parents[3]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def two_branches(make_checkpoint: MakeCheckpoint) -> Checkpoint:
    """Both kinds of branches; without attention, for the sake of time."""
    return make_checkpoint("attention-driven", {"branches": ["whole", "lower_leg"], "attention": "none"})


@pytest.fixture(scope="module")
def two_parts(make_checkpoint: MakeCheckpoint) -> Checkpoint:
    """A small network, whose results depend a little on how parts are computed."""
    return make_checkpoint("attention-driven", {"branches": ["head", "lower_leg"], "attention": "none"})


@pytest.fixture(scope="module")
def onnx_file(
    two_branches: Checkpoint, drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    """An ONNX file in a folder that was not there, and what the command said."""
    out = tmp_path_factory.mktemp("onnx") / "new folder" / "network.onnx"
    result = invoke(two_branches.path, out, "--features", "--unit-length", "--shards", drawn_shards, "--json")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_an_onnx_file_needs_only_onnxruntime(
    onnx_file: tuple[Path, dict], two_branches: Checkpoint, drawn_shards: Path
) -> None:
    path, _ = onnx_file
    assert onnx.load(path).ir_version == 8  # all that opset 18 needs: onnxruntime below 1.18 refuses higher ones
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(entry.name, entry.type) for entry in session.get_inputs()] == [
        ("whole", "tensor(uint8)"),
        ("parts", "tensor(uint8)"),
    ]
    shards = ShardSet.open(drawn_shards, "query")
    sample = shards[1]
    names = [entry.name for entry in session.get_outputs()]
    values = session.run(None, {"whole": sample.whole[None], "parts": sample.parts[None]})
    expected = compute_features(
        two_branches.model(), two_branches.preprocessor(), shards, indices=np.array([1]), workers=0
    ).arrays
    assert [name.removeprefix("feature_") for name in names] == [*expected]
    expected["embedding"] /= np.linalg.norm(expected["embedding"], axis=1, keepdims=True)
    for name, found in zip(expected, values, strict=True):
        # Extraction rounds resized pixels; so do others' features differ far more than this.
        length = np.linalg.norm(expected[name])
        assert found.shape == expected[name].shape and np.linalg.norm(found - expected[name]) < 0.1 * length


def test_the_file_says_what_it_is(onnx_file: tuple[Path, dict], two_branches: Checkpoint) -> None:
    path, said = onnx_file
    data = path.read_bytes()
    assert said["bytes"] == len(data) and said["sha256"] == hashlib.sha256(data).hexdigest()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about == said["about"]
    assert about["unit_length"] == "true"
    assert about["schema"] == "reidtrain.export" and about["network"] == "attention-driven"
    assert about["checkpoint_sha256"] == hashlib.sha256(two_branches.path.read_bytes()).hexdigest()
    assert recipe_from_dict(json.loads(about["recipe"])) == two_branches.recipe
    assert json.loads(about["outputs"]) == [entry.name for entry in session.get_outputs()]
    inputs = json.loads(about["inputs"])
    for entry in session.get_inputs():
        assert len(entry.shape) == len(inputs[entry.name]["shape"]) and entry.shape[-1] == 3
    assert inputs["parts"]["resized_to"] == [16, 24]


def test_agreement_on_noise_and_on_crops_is_reported(onnx_file: tuple[Path, dict], drawn_shards: Path) -> None:
    _, said = onnx_file
    images = {kind: found["images"] for kind, found in said["agreement"].items()}
    assert images == {"noise": 6, "shards": min(16, len(ShardSet.open(drawn_shards)))}
    assert all(0 < found["relative"] < 1e-3 for found in said["agreement"].values())


def test_the_file_tells_nothing_about_this_machine(onnx_file: tuple[Path, dict], two_branches: Checkpoint) -> None:
    data = onnx_file[0].read_bytes()
    for folder in (ROOT, two_branches.path.parent, Path(torch.__file__).parent):
        assert str(folder).encode() not in data


def test_a_torch_export_file_of_the_other_network(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint("self-attention", {"dilation": False, "multi_level": False, "stage6": False})
    out = tmp_path / "network.bin"
    result = invoke(checkpoint.path, out, "--format", "pt2", "--attention", "--overwrite")
    assert result.exit_code == 0, result.output
    assert "noise, 6 images: outputs differ" in result.output
    data = out.read_bytes()
    assert str(ROOT).encode() not in data
    extra = {"reidtrain.json": ""}
    with out.open("rb") as file:
        module = torch.export.load(file, extra_files=extra).module()
    about = json.loads(extra["reidtrain.json"])
    assert about["network"] == "self-attention" and json.loads(about["inputs"])["image"]["channels"] == "RGB"
    images = torch.randint(0, 256, (5, 70, 31, 3), dtype=torch.uint8)
    with torch.no_grad():
        together, alone = module(image=images), module(image=images[3:4])
    assert [*together] == ["embedding", "attention_4", "attention_5"]
    for name, values in together.items():
        assert len(values) == 5
        torch.testing.assert_close(values[3:4], alone[name], rtol=1e-3, atol=1e-4)


def test_outputs_that_differ_too_much_are_not_written(two_parts: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "network.pt2"
    out.write_bytes(b"earlier")
    result = invoke(two_parts.path, out, "--tolerance", 0, "--overwrite")
    assert result.exit_code == 1 and "not written" in result.output and "--tolerance" in result.output
    assert [*tmp_path.iterdir()] == [out] and out.read_bytes() == b"earlier"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("network.bin", [], "neither in .onnx nor in .pt2"),
        ("there.onnx", [], "exists already"),
        ("there.onnx/network.onnx", [], "is a file; choose a folder"),
        ("network.onnx", ["--attention"], "has no maps"),
        ("network.onnx", ["--shards", "nowhere"], "nowhere"),
        ("network.pt2", ["--tolerance", "nan"], "finite"),
    ],
)
def test_wrong_use(two_parts: Checkpoint, tmp_path: Path, name: str, options: list[str], message: str) -> None:
    (tmp_path / "there.onnx").write_bytes(b"earlier")
    result = invoke(two_parts.path, tmp_path / name, *options)
    assert result.exit_code in (1, 2) and message in result.output
    assert [entry.name for entry in tmp_path.iterdir()] == ["there.onnx"]


def test_shards_of_another_kind(two_parts: Checkpoint, strips_shards: Path, tmp_path: Path) -> None:
    result = invoke(two_parts.path, tmp_path / "network.onnx", "--shards", strips_shards)
    assert result.exit_code == 1 and "alignment" in result.output


def test_a_missing_library_is_named(two_parts: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # what an import of a module that is not there runs into
    result = invoke(two_parts.path, tmp_path / "network.onnx")
    assert result.exit_code == 1 and "pip install 'reidprep[export]'" in result.output
