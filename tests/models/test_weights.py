from __future__ import annotations

import pickle

import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from torch import nn  # noqa: E402

from reidprep.errors import ReidError  # noqa: E402
from reidtrain.models import load_matching, read_weights  # noqa: E402


class Small(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(2, 4)
        self.classifier = nn.Linear(4, classes)


class Harmful:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_layers_that_do_not_fit_are_named_and_kept():
    model, other = Small(3), Small(5)
    state = {**other.state_dict(), "extra.weight": torch.zeros(1)}
    del state["classifier.bias"]
    kept = model.classifier.weight.clone()
    report = load_matching(model, state)

    assert report.loaded == ("body.weight", "body.bias")
    assert report.missing == ("classifier.bias",)
    assert report.unused == ("extra.weight",)
    assert report.mismatched == (("classifier.weight", (5, 4), (3, 4)),)
    assert torch.equal(model.body.weight, other.body.weight)
    assert torch.equal(model.classifier.weight, kept)
    assert report.describe() == [
        "2 of 4 tensors loaded",
        "not in the weights, left as they were: classifier",
        "in the weights, not in the model: extra",
        "another shape: classifier.weight is (5, 4), the model has (3, 4)",
    ]


def test_weights_of_another_model_are_refused():
    with pytest.raises(ReidError, match=r"'features\.0'.*'body\.weight'"):
        load_matching(Small(), {"features.0": torch.zeros(1)})


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_dict_is_read_back(tmp_path, wrapped):
    state = {f"model.{name}": value for name, value in Small().state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "weights.pt")
    read = read_weights(tmp_path / "weights.pt", prefix="model.")

    assert list(read) == list(Small().state_dict())
    assert torch.equal(read["body.weight"], state["model.body.weight"])


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"weight": Harmful()}, tmp_path / "weights.pt")

    with pytest.raises(ReidError, match="cannot be read as weights"):
        read_weights(tmp_path / "weights.pt")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 cut short", "cannot be read"),
        (b"<html>not found</html>", "cannot be read"),
        (pickle.dumps([1, 2], protocol=2), "cannot be read|not a state dict"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ReidError, match=message):
        read_weights(path)


@pytest.mark.parametrize("value", [[1, 2], {"epoch": 1}, {"other.weight": torch.zeros(1)}])
def test_files_with_other_things_are_refused(tmp_path, value):
    torch.save(value, tmp_path / "weights.pt")

    with pytest.raises(ReidError, match="not a state dict"):
        read_weights(tmp_path / "weights.pt", prefix="model.")
