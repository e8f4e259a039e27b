"""Fixtures: drawn datasets made once per session, and real data where it is at hand."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

# Small tensors are computed faster by one thread, above all where other work has the cores. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands do

import cv2
import hypothesis
import jinja2
import pytest
from filelock import FileLock

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.estimators.registry import create_estimator
from reidprep.poses.extract import extract_poses
from reidprep.poses.format import DatasetPlan, EstimatorPlan
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.format import PosesUsed, ShardFile, ShardPlan, ShardStatistics, ShardSummary, StoredMeans
from reidprep.skeleton import JOINTS
from reidprep.store.fields import plain
from reidprep.synth.dataset import generate

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], max_examples=50
)
hypothesis.settings.load_profile("untimed")

if TYPE_CHECKING:
    from reidtrain.checkpoints import Checkpoint
    from reidtrain.models.factory import Model
    from reidtrain.recipes.schema import Recipe

MadeOnce = Callable[[str, Callable[[Path], object]], Path]

TINY = {
    "model": {"branches": ["head", "lower_leg"], "attention": "none"},
    "input": {"whole_size": [48, 24], "part_size": [16, 24], "image_size": [48, 24]},
    "validation": {"every": 0},
    "checkpoint": {"minutes": 0},
}
SOFTMAX = {"name": "softmax", "epochs": 2, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}
RANKING = {
    "name": "ranking",
    "epochs": 1,
    "batch": {"identities": 2, "images": 2},
    "optimizer": {"lr": 0.001},
    "loss": {"ranking": "quadruplet-hard"},
}

UNTRAINED_INPUT = {"whole_size": [48, 24], "part_size": [16, 24], "image_size": [48, 24], "divisor": 57}
UNTRAINED_STAGE = {"epochs": 1, "batch": {"size": 4}}


TOGETHER = {
    "tests/reidprep/executors/test_commands.py": "ray",
    "tests/reidprep/executors/test_ray": "ray",
    "tests/reidprep/inspect/browser/": "browser",
    "tests/reidtrain/explore/test_in_browser": "browser",
    "tests/reidtrain/data/test_dataset": "forked",
    "tests/reidtrain/data/classification/test_samples": "forked",
    "tests/reidtrain/training/test_failures": "forked",
    "tests/reidtrain/training/test_distributed": "forked",
}
"""How the paths of tests begin that one process runs, one after the other: there is one Ray cluster, or browser, or
prepared process to fork from."""
LONG = (
    "ray",
    "forked",
    "browser",
    "test_movenet",
    "test_fit",
    "test_outputs",
    "test_export",
    "test_mmpose",
    "test_evaluate",
    "test_extract_features",
    "test_mmpose_to_onnx",
    "test_openmmlab",
    "test_attention_driven",
    "test_interruption",
    "test_damage",
    "test_checkpoints",
    "test_runs",
    "test_complexity",
    "test_examples",
    "test_network",
    "test_demo",
    "test_classification",
    "test_self_attention",
)
"""The groups of tests that take longest, by the clock: several processes begin with them, and end with short ones."""


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as on a terminal: a shell has it ignored by what it starts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.option.loadscopereorder = False  # pytest-xdist would begin with the groups of the most tests


def group_of(nodeid: str) -> str:
    """Tests of the same group are run by one process: what the tests of a file share is made once."""
    file = nodeid.partition("::")[0]
    return next((group for start, group in TOGETHER.items() if file.startswith(start)), PurePosixPath(file).stem)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the groups of tests.

    In a process for all tests those of Ray come last: its threads outlive its connection, and processes forked beside
    them may die or hang. Several processes leave one of them to Ray, from the start.
    """
    items.sort(key=lambda item: group_of(item.nodeid) == "ray")
    if hasattr(config, "workerinput"):
        order = {group: number for number, group in enumerate(LONG)}
        items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


