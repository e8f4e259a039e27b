"""Give damaged, odd and hostile inputs to the commands, and kill commands at random moments.

    python benchmarks/robustness.py                   # 2,000 inputs
    python benchmarks/robustness.py --inputs 200 --seed 7
    python benchmarks/robustness.py --kills 60        # of each command that writes
    python benchmarks/robustness.py --kills 60 --only fit

Each input is drawn by its number and the seed, and given to a command in a process of its own, which is stopped after
a minute. How it ends is one of: right (the result of the undamaged input, or images left out by name, status 3); a
plain error; a traceback or a crash; a hang; silent (status 0, and another result); more than 1.5 GB of memory.
docs/robustness.md has the table.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image
from reid_cli.reidprep.main import main as reidprep
from reid_cli.reidtrain.main import main as reidtrain

from reidprep.datasets.registry import open_dataset
from reidprep.poses.reader import PoseSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.features.numpy_files import NPZ
from reidtrain.recipes.loading import recipe_to_dict

SECONDS, BYTES = 60, 1500 << 20
ENDS = ("right", "plain error", "traceback", "hang", "silent", "over 1.5 GB")
Ends = Callable[[], str]
"""Runs a command on an input and says how it ended."""


def command(main: Any, *arguments: object) -> int:
    """Exit status of a command; what it raises is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if "Traceback" in result.output or result.exit_code not in (0, 1, 2, 3):
        raise RuntimeError(result.output)
    return result.exit_code


def judged(status: int, *, same: bool) -> str:
    """How a command ended by its exit status; `same`: a result would be that of the undamaged input."""
    if status in (1, 2):
        return "plain error"
    return "right" if same or status == 3 else "silent"


