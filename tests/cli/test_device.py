import click
import pytest
from click.testing import CliRunner
from reid_cli.options import device_option
from reid_cli.reidprep.main import main as reidprep
from reid_cli.reidtrain.main import main as reidtrain

from reidprep.device import choose_device
from reidprep.errors import ReidError


@click.command()
@device_option
def show(device: str) -> None:
    click.echo(f"on {device}")


@pytest.mark.parametrize(
    ("arguments", "device"),
    [
        ([], "auto"),
        (["--device", "cuda"], "cuda"),
        (["--accelerator", "gpu"], "cuda"),
        (["--accelerator", "cpu"], "cpu"),
        (["--device", "cpu", "--accelerator", "gpu"], "cpu"),
    ],
)
def test_the_former_name_of_the_option_still_works_with_a_notice(arguments: list[str], device: str) -> None:
    result = CliRunner().invoke(show, arguments)
    assert result.stdout == f"on {device}\n"
    assert ("--accelerator is called --device now" in result.stderr) == ("--accelerator" in arguments)


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (reidprep, "extract-poses"),
        *((reidtrain, name) for name in ("fit", "pretrain", "evaluate", "extract-features", "rank", "attention")),
        (reidtrain, "ablate"),
    ],
)
def test_every_command_that_computes_names_the_device_alike(program: click.Group, command: str) -> None:
    option = next(param for param in program.commands[command].params if param.name == "device")
    assert option.opts == ["--device"] and list(option.type.choices) == ["auto", "cpu", "cuda"]
    assert option.help == "What to compute on; auto takes a GPU if there is one."


@pytest.mark.parametrize(
    ("asked", "has_cuda", "device"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_auto_takes_a_gpu_if_there_is_one(asked: str, has_cuda: bool, device: str) -> None:
    assert choose_device(asked, has_cuda, "get one") == device


def test_a_gpu_that_is_not_there_and_unknown_names_are_refused() -> None:
    with pytest.raises(ReidError, match="--device cuda: get one, or choose --device cpu"):
        choose_device("cuda", False, "get one")
    with pytest.raises(ReidError, match="unknown device 'gpu'; choose auto, cpu or cuda"):
        choose_device("gpu", True, "get one")