def pytest_collection_finish() -> None:
    """Spare what is there from the start, mostly modules, the collections of garbage: it stays to the end."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One process more than cores, as tests wait for what they start: Ray's most of the time, in one of their own."""
    return (yield) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Hand out groups in their order; a process that has run the tests of Ray runs no others."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def _reschedule(self, node: object) -> None:
            if "ray" not in self.assigned_work[node] or len(self.nodes) == 1 or not find_spec("ray"):
                super()._reschedule(node)
            elif not node.shutting_down:
                node.shutdown()

    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",  # an attacker's name server says it is this machine
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; one, for Playwright has a loop of events in this thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'reidprep[browser]'")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


# What a skip's reason names -> how to have what was skipped.
REMEDIES = {
    r"mmpose|MMPose|mmengine|mmcv": "make setup-mmpose",
    r"\bray\b|\bRay\b": "[ray]",
    r"faiss": "[faiss]",
    r"onnxscript": "[export]",
    r"playwright|Playwright|Chromium": "[browser] and Chromium",
    r"starlette|\[inspect\]": "[inspect]",
    r"torch'|lightning|\[train\]": "[train]",
    r"REID_\w+": None,
    r"GPU": "a GPU",
}


def skipped_line(reasons: Sequence[str]) -> str:
    """How many tests were skipped for want of what, in a line; empty if none was."""
    counts: Counter[str] = Counter()
    for reason in reasons:
        named = ((remedy, re.search(pattern, reason)) for pattern, remedy in REMEDIES.items())
        counts[next((remedy or found[0] for remedy, found in named if found), "another system")] += 1
    listed = ", ".join(f"{number} need {remedy}" for remedy, number in counts.most_common())
    extras = ",".join(name for remedy in counts for name in re.findall(r"\[(\w+)\]", remedy))
    how = f"; extras: .venv/bin/pip install -c constraints.txt -e '.[{extras}]'" if extras else ""
    return f"{len(reasons)} skipped: {listed}{how}" if reasons else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with one line on what was left out."""
    line = skipped_line([report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())])
    if line:
        terminalreporter.write_line(line)


def _folder_from(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs {what}: set {variable} to its folder")
    path = Path(value)
    if not path.is_dir():
        pytest.fail(f"{variable} is set to {path}, which is no folder")
    return path


@pytest.fixture(scope="session")
def shard_plan() -> Callable[..., ShardPlan]:
    """Makes the plan of shards that nobody built, with the fields given."""
    dataset = DatasetPlan(name="csv", options={}, splits=("train",), limit=None, images=1, records_sha256="0")
    estimator = EstimatorPlan(name="hand", weights_sha256="0", score_scale="none", device="cpu")
    poses = PosesUsed(
        tool="a test", sha256="0", dataset=dataset, estimator=estimator, confidence=0.3, rows_per_part=1024
    )
    fields = {
        "poses": poses,
        "canonical_sha256": "0",
        "alignment": "pose",
        "beta": 3 / 48,
        "confidence": 0.3,
        "whole_size": (384, 192),
        "part_size": (96, 192),
        "image_size": None,
        "encoding": "jpeg",
        "quality": 90,
        "border": (0, 0, 0),
        "samples_per_shard": 1024,
    }
    return lambda **changes: ShardPlan(**{**fields, **changes})


@pytest.fixture(scope="session")
def shard_summary() -> Callable[..., ShardSummary]:
    """Makes the summary of such shards, with the fields given."""
    fields = {
        "images": {},
        "skipped": 0,
        "skipped_in_poses": 0,
        "train_labels": {},
        "channel_means": StoredMeans(whole=(0, 0, 0), parts=((0, 0, 0),) * 4, image=None),
        "joints_filled": (0,) * len(JOINTS),
        "flags": {},
    }
    return lambda **changes: ShardSummary(**{**fields, **changes})


@pytest.fixture(scope="session")
def shard_file() -> Callable[..., ShardFile]:
    """Makes an entry for a shard file: name, rows, hash and split."""

    def make(name: str, rows: int, sha256: str, split: str) -> ShardFile:
        sums = ((0, 0, 0),) * 5
        statistics = ShardStatistics(
            split=split, pids=(), channel_sums=sums, joints_filled=(0,) * len(JOINTS), flags={}
        )
        return ShardFile(name, rows, sha256, (), statistics)

    return make


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """For the time of a test, root may not write to what is read-only."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may write everywhere")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of capget(2), this thread
    rights = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, rights) == 0
    fewer = (ctypes.c_uint32 * 6)(rights[0] & ~0b110, *rights[1:])  # without DAC_OVERRIDE and DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    yield
    assert libc.capset(header, rights) == 0


