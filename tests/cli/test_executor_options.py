from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.reidprep.main import main


@pytest.mark.parametrize("step", ["extract-poses", "build-shards"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-workers", "2"], "--num-workers goes with --engine ray"),
        (["--ray-address", "auto"], "--ray-address goes with --engine ray"),
        (["--gpus-per-worker", "0.5"], "--gpus-per-worker goes with --engine ray"),
        (["--engine", "ray", "--workers", "2"], "--workers goes with --engine local; .* --num-workers"),
        (["--engine", "ray", "--gpus-per-worker", "nan"], "not a finite number"),
        (["--engine", "ray", "--gpus-per-worker", "1.5"], "1.5 is neither a share of a GPU, .*, nor a whole number"),
        (["--engine", "ray", "--gpus-per-worker", "0.00001"], "1e-05 is neither a share of a GPU"),
        (["--engine", "ray", "--num-workers", "0"], "--num-workers"),
    ],
)
def test_options_of_the_other_engine(
    step: str, options: list[str], message: str, drawn: Path, drawn_poses: Path, tmp_path: Path
) -> None:
    source = drawn if step == "extract-poses" else drawn_poses
    result = CliRunner().invoke(main, [step, str(source), str(tmp_path / "out"), *options])
    import re

    assert result.exit_code == 2 and re.search(message, " ".join(result.stderr.split()))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--device", "cuda"], ["--device", "cpu", "--gpus-per-worker", "1"]])
def test_the_device_and_the_gpus_of_ray_workers_agree(options: list[str], drawn: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["extract-poses", str(drawn), str(tmp_path / "p"), "--engine", "ray", *options])
    assert result.exit_code == 2 and "--gpus-per-worker do not agree" in result.stderr
