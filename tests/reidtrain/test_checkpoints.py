import io
import os
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidtrain.checkpoints import load_checkpoint
from reidtrain.models.factory import build_model
from reidtrain.models.layers import without_weights
from reidtrain.models.weights import read_weights
from reidtrain.recipes.loading import recipe_from_dict, recipe_to_dict


def nested(depth):
    value: list[object] = []
    for _ in range(depth):
        value = [value, value]
    return value


WHOLE = "preprocessor.whole_mean"
MEAN = torch.full((3, 1, 1), 99.0)


def about(name, value):
    return lambda content: content["reidtrain"].update({name: value})


def state(name, value):
    return lambda content: content["state_dict"].update({name: value})


@pytest.fixture
def content(make_checkpoint):
    small = make_checkpoint("attention-driven", {"branches": ["head"], "attention": "none"})
    return torch.load(small.path, weights_only=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (state(WHOLE, MEAN * float("nan")), "whole_mean is .*needs .3, 1, 1. numbers of 0 to 255"),
        (state(WHOLE, MEAN * 1000), "whole_mean"),
        (state(WHOLE, MEAN.to(torch.int64)), "whole_mean is torch.int64"),
        (state(WHOLE, MEAN.to(torch.complex64)), "whole_mean holds torch.complex64"),
        (state(WHOLE, torch.ones(1).expand(3, 10**9, 1)), "whole_mean is .*1000000000"),
        (state(WHOLE, MEAN.to("meta")), "whole_mean is a .* on meta"),
        (state(WHOLE, MEAN.to_sparse()), "whole_mean is a torch.sparse"),
        (state(WHOLE, "99"), "whole_mean is a str"),
        (state(WHOLE, None), "whole_mean is a NoneType"),
        (state("preprocessor.parts_mean", MEAN), "parts_mean is"),
        (lambda content: content["state_dict"].pop(WHOLE), "means are missing"),
        (lambda content: content.pop("state_dict"), "missing or wrong"),
        (state("model.stem.weight", torch.zeros(1)), "do not fit the network"),
        (
            lambda content: [v.fill_(float("inf")) for k, v in content["state_dict"].items() if k.endswith("weight")],
            "not finite",
        ),
        (
            lambda content: content.update(state_dict={k: v.double() for k, v in content["state_dict"].items()}),
            "float64",
        ),
        (about("source", ["shards"]), "missing or wrong .*source"),
        (about("source", {"kind": MEAN}), "holds a Tensor"),
        (about("epoch", "7"), "missing or wrong .*epoch"),
        (about("epoch", 7), "epoch 7 with figures of 0"),
        (about("epoch", float("nan")), "missing or wrong .*epoch"),
        (about("stage", 99), "stage 99"),
        (about("stage", -1), "missing or wrong .*stage"),
        (about("history", [1]), "missing or wrong .*history"),
        (about("history", nested(60)), "too large or nested too deeply"),
        (about("recipe", nested(30)), "too large or nested too deeply"),
        (about("class_names", 5), "missing or wrong .*class_names"),
        (about("init", []), "missing or wrong .*init"),
    ],
)
def test_what_does_not_fit_is_a_plain_error(damage, message, content, tmp_path, monkeypatch):
    monkeypatch.setattr("reidtrain.checkpoints._MOST_VALUES", 10_000)  # to count more takes seconds
    damage(content)
    torch.save(content, tmp_path / "damaged.ckpt")
    with pytest.raises(ReidError, match=rf"damaged\.ckpt: .*{message}"):
        checkpoint = load_checkpoint(tmp_path / "damaged.ckpt")
        checkpoint.preprocessor()
        checkpoint.model()


@pytest.mark.parametrize("read", [load_checkpoint, read_weights])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.3, 0.9, 0.9999])
def test_cut_files_are_plain_errors(read, legacy, share, content, tmp_path):
    torch.save(content, tmp_path / "cut.ckpt", _use_new_zipfile_serialization=not legacy)
    data = (tmp_path / "cut.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ReidError, match=r"cut\.ckpt cannot be read as"):
        read(tmp_path / "cut.ckpt")


@pytest.mark.parametrize("read", [load_checkpoint, read_weights])
def test_a_flipped_bit_in_the_weights_is_found(read, content, tmp_path):
    torch.save(content, tmp_path / "flipped.ckpt")
    data = bytearray((tmp_path / "flipped.ckpt").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "flipped.ckpt").write_bytes(data)
    with pytest.raises(ReidError, match="damaged archive: the checksum of"):
        read(tmp_path / "flipped.ckpt")


@pytest.mark.parametrize("read", [load_checkpoint, read_weights])
def test_an_archive_that_unpacks_to_more_than_its_size_is_refused(read, tmp_path):
    stored = io.BytesIO()
    torch.save({"weight": torch.zeros(1 << 22)}, stored)
    with zipfile.ZipFile(stored) as whole, zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    with pytest.raises(ReidError, match=r"b\.ckpt cannot be read as .*unpacks to more than its size"):
        read(tmp_path / "b.ckpt")


@pytest.mark.parametrize("read", [load_checkpoint, read_weights])
def test_pipes_and_devices_are_not_read(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    for path in (tmp_path / "pipe.ckpt", Path("/dev/zero")):
        with pytest.raises(ReidError, match="cannot be read as .*not a regular file"):
            read(path)


@pytest.mark.parametrize(
    ("model", "dilation"), [({"stage6_dilation": 4}, 4), ({"dilation": False, "multi_level": False}, 1)]
)
def test_a_checkpoint_from_before_the_switch_keeps_the_dilation_it_was_trained_with(model, dilation, content, tmp_path):
    stages = [{"epochs": 1, "batch": {"size": 4}}]
    recipe = recipe_to_dict(recipe_from_dict({"network": "self-attention", "model": model, "stages": stages}))
    del recipe["model"]["stage6_dilation"]
    content["reidtrain"]["recipe"] = recipe
    torch.save(content, tmp_path / "old.ckpt")
    old = load_checkpoint(tmp_path / "old.ckpt")

    assert old.recipe.model.stage6_dilation == dilation
    with without_weights():
        assert build_model(old.recipe.model, 3).layer5[0].conv2.dilation == (dilation, dilation)