class Killed:
    """Runs of a function in a child process that is killed when it is about to change a file."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def changes(self, run: Callable[[], object]) -> int:
        """How often a function is about to change a file or folder."""
        assert not self.before(10**9, run)
        return self.log.stat().st_size

    def before(self, change: int, run: Callable[[], object]) -> bool:
        """Run a function, but kill it before one of its changes, from 0 on; whether there are that many."""
        self.log.write_bytes(b"")
        child = os.fork()
        if child == 0:
            try:
                cv2.setNumThreads(0)  # its threads have not survived the fork
                self._kill_this(change)
                run()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        return status != 0

    def _kill_this(self, change: int) -> None:
        log = os.open(self.log, os.O_WRONLY)
        done = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal done
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if not writes and event not in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
                return
            if done == change:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            os.write(log, b".")

        sys.addaudithook(hook)


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    """Runs functions and kills them on the way."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    return Killed(tmp_path / "changes")


@pytest.fixture(scope="session", autouse=True)
def undrawn() -> Iterator[None]:
    """Puts an empty file in place of each figure of a run or of its scores: to draw them takes longer than the rest.

    Tests of the figures have the functions themselves, imported before.
    """
    if find_spec("matplotlib") is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_curves", "draw_cmc"):
            patch.setattr(f"reidtrain.plots.curves.{name}", lambda values, path: path.write_bytes(b""))
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what templates of pages are compiled to, which a command does once and the tests a hundred times."""
    kept = jinja2.FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2, "Environment", partial(jinja2.Environment, bytecode_cache=kept))
        yield


@pytest.fixture(scope="session")
def market1501() -> Path:
    """The unpacked Market-1501 dataset."""
    return _folder_from("REID_MARKET1501", "the Market-1501 dataset")


@pytest.fixture(scope="session")
def models() -> Path:
    """Model files that are not part of the project."""
    return _folder_from("REID_MODELS", "the published MoveNet graph")


@pytest.fixture(scope="session")
def estimator() -> PoseEstimator:
    """The embedded estimator."""
    return create_estimator(device="cpu")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Has a folder made by the first process of a parallel run that asks for it; the others wait, and share it.

    Takes its name, and what fills it. It is for reading only.
    """
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "made-once"
    shared.mkdir(exist_ok=True)

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        with FileLock(shared / f"{name}.lock"):
            if not (shared / name).exists():
                unfinished = shared / f"unfinished-{name}"
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(shared / name)
        return shared / name

    return make


@pytest.fixture(scope="session")
def drawn(made_once: MadeOnce) -> Path:
    """A small drawn dataset in the layout of Market-1501. Read only."""
    name = "people with spaces \N{LATIN SMALL LETTER E WITH ACUTE}"
    folder = made_once(
        "drawn", lambda folder: generate(folder / name, identities=4, cameras=2, images_per_camera=2, seed=1)
    )
    return folder / name


@pytest.fixture(scope="session")
def drawn_poses(drawn: Path, estimator: PoseEstimator, made_once: MadeOnce) -> Path:
    """Its poses, a few images to a part. Read only."""
    return made_once("poses", lambda folder: extract_poses(open_dataset(drawn), folder / "poses", estimator)) / "poses"


@pytest.fixture(scope="session")
def drawn_shards(drawn_poses: Path, made_once: MadeOnce) -> Path:
    """Its shards, with the plain image. Read only."""
    options = BuildOptions(image_size=(256, 128), samples_per_shard=8)
    return made_once("shards", lambda folder: build_shards(drawn_poses, folder / "shards", options)) / "shards"


@pytest.fixture(scope="session")
def plain_shards(drawn_poses: Path, made_once: MadeOnce) -> Path:
    """Its shards, without the plain image. Read only."""
    return made_once("plain", lambda folder: build_shards(drawn_poses, folder / "shards")) / "shards"


