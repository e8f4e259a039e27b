import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.errors import Interrupted, ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.estimators.registry import create_estimator
from reidprep.executors import ray as ray_pool
from reidprep.executors.ray import RayExecutor
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.signals import Signals

pytestmark = pytest.mark.usefixtures("cluster")
SMALL = ExtractOptions(rows_per_part=3)
Contents = Callable[[Path], dict[str, bytes]]
EXECUTOR = RayExecutor(2)
ONE = RayExecutor(1)
"""A worker is a process that takes seconds to start: most of what one does, two do as well."""
CREATE = partial(create_estimator, device="cpu")


@pytest.fixture(scope="module")
def dataset(drawn: Path) -> Dataset:
    return open_dataset(drawn)


@pytest.fixture(scope="module")
def undisturbed(dataset: Dataset, estimator: PoseEstimator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poses made by the local executor. Read only."""
    path = tmp_path_factory.mktemp("undisturbed") / "poses"
    extract_poses(dataset, path, estimator, SMALL)
    return path


def with_images(dataset: Dataset, images: object) -> Dataset:
    return Dataset(dataset.name, dataset.root, dataset.options, dataset.records, images, ())  # type: ignore[arg-type]


def test_poses_are_those_of_the_local_executor(
    dataset: Dataset, estimator: PoseEstimator, undisturbed: Path, tmp_path: Path, contents: Contents
) -> None:
    seen: list[tuple[int, int]] = []
    extract_poses(
        dataset,
        tmp_path / "p",
        estimator,
        SMALL,
        executor=EXECUTOR,
        worker_estimator=CREATE,
        progress=lambda *call: seen.append(call),
    )
    assert contents(tmp_path / "p") == contents(undisturbed)
    total = len(dataset.records)
    assert seen[0] == (0, total) and seen[-1] == (total, total)
    assert len(seen) == 1 + len(list(undisturbed.glob("*.h5")))


@pytest.mark.parametrize(
    "options",
    [BuildOptions(samples_per_shard=3), BuildOptions(samples_per_shard=5, encoding="raw", image_size=(64, 32))],
    ids=["jpeg", "raw"],
)
def test_shards_are_those_of_the_local_executor(
    undisturbed: Path, tmp_path: Path, contents: Contents, options: BuildOptions
) -> None:
    build_shards(undisturbed, tmp_path / "local", options)
    build_shards(undisturbed, tmp_path / "ray", options, executor=ONE)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_relative_paths_mean_the_same_to_workers(
    drawn: Path, estimator: PoseEstimator, undisturbed: Path, tmp_path: Path, contents: Contents, monkeypatch
) -> None:
    monkeypatch.chdir(drawn.parent)
    out = Path(os.path.relpath(tmp_path / "p"))
    extract_poses(open_dataset(Path(drawn.name)), out, estimator, SMALL, executor=ONE, worker_estimator=CREATE)
    parts, expected = contents(tmp_path / "p"), contents(undisturbed)
    assert {n: parts[n] for n in parts if n.endswith(".h5")} == {n: expected[n] for n in parts if n.endswith(".h5")}


def test_only_what_is_missing_is_made(
    dataset: Dataset, estimator: PoseEstimator, undisturbed: Path, tmp_path: Path, contents: Contents
) -> None:
    poses = Path(shutil.copytree(undisturbed, tmp_path / "p"))
    (poses / "part-00001.h5").unlink()
    (poses / "part-00002.h5").write_bytes(b"cut off")
    times = {entry.name: entry.stat().st_mtime_ns for entry in poses.glob("*.h5")}
    extract_poses(dataset, poses, estimator, SMALL, executor=ONE, worker_estimator=CREATE)
    assert contents(poses) == contents(undisturbed)
    changed = {entry.name for entry in poses.glob("*.h5") if entry.stat().st_mtime_ns != times.get(entry.name)}
    assert changed == {"part-00001.h5", "part-00002.h5"}
    extract_poses(dataset, poses, estimator, SMALL, executor=EXECUTOR, worker_estimator=CREATE)  # nothing is missing


def test_the_part_of_a_killed_worker_is_made_again(
    dataset: Dataset, estimator: PoseEstimator, undisturbed: Path, tmp_path: Path, contents: Contents
) -> None:
    killed = tmp_path / "killed"
    victims = {dataset.records[4].path, dataset.records[-2].path}

    class KillsOnce:  # local: so it is pickled with its code
        """Ends the process in the middle of a part, the first time it reads some images."""

        def __init__(self, images: object) -> None:
            self.images = images

        def read(self, path: str) -> np.ndarray:
            mark = killed.with_name(f"killed-{Path(path).name}")
            if path in victims and not mark.exists() and os.getpid() != driver:
                mark.write_text(str(os.getpid()))
                (tmp_path / "p" / ".part-00001.h5.123.tmp").write_bytes(b"half a part")
                os.kill(os.getpid(), signal.SIGKILL)
            return self.images.read(path)  # type: ignore[attr-defined]

    driver = os.getpid()
    extract_poses(
        with_images(dataset, KillsOnce(dataset.images)),
        tmp_path / "p",
        estimator,
        SMALL,
        executor=EXECUTOR,
        worker_estimator=CREATE,
    )
    assert len(list(tmp_path.glob("killed-*"))) == 2
    assert contents(tmp_path / "p") == contents(undisturbed)


def test_a_part_that_no_worker_survives_is_given_up(dataset: Dataset, estimator: PoseEstimator, tmp_path: Path) -> None:
    driver = os.getpid()

    class Kills:
        def read(self, path: str) -> np.ndarray:
            if os.getpid() != driver:
                os.kill(os.getpid(), signal.SIGKILL)
            return np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(ReidError, match=r"lost 4 times .* run the same command again, with fewer --num-workers"):
        extract_poses(
            with_images(dataset, Kills()), tmp_path / "p", estimator, executor=RayExecutor(1), worker_estimator=CREATE
        )


def test_an_error_of_a_worker_is_that_of_the_local_executor(
    drawn: Path, estimator: PoseEstimator, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(drawn, tmp_path / "damaged"))
    dataset = open_dataset(damaged)
    (damaged / dataset.records[7].path).write_bytes(b"")
    messages = []
    for name, executor in (("local", None), ("ray", ONE)):
        with pytest.raises(ReidError) as error:
            extract_poses(
                dataset,
                tmp_path / name,
                estimator,
                SMALL,
                on_error="fail",
                executor=executor,
                worker_estimator=CREATE,
            )
        messages.append(str(error.value))
    assert messages[0] == messages[1] and "the file is empty" in messages[0]
    for name, executor in (("local", None), ("ray", ONE)):
        manifest = extract_poses(dataset, tmp_path / name, estimator, SMALL, executor=executor, worker_estimator=CREATE)
        assert [entry.path for entry in manifest.skipped] == [dataset.records[7].path]
    assert (tmp_path / "local" / "manifest.json").read_bytes() == (tmp_path / "ray" / "manifest.json").read_bytes()


def test_a_fault_of_this_program_keeps_its_traceback(
    dataset: Dataset, estimator: PoseEstimator, tmp_path: Path
) -> None:
    def broken() -> PoseEstimator:
        raise ZeroDivisionError("a fault")

    with pytest.raises(ZeroDivisionError, match="in broken"):
        extract_poses(dataset, tmp_path / "p", estimator, executor=ONE, worker_estimator=broken)


class Constant:
    """An estimator that can be pickled."""

    name = "constant"
    weights_sha256 = "0" * 64
    score_scale = "constant"
    confidence = 0.5
    device = "cpu"
    batch_size = 3
    options: Mapping[str, object] = {}

    def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
        return np.ones((len(images), 18, 3), np.float32)


@pytest.mark.parametrize(
    ("attribute", "value"), [("weights_sha256", "1" * 64), ("device", "cuda"), ("options", {"flip_test": True})]
)
def test_a_worker_with_another_estimator_is_refused(
    dataset: Dataset, tmp_path: Path, attribute: str, value: object
) -> None:
    class Other(Constant):
        pass

    class Planned(Constant):
        pass

    setattr(Other, attribute, value)
    with pytest.raises(ReidError, match=rf"Ray worker on .*: the estimator is another one here .*{attribute}"):
        extract_poses(dataset, tmp_path / "p", Planned(), executor=ONE, worker_estimator=Other)


def test_images_that_a_worker_does_not_see(dataset: Dataset, estimator: PoseEstimator, tmp_path: Path) -> None:
    driver, images = os.getpid(), dataset.images

    class OnlyHere:
        def read(self, path: str) -> np.ndarray:
            from reidprep.errors import ImageError

            if os.getpid() != driver:
                raise ImageError("the file is missing")
            return images.read(path)

    with pytest.raises(ReidError, match=r"Ray worker on .* the file is missing; the images must be at the same place"):
        extract_poses(
            with_images(dataset, OnlyHere()), tmp_path / "p", estimator, executor=ONE, worker_estimator=CREATE
        )


def test_no_room_for_any_worker(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "_SECONDS_TO_START", 2.0)
    with pytest.raises(ReidError, match=r"no Ray worker came up within 2 s: .*no GPU free.*--gpus-per-worker"):
        build_shards(undisturbed, tmp_path / "s", executor=RayExecutor(1, gpus_per_worker=1000.0))


def test_more_workers_than_the_cluster_has_room_for(
    dataset: Dataset, estimator: PoseEstimator, undisturbed: Path, tmp_path: Path, contents: Contents
) -> None:
    """Those that find no place must not hold on to parts."""
    extract_poses(dataset, tmp_path / "p", estimator, SMALL, executor=RayExecutor(5), worker_estimator=CREATE)
    assert contents(tmp_path / "p") == contents(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_waiting_for_workers(number: signal.Signals) -> None:
    import ray

    never = ray.remote(num_cpus=99)(ray_pool.Worker).remote()
    answer = never.ready.remote()
    for _ in range(4):  # Ray looks for signals in several places
        with pytest.raises(Interrupted, match="kept") as stopped, Signals("kept"):
            threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
            ray.wait([answer], timeout=20)
        assert stopped.value.signal == number
    ray.kill(never)