class Inputs:
    """What is whole, made once in a folder, and damaged copies of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images, self.poses, self.shards = folder / "images", folder / "poses", folder / "shards"
        self.run, self.features, self.coco = folder / "run", folder / "features.npz", folder / "coco.json"
        assert command(reidprep, "synth", self.images, "--identities", 4, "--cameras", 2, "--images-per-camera", 2) == 0
        assert command(reidprep, "extract-poses", self.images, self.poses) == 0
        assert command(reidprep, "build-shards", self.poses, self.shards, "--workers", 1) == 0
        assert command(reidprep, "export", self.poses, self.coco, "--format", "coco") == 0
        settings = "model.branches=[whole] stages.0.batch.identities=2 stages.0.batch.images=2 stages.0.epochs=1"
        small = [word for setting in f"{settings} validation.every=0".split() for word in ("--set", setting)]
        fit = ["fit", self.shards, "--out", self.run, "--recipe", "demo", *small, "--workers", 0]
        assert command(reidtrain, *fit) == 0
        extract = ["extract-features", self.run, self.shards, self.features, "--workers", 0]
        assert command(reidtrain, *extract) == 0
        self.paths = PoseSet(self.poses).column("paths").tolist()
        self.joints = PoseSet(self.poses).column("joints")
        self.checkpoint = self.run / "checkpoints" / "last.ckpt"
        self.kinds: dict[str, Callable[[random.Random, Path], Ends]] = {
            "JPEG cut, zeroed, without scans": self._damaged_jpeg,
            "image files, bytes changed": self._changed_image,
            "image files, hostile": self._hostile_image,
            "images replaced": self._replaced_image,
            "manifest, a bit flipped": lambda rng, at: self._flipped(rng, at, "manifest.json"),
            "HDF5 files, a bit flipped": lambda rng, at: self._flipped(rng, at, ".h5"),
            "keypoints in other coordinates": self._moved_keypoints,
            "keypoint JSON, changed": self._changed_json,
            "CSV, changed": self._changed_csv,
            "checkpoints, a bit flipped or cut": self._damaged_checkpoint,
            "checkpoints, fields changed": self._changed_checkpoint,
            "feature files, changed": self._changed_features,
            "recipes, changed": self._changed_recipe,
            "pipes, devices, folders": self._no_file,
        }

    def _extract(self, dataset: Path, at: Path, *options: object) -> int:
        keypoints = ["--estimator", "files", "--keypoints", self.coco]
        return command(reidprep, "extract-poses", dataset, at / "out", *keypoints, *options)

    def _with_image(self, at: Path, path: str, data: bytes) -> tuple[Path, int, bool]:
        """A dataset of few images, one of them these bytes: its folder, how it ended, whether that one was left out."""
        listed = [path, *random.Random(path).sample([other for other in self.paths if other != path], 3)]
        records = {record.path: record for record in open_dataset(self.images).records}
        lines = ["path,pid,camid,split"]
        for name in listed:
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_bytes(data if name == path else (self.images / name).read_bytes())
            lines.append(f"{name},{records[name].pid},{records[name].camid},{records[name].split}")
        (at / "list.csv").write_text("\n".join(lines))
        status = self._extract(at / "list.csv", at)
        skipped = status in (0, 3) and any(entry.path == path for entry in PoseSet(at / "out").manifest.skipped)
        return at, status, skipped

    def _damaged_jpeg(self, rng: random.Random, at: Path) -> Ends:
        path = rng.choice(self.paths)
        options: dict[str, Any] = rng.choice([{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
        buffer = io.BytesIO()
        Image.open(self.images / path).save(buffer, "JPEG", quality=rng.randint(50, 98), **options)
        data = buffer.getvalue()
        start = data.index(b"\xff\xda") + 20
        place = rng.randint(start, max(start, int(len(data) * 0.9)))
        data = rng.choice(
            [
                data[:place],
                data[:place] + b"\xff\xd9",
                data[:place] + bytes(len(data) - place),
                data[:place] + bytes(len(data) - place - 2) + b"\xff\xd9",
            ]
        )
        return lambda: judged((end := self._with_image(at, path, data))[1], same=end[2])

    def _changed_image(self, rng: random.Random, at: Path) -> Ends:
        path, kind = rng.choice(self.paths), rng.choice(["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM"])
        buffer = io.BytesIO()
        Image.open(self.images / path).save(buffer, kind)
        data = bytearray(buffer.getvalue())
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(len(data), rng.choice([60, len(data)])))] = rng.randrange(256)
        # Formats without checksums cannot tell: only what a PNG becomes is compared.
        png = kind == "PNG"
        same = png and bytes(data) == buffer.getvalue()
        return lambda: judged((end := self._with_image(at, path, bytes(data)))[1], same=same or not png or end[2])

    def _hostile_image(self, rng: random.Random, at: Path) -> Ends:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        def bomb() -> bytes:
            width, height = rng.choice([(60_000, 60_000), (2**31 - 1, 2**31 - 1), (8192, 8192)])
            header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
            return (
                b"\x89PNG\r\n\x1a\n"
                + chunk(b"IHDR", header)
                + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
                + chunk(b"IEND", b"")
            )

        def scans() -> bytes:
            buffer = io.BytesIO()
            Image.new("L", (rng.choice([64, 4096]),) * 2).save(buffer, "JPEG", progressive=True)
            whole = buffer.getvalue()
            return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * rng.choice([200, 20_000]) + b"\xff\xd9"

        def values() -> bytes:
            buffer = io.BytesIO()
            array = rng.choice([np.full((128, 64), 0.5, np.float32), np.full((128, 64), 1 << 24, np.int32)])
            Image.fromarray(array).save(buffer, "TIFF")
            return buffer.getvalue()

        data = rng.choice([bomb, scans, values, lambda: b"%!PS\n", lambda: b"", lambda: b"\xff\xd8\xff"])()
        path = rng.choice(self.paths)
        return lambda: judged((end := self._with_image(at, path, data))[1], same=end[2])

    def _replaced_image(self, rng: random.Random, at: Path) -> Ends:
        shutil.copytree(self.images, at / "images")
        one, other = rng.sample(self.paths, 2)
        shutil.copy(self.images / other, at / "images" / one)
        same = (self.images / one).read_bytes() == (self.images / other).read_bytes()
        check = rng.choice(
            [
                ["build-shards", self.poses, at / "out", "--source", at / "images", "--workers", 1],
                ["verify", rng.choice([self.poses, self.shards]), "--source", at / "images", "--workers", 1],
            ]
        )
        return lambda: judged(command(reidprep, *check), same=same)

    def _flipped(self, rng: random.Random, at: Path, suffix: str) -> Ends:
        directory = shutil.copytree(rng.choice([self.poses, self.shards]), at / "d")
        file = rng.choice(sorted(file for file in directory.iterdir() if file.name.endswith(suffix)))
        data = bytearray(file.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        return lambda: judged(command(reidprep, "verify", directory, "--workers", 1), same=False)

    def _moved_keypoints(self, rng: random.Random, at: Path) -> Ends:
        factor = rng.choice([0.2, 0.3, 0.5, 1.5, 2.0, 3.0, 5.0])
        move = rng.choice(
            [
                lambda x, y, w, h: (x * factor, y * factor),
                lambda x, y, w, h: (x / w * 100, y / h * 100),
                lambda x, y, w, h: (x / w, y / h),
                lambda x, y, w, h: (y, x),
                lambda x, y, w, h: (x, h - y),
            ]
        )
        results = [
            {
                "image_id": path,
                "category_id": 1,
                "keypoints": [float(v) for x, y, s in person for v in (*move(x, y, 64, 128), s)],
            }
            for path, person in zip(self.paths, self.joints, strict=True)
        ]
        (at / "k.json").write_text(json.dumps(results))
        given = ["extract-poses", self.images, at / "out", "--estimator", "files", "--keypoints", at / "k.json"]
        return lambda: judged(command(reidprep, *given), same=False)

    def _changed_json(self, rng: random.Random, at: Path) -> Ends:
        text = self.coco.read_text()
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(text))
            some = rng.choice(["", "null", "[" * 2000, "1e999", '"', "{", "-", "9" * 5000, "}", "\0", '"x": 1,'])
            text = text[:place] + some + text[place + rng.choice([0, 1, 20]) :]
        (at / "k.json").write_text(text)
        given = ["extract-poses", self.images, at / "out", "--estimator", "files", "--keypoints", at / "k.json"]
        return lambda: judged(command(reidprep, *given), same=True)

    def _changed_csv(self, rng: random.Random, at: Path) -> Ends:
        (at / "images").symlink_to(self.images)
        records = open_dataset(self.images).records
        lines = ["path,pid,camid,split", *(f"images/{r.path},{r.pid},{r.camid},{r.split}" for r in records)]
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(lines))
            odd = rng.choice(["", '"', ",", "../", "\0", "x" * 5000, " ", "-9", "9" * 50, "\udc80", "#xywh=0,0,0,0"])
            at_character = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at_character] + odd + lines[place][at_character:]
        (at / "list.csv").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        return lambda: judged(self._extract(at / "list.csv", at), same=True)

    def _damaged_checkpoint(self, rng: random.Random, at: Path) -> Ends:
        legacy = rng.random() < 0.5
        content = torch.load(self.checkpoint, weights_only=True)
        torch.save(content, at / "c.ckpt", _use_new_zipfile_serialization=not legacy)
        data = bytearray((at / "c.ckpt").read_bytes())
        cut = rng.random() < 0.5
        if cut:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (at / "c.ckpt").write_bytes(data)
        # PyTorch's older format, which this toolkit never wrote, has no checksum.
        return lambda: self._loaded(at / "c.ckpt", content, same=legacy and not cut)

    def _loaded(self, path: Path, content: dict[str, Any], *, same: bool) -> str:
        from reidprep.errors import ReidError

        try:
            checkpoint = load_checkpoint(path)
            checkpoint.model(), checkpoint.preprocessor()
        except ReidError:
            return "plain error"
        state = content["state_dict"]
        equal = checkpoint.state.keys() == state.keys() and all(
            torch.equal(checkpoint.state[k], state[k]) for k in state
        )
        return "right" if same or equal else "silent"

    def _changed_checkpoint(self, rng: random.Random, at: Path) -> Ends:
        content = torch.load(self.checkpoint, weights_only=True)
        about, state = content["reidtrain"], content["state_dict"]
        values: list[Any] = [None, -1, 1 << 70, float("nan"), "x", [], {}, [[]], torch.zeros(3), True]
        if rng.random() < 0.5:
            about[rng.choice(sorted(about))] = rng.choice(values)
        else:
            name = rng.choice([*sorted(state), "preprocessor.whole_mean", "preprocessor.parts_mean"])
            odd = [
                state[name] * float("nan"),
                state[name][None],
                state[name].to("meta"),
                state[name].to(torch.complex64),
            ]
            state[name] = rng.choice([*values, *odd])
        torch.save(content, at / "c.ckpt")
        return lambda: self._loaded(at / "c.ckpt", content, same=True)

    def _changed_features(self, rng: random.Random, at: Path) -> Ends:
        file = at / f"f{NPZ}"
        data = bytearray(self.features.read_bytes())
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        if rng.random() < 0.1:
            np.savez_compressed(
                file, query_features=np.zeros((1 << 12, 1 << 14)), gallery_features=np.zeros((2, 1 << 14))
            )
            data = bytearray(file.read_bytes())
        file.write_bytes(data)
        score = ["score", file, "--protocol", "market1501"]
        given = rng.choice(
            [score, ["search", file, "--top", 1], ["index", file, "--out", at / "index", "--kind", "hnsw"]]
        )
        return lambda: judged(command(reidtrain, *given), same=True)

    def _changed_recipe(self, rng: random.Random, at: Path) -> Ends:
        lines = (self.run / "recipe.yaml").read_text().splitlines()
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(lines))
            aliases = "a: &a [" + "x," * 9 + "]\nb: &b [" + "*a," * 9 + "]\nc: [" + "*b," * 9 + "]"
            odd = [
                "",
                "- 1",
                "network: [1]",
                "x: " + "[" * 500,
                aliases,
                "seed: " + "9" * 5000,
                "d: 2001-99-99",
                "\t",
                ": :",
                "seed: .nan",
            ]
            lines[place] = rng.choice(odd)
        (at / "r.yaml").write_text("\n".join(lines))
        return lambda: judged(command(reidtrain, "recipes", at / "r.yaml"), same=True)

    def _no_file(self, rng: random.Random, at: Path) -> Ends:
        os.mkfifo(at / "pipe.json")
        (at / "folder.json").mkdir()
        file = rng.choice([at / "pipe.json", Path("/dev/zero"), at / "folder.json", at / ("x" * 1000)])
        link = at / f"given.{rng.choice(['json', 'csv', 'npz', 'npy', 'yaml', 'ckpt', 'onnx'])}"
        link.symlink_to(file)
        files = ["--estimator", "files", "--keypoints", link]
        commands: list[tuple[Any, list[object]]] = [
            (reidprep, ["extract-poses", self.images, at / "out", *files]),
            (reidprep, ["extract-poses", self.images, at / "out", "--estimator", "onnx", "--onnx", link]),
            (reidprep, ["extract-poses", link, at / "out"]),
            (reidprep, ["build-shards", self.poses, at / "out", "--canonical", link]),
            (reidprep, ["build-shards", self.poses, at / "out", "--exclude", link]),
            (reidtrain, ["score", link, "--protocol", "market1501"]),
            (reidtrain, ["search", link]),
            (reidtrain, ["evaluate", link, self.shards, "--out", at / "out"]),
            (reidtrain, ["fit", self.shards, "--out", at / "out", "--recipe", "demo", "--init", link]),
            (reidtrain, ["fit", self.shards, "--out", at / "out", "--recipe", link]),
        ]
        main, given = rng.choice(commands)
        return lambda: judged(command(main, *given), same=False)


def ended(make: Callable[[random.Random, Path], Ends], rng: random.Random, folder: Path) -> tuple[str, str]:
    """How an input ends in a process of its own, and the traceback if there is one."""
    folder.mkdir()
    # The input is made here: only what the command takes is measured.
    run = make(rng, folder)
    said = folder / "said"
    child = os.fork()
    if not child:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            said.write_text(run())
        except BaseException:
            said.write_text(traceback.format_exc())
        os._exit(0)
    deadline = time.monotonic() + SECONDS
    while not (done := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang", ""
        time.sleep(0.005)
    text = said.read_text() if said.exists() else f"ended by signal {done[1]}"
    if text not in ENDS:
        return "traceback", text
    return ("over 1.5 GB" if done[2].ru_maxrss << 10 > BYTES else text), ""


def campaign(count: int, seed: int, minutes: float) -> None:
    """Try inputs until there were `count`, or the time is up, and print the table."""
    deadline = time.monotonic() + 60 * minutes
    table: dict[str, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(Path(folder))
        kinds = list(inputs.kinds)
        for number in range(count):
            if time.monotonic() > deadline:
                print(f"stopped after {minutes:g} minutes, at {number} of {count} inputs")
                break
            kind, at = kinds[number % len(kinds)], Path(folder) / str(number)
            how, text = ended(inputs.kinds[kind], random.Random(f"{seed} {number}"), at)
            table[kind][how] += 1
            if how not in ("right", "plain error"):
                print(f"input {number}, {kind}: {how}\n{text}", flush=True)
            shutil.rmtree(at, ignore_errors=True)
    print(f"\n| input | tried | {' | '.join(ENDS)} |\n|---|{'---|' * (1 + len(ENDS))}")
    rows = [*table.items(), ("all", sum(table.values(), Counter()))]
    for kind, ends in rows:
        print(f"| {kind} | {sum(ends.values()):,} | {' | '.join(f'{ends[end]:,}' for end in ENDS)} |")


def kills(count: int, minutes: float, only: str | None) -> None:
    """Kill each writing command at random moments, run it again, and compare what it wrote with an undisturbed run."""
    deadline = time.monotonic() + 60 * minutes
    print("| command | killed | same bytes after the next run |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(Path(folder))
        gallery = Path(folder) / "gallery.npy"
        np.save(gallery, np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32))
        recipe = Path(folder) / "recipe.yaml"
        values = recipe_to_dict(load_checkpoint(inputs.run).recipe)
        values["stages"][0]["epochs"], values["checkpoint"]["minutes"] = 4, 0.0
        recipe.write_text(json.dumps(values))
        commands: dict[str, tuple[str, Callable[[Path], list[object]]]] = {
            "extract-poses": ("reidprep", lambda out: [inputs.images, out, "--rows-per-part", 3]),
            "build-shards": ("reidprep", lambda out: [inputs.poses, out, "--shard-size", 2, "--workers", 1]),
            "export": ("reidprep", lambda out: [inputs.shards, out, "--format", "webdataset"]),
            "fit-canonical": ("reidprep", lambda out: [inputs.poses, out / "c.json", "--count", 2]),
            "fit": ("reidtrain", lambda out: [inputs.shards, "--out", out, "--recipe", recipe, "--workers", 0]),
            "extract-features": ("reidtrain", lambda out: [inputs.run, inputs.shards, out, "--workers", 0]),
            "index": ("reidtrain", lambda out: [gallery, "--out", out, "--kind", "hnsw"]),
        }
        for name, (program, arguments) in commands.items():
            if only not in (None, name):
                continue
            same = killed = 0
            whole = Path(folder) / f"{name}-whole"
            began = time.monotonic()
            _start(program, name, arguments(whole)).wait()
            seconds = time.monotonic() - began
            rng = random.Random(name)
            while killed < count and time.monotonic() < deadline:
                out = Path(folder) / f"{name}-killed"
                shutil.rmtree(out, ignore_errors=True)
                process = _start(program, name, arguments(out))
                time.sleep(rng.uniform(0.2, 1) * seconds)
                if process.poll() is not None:
                    continue
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                _start(program, name, arguments(out)).wait()
                same += _contents(out) == _contents(whole)
            print(f"| {name} | {killed} | {same} |", flush=True)
            deadline = max(deadline, time.monotonic() + 1)


def _start(program: str, name: str, arguments: list[object]) -> subprocess.Popen[bytes]:
    code = f"from reid_cli.{program}.main import main; main()"
    line = [sys.executable, "-c", code, name, *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _contents(folder: Path) -> dict[str, bytes]:
    """What a command wrote, by the names of files; of a run, whose files tell the time, the weights by their names."""
    if (folder / "run.json").exists():
        return {name: value.numpy().tobytes() for name, value in load_checkpoint(folder).state.items()}
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000, help="how many inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0, help="kill each command so many times, instead")
    parser.add_argument("--only", help="kill this command alone")
    parser.add_argument("--minutes", type=float, default=30, help="stop then")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)  # threads do not survive a fork
    if given.kills:
        kills(given.kills, given.minutes, given.only)
    else:
        campaign(given.inputs, given.seed, given.minutes)