@pytest.fixture(scope="session")
def strips_shards(drawn_poses: Path, made_once: MadeOnce) -> Path:
    """Its shards in strips of the image, which no network here was trained on. Read only."""
    options = BuildOptions(alignment="strips")
    return made_once("strips", lambda folder: build_shards(drawn_poses, folder / "shards", options)) / "shards"


@pytest.fixture(scope="session")
def tiny():
    """A recipe that trains in a second: two stages of two part branches without attention, but for the values given."""
    pytest.importorskip("torch")
    from reidtrain.recipes.loading import recipe_from_dict

    def build(**values: object) -> Recipe:
        return recipe_from_dict({"network": "attention-driven", "stages": [SOFTMAX, RANKING], **TINY, **values})

    return build


@pytest.fixture(scope="session")
def untrained(drawn_shards: Path, made_once: MadeOnce) -> Callable[[Recipe, Sequence[str]], Path]:
    """Makes checkpoint files of networks that have seen no training, of a recipe and the names of the classes.

    They have the channel means of the drawn people, and batch statistics of noise.
    """
    torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")
    from reidprep.shards.reader import ShardSet
    from reidtrain.checkpoints import checkpoint_content, make_preprocessor
    from reidtrain.data.preprocessing import ChannelMeans
    from reidtrain.models.attention_driven import AttentionDrivenNet
    from reidtrain.models.factory import build_model
    from reidtrain.models.layers import Bottleneck
    from reidtrain.recipes.loading import recipe_to_yaml

    def network(recipe: Recipe, classes: int) -> Model:
        net = build_model(recipe.model, classes, seed=recipe.seed)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
            if isinstance(module, Bottleneck):
                # Zero at the start of training: the unit would not matter.
                torch.nn.init.ones_(module.bn3.weight)
        generator = torch.Generator().manual_seed(1)
        shapes = {view: (8, *([4] if view == "parts" else []), 3, *recipe.input.sizes[view]) for view in net.views}
        if isinstance(net, AttentionDrivenNet):
            # Its parts keep most of the statistics they began with then, without which they amplify rounding.
            net.part_computation = "separate"
        with torch.no_grad():
            net(**{view: torch.randn(shape, generator=generator) for view, shape in shapes.items()})
        return net

    def make(recipe: Recipe, class_names: Sequence[str]) -> Path:
        def fill(folder: Path) -> None:
            shards = ShardSet.open(drawn_shards)
            modules = {
                "model": network(recipe, len(class_names)),
                "preprocessor": make_preprocessor(recipe, ChannelMeans.of(shards), augmented=False),
            }
            schema = shards.manifest.schema
            source = {
                "kind": "shards",
                "schema": [schema.name, schema.version],
                "alignment": "pose",
                "plan": plain(shards.plan),
            }
            content = checkpoint_content(recipe, class_names, source, None, 0, [])
            content["state_dict"] = {
                f"{prefix}.{key}": value
                for prefix, module in modules.items()
                for key, value in module.state_dict().items()
            }
            torch.save(content, folder / "last.ckpt")

        what = f"{recipe_to_yaml(recipe)} {list(class_names)}"
        return made_once(f"untrained-{sha256(what.encode()).hexdigest()[:16]}", fill) / "last.ckpt"

    return make


@pytest.fixture(scope="session")
def make_checkpoint(untrained: Callable[[Recipe, Sequence[str]], Path]) -> Callable[..., Checkpoint]:
    """Checkpoints of small networks that have seen no training. Read only."""
    from reidtrain.checkpoints import load_checkpoint
    from reidtrain.recipes.loading import recipe_from_dict

    load = lru_cache(2)(load_checkpoint)

    def make(network: str, model: dict[str, object] | None = None, **input: object) -> Checkpoint:
        content = {"network": network, "model": model or {}, "input": UNTRAINED_INPUT | input, "seed": 1}
        return load(untrained(recipe_from_dict(content | {"stages": [UNTRAINED_STAGE]}), ["1", "2", "3"]))

    return make
