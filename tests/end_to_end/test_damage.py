"""Whatever is in the files of a directory, a command does its work or says plainly what is wrong.

For a campaign of thousands, run this file as a program:

    python tests/end_to_end/test_damage.py manifest 3000
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import shutil
import sys
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from reid_cli.reidprep.main import main as reidprep

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.estimators.registry import create_estimator
from reidprep.export.webdataset import export_webdataset
from reidprep.files import file_sha256
from reidprep.poses.extract import extract_poses
from reidprep.poses.format import EXCLUDE
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import PARTS
from reidprep.store.manifest import JOURNAL, MANIFEST
from reidprep.synth.dataset import generate

EXITS = (0, 1, 2, 3)
"""What a command may end with: done, a plain error, wrong usage, done but some images were left out."""
OPTIONS = BuildOptions(whole_size=(32, 16), part_size=(8, 16), image_size=(32, 16), samples_per_shard=4)


@dataclass(frozen=True)
class Whole:
    """Directories that are as they should be: what is damaged is a copy."""

    source: Path
    poses: Path
    shards: Path
    tars: Path


def whole_directories(folder: Path) -> Whole:
    """Few drawn people, their poses, shards and tar files."""
    whole = Whole(folder / "source", folder / "poses", folder / "shards", folder / "tars")
    generate(whole.source, identities=2, cameras=2, images_per_camera=2, seed=1)
    extract_poses(open_dataset(whole.source), whole.poses, create_estimator(device="cpu"))
    build_shards(whole.poses, whole.shards, OPTIONS)
    export_webdataset(whole.shards, whole.tars)
    return whole


# What may stand anywhere in a manifest, as text, for JSON can hold what Python's writer would not write.
VALUES = (
    "null", "true", "0", "-1", "1", "3", "1.5", "-0.0", "1e308", "1e999", "-1e999", "NaN", "9" * 30, "-" + "9" * 30,
    str(2**31), str(2**53 + 1), str(2**63), "1" + "0" * 12,
    '""', '"x"', '"1"', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '".."', '"../../etc/passwd"', '"/etc/passwd"',
    '"' + "x" * 5000 + '"', '"' + "x/" * 3000 + '"', '"manifest.json"', '"train"', '"cuhk03"', '"pose"',
    "[]", "{}", "[0]", "[0, 0]", "[1, 1, 1]", "[-1, 5]", "[65536, 65536]", '["train", "train"]', '{"": null}',
    "[" * 20 + "]" * 20, "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 100_000 + "]" * 100_000,
)  # fmt: skip
PLACE = "\N{REPLACEMENT CHARACTER}place"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the whole of it left out."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def damage_manifest(directory: Path, rng: np.random.Generator) -> str:
    """Change something in a manifest, or in the journal of a directory that is being filled; says what."""
    content = json.loads((directory / MANIFEST).read_text())
    content.pop("sha256", None)
    # Lists of ids are long: else hardly anything but ids would be changed.
    found = [place for place in places(content) if not {"train_labels", "pids"} & {*place[:-1]} or rng.random() < 0.1]
    place = found[rng.integers(len(found))]
    *above, last = place
    holder = content
    for key in above:
        holder = holder[key]
    text = VALUES[rng.integers(len(VALUES))]
    how = ("value", "value", "value", "value", "gone", "more", "twice", "other")[rng.integers(8)]
    if how == "gone":
        del holder[last]
    elif how == "more" and isinstance(holder, dict):
        holder["since"] = PLACE
    elif how == "twice" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[last]))
    elif how == "other":
        other = content
        for key in found[rng.integers(len(found))]:
            other = other[key]
        holder[last] = copy.deepcopy(other)
    else:
        holder[last] = PLACE
    parts = content.get("parts")
    if isinstance(parts, list) and rng.random() < 0.15:
        content["complete"], content["parts"] = False, []
        lines = "".join(json.dumps(entry) + "\n" for entry in parts)
        (directory / JOURNAL).write_text(lines.replace(json.dumps(PLACE), text))
    (directory / MANIFEST).write_text(json.dumps(content).replace(json.dumps(PLACE), text))
    return f"{how} at {place}: {text[:60]}"


def damage_columns(directory: Path, rng: np.random.Generator) -> str:
    """Make a column of a file something else than it should be; says what."""
    file = sorted(directory.glob("*.h5"))[0]
    with h5py.File(file, "r+") as content:
        names = sorted(content)
        name = names[rng.integers(len(names))]
        old = content[name][:]
        ways: dict[str, Callable[[], Any]] = {
            "gone": lambda: None,
            "rank": lambda: old[..., None],
            "flat": lambda: old.reshape(-1),
            "transposed": lambda: old.T,
            "scalar": lambda: old.reshape(-1)[0],
            "empty": lambda: h5py.Empty(old.dtype),
            "no rows": lambda: old[:0],
            "fewer rows": lambda: old[:-1],
            "more rows": lambda: np.concatenate([old, old[:1]]),
            "wider": lambda: np.concatenate([old, old], axis=-1) if old.ndim > 1 else np.stack([old, old], axis=1),
            "compound": lambda: np.zeros(len(old), [("a", "f4"), ("b", "i8")]),
            "array type": lambda: np.zeros(len(old), [("a", "f4", (3,))]),
            "void": lambda: np.zeros(len(old), "V7"),
            "text": lambda: np.array([b"x"] * len(old)),
            "reference": lambda: np.array([content[name].ref] * len(old), h5py.ref_dtype),
            "other text": lambda: np.array(["x"] * len(old), h5py.string_dtype("utf-8")),
            "ragged": lambda: np.array([np.zeros(2)] * len(old) + [None], object)[:-1],
            **{
                kind: lambda kind=kind: np.ones(old.shape, kind)
                for kind in ("f8", ">f4", "f2", "i1", "u8", ">i8", "c8", "?", "i4", "f4", "u1")
            },
        }
        way = [*ways, "group", "link", "chunked", "enum"][rng.integers(len(ways) + 4)]
        made = ways[way]() if way in ways else None
        kind = h5py.vlen_dtype(np.float32) if way == "ragged" else None
        del content[name]
        if way == "group":
            content.create_group(name)
        elif way == "link":
            content[name] = h5py.SoftLink("/" + names[0])
        elif way == "chunked":
            with suppress(TypeError, ValueError):
                content.create_dataset(name, data=old, chunks=True, compression="gzip")
        elif way == "enum":
            content.create_dataset(name, data=np.zeros(old.shape, "i1"), dtype=h5py.enum_dtype({"a": 0, "b": 1}, "i1"))
        elif made is not None:
            content.create_dataset(name, data=made, dtype=kind)
    _sign(directory, file, rng)
    return f"{file.name}: {name} {way}"


ODD_NUMBERS = (np.nan, np.inf, -np.inf, 0, -0.0, -1, 1, 7, 255.5, 1e-30, 1e9, -1e9, 1e30, 3.4e38, -3.4e38)
ODD_WHOLE = (0, -1, 1, 2, 7, 255, -(2**31), 2**31 - 1, -(2**63), 2**63 - 1, 2**62, 10**12)
ODD_TEXT = (
    b"", b".", b"..", b"/", b"//", b"/etc/passwd", b"../x.jpg", b"a/../..", b"\xff\xfe", b"a\0b", b"\0a", b"C:/a.jpg",
    b"a\\b", b"a b", b"train", b"query", b"valid", b"#xywh=1,2,3,4", b"a#xywh=0,0,1,1", b"<b>", b"x.jpg", b".jpg",
    b"\n", b"__a.jpg", "\N{GRINNING FACE}".encode(),
)  # fmt: skip


def damage_values(directory: Path, rng: np.random.Generator) -> str:
    """Change some values of a column to odd ones, the type being right; says what."""
    file = sorted(directory.glob("*.h5"))[0]
    with h5py.File(file, "r+") as content:
        names = sorted(content)
        name = names[rng.integers(len(names))]
        values = content[name][:]
        flat = values.reshape(-1)
        some = slice(None) if rng.random() < 0.3 else rng.integers(len(flat), size=rng.integers(1, 4))
        if values.dtype.kind == "S":
            odd: Any = ODD_TEXT[rng.integers(len(ODD_TEXT))][: values.dtype.itemsize]
        elif values.dtype.kind == "f":
            odd = ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
        else:
            odd = ODD_WHOLE[rng.integers(len(ODD_WHOLE))]
        with np.errstate(all="ignore"):
            flat[some] = odd if values.dtype.kind in "Sf" else np.array(odd & (2**64 - 1), "u8").astype(values.dtype)
        content[name][...] = flat.reshape(values.shape)
        if name in ("images", "offsets") and rng.random() < 0.7:
            _right_checksums(content)
    _sign(directory, file, rng)
    return f"{file.name}: {name} {odd!r} at {some}"


def _right_checksums(content: h5py.File) -> None:
    """Let what was damaged come through to the decoder."""
    offsets, images = content["offsets"][:].tolist(), content["images"][:]
    rows = len(content["crc32"])
    per_sample = (len(offsets) - 1) // rows
    for row in range(rows):
        content["crc32"][row] = zlib.crc32(images[offsets[row * per_sample] : offsets[(row + 1) * per_sample]])


def _sign(directory: Path, file: Path, rng: np.random.Generator) -> None:
    """Enter the hash of a file in the manifest, as whoever writes such files would; now and then do not."""
    if rng.random() < 0.9:
        content = json.loads((directory / MANIFEST).read_text())
        content.pop("sha256", None)
        for entry in content["parts"]:
            if entry["name"] == file.name:
                entry["sha256"] = file_sha256(file)
        (directory / MANIFEST).write_text(json.dumps(content))


DAMAGES: Mapping[str, Callable[[Path, np.random.Generator], str]] = {
    "manifest": damage_manifest,
    "columns": damage_columns,
    "values": damage_values,
}


def inspect_pages(path: Path) -> None:
    """Open a directory as `reidprep inspect` does, and look at its pages."""
    from starlette.testclient import TestClient

    from reidprep.inspect.app import create_app, open_samples
    from reidprep.inspect.exclusions import Exclusions
    from reidprep.inspect.security import Hosts

    samples = open_samples(path)
    app = create_app(samples, Exclusions(path / EXCLUDE, samples.index.paths), "token", Hosts("127.0.0.1"))
    client = TestClient(app, base_url="http://127.0.0.1:8765", follow_redirects=False)
    pages = [
        "/",
        "/overview",
        "/excluded",
        "/identity/1",
        "/?sort=residual&order=desc",
        "/?min_outside=0.1&sort=height",
    ]
    pages += [f"/sample/{row}" for row in range(min(2, len(samples.index)))]
    pages += [f"/image/0/{name}" for name in ("source", "whole", *PARTS, "plain")]
    for page in pages:
        if client.get(page).status_code >= 500:
            raise AssertionError(f"{page} answers with a server error")


def read_for_training(path: Path) -> None:
    """Read shards as fit, evaluate, rank, attention and extract-features do before a network computes."""
    import torch

    from reidtrain.ablation.crops import Crops, dataset_plan
    from reidtrain.data.dataset import ShardDataset, collate
    from reidtrain.data.preprocessing import ChannelMeans, Preprocessor
    from reidtrain.evaluation.images import query_gallery_images
    from reidtrain.papers.rows import dataset_column
    from reidtrain.recipes.loading import load_recipe
    from reidtrain.recipes.variants import recipe_variant

    train = ShardSet.open(path, "train")
    views = tuple(train.stored_sizes)
    dataset = ShardDataset(train, views)
    preprocess = Preprocessor(ChannelMeans.of(train), sizes=train.full_sizes)
    with torch.inference_mode():
        preprocess.eval()(collate([dataset[row] for row in range(len(dataset))]))
    assert dataset.labels.max() < len(train.train_labels)
    dataset_plan([path], None)
    Crops("pose", 3).served_by(train.plan)
    dataset_column(train.plan.poses.dataset.name, train.plan.poses.dataset.options)
    recipe_variant(load_recipe("attention-driven-market1501"), train.plan)
    images = query_gallery_images(path)
    images.require_match(images.protocol)
    [images.shards[int(row)] for row in images.query]


def commands(kind: str, path: Path, whole: Whole, out: Path) -> dict[str, list[str] | Callable[[], None]]:
    """What reads a damaged directory: arguments of a command, or a function."""
    given = str(path)
    source = ["--source", str(whole.source)]
    size = ["--whole-size", "32x16", "--part-size", "8x16", "--workers", "1"]
    build = ["build-shards", *source, *size, "--with-image", "--image-size", "32x16", "--shard-size", "4"]
    always = {
        "info": ["info", given],
        "info --json": ["info", given, "--json"],
        "verify": ["verify", given, "--workers", "1"],
    }
    if kind == "poses":
        return always | {
            "inspect": lambda: inspect_pages(path),
            "build-shards": [*build, given, str(out)],
            "export coco": ["export", "--format", "coco", given, str(out / "poses.json")],
            "export openpose": ["export", "--format", "openpose", given, str(out)],
            "fit-canonical": ["fit-canonical", given, str(out / "canonical.json"), "--count", "2"],
        }
    if kind == "shards":
        return always | {
            "inspect": lambda: inspect_pages(path),
            "preview": ["preview", given, str(out), *source, "--limit", "3"],
            "export webdataset": ["export", "--format", "webdataset", given, str(out)],
            "build-shards into it": [*build, str(whole.poses), given],
            "build-shards --overwrite": [*build, str(whole.poses), given, "--overwrite"],
            "reidtrain": lambda: read_for_training(path),
        }
    return {
        "verify": always["verify"],
        "export into it": ["export", "--format", "webdataset", str(whole.shards), given],
        "export --overwrite": ["export", "--format", "webdataset", str(whole.shards), given, "--overwrite"],
    }


def outcome(command: list[str] | Callable[[], None]) -> str:
    """How it ended: `right`, `plain error`, or a traceback."""
    try:
        if callable(command):
            command()
            return "right"
        result = CliRunner().invoke(reidprep, command)
    except ReidError:
        return "plain error"
    except Exception:
        return traceback.format_exc()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return "".join(traceback.format_exception(*result.exc_info))
    if result.exit_code not in EXITS or "Traceback" in result.output:
        return f"Traceback: exit status {result.exit_code}\n{result.output}"
    return "right" if result.exit_code in (0, 3) else "plain error"


def campaign(
    damage: str, whole: Whole, count: int, folder: Path, *, seed: int = 0, most: int | None = None
) -> Iterator[tuple[str, str, str]]:
    """Damage directories so many times, and give them to the commands that read such.

    Args:
        damage: one of `DAMAGES`.
        whole: what is copied and damaged.
        count: copies.
        folder: for the copies.
        seed: of the first; each has its own.
        most: commands that a copy is given to, drawn at random; None for all.

    Yields:
        What was damaged, the command, and how it ended.
    """
    kinds = {"poses": whole.poses, "shards": whole.shards} | ({"tars": whole.tars} if damage == "manifest" else {})
    for number, kind in zip(range(seed, seed + count), itertools.cycle(kinds), strict=False):
        rng = np.random.default_rng([number, len(damage)])
        path, out = folder / f"{kind}-{number}", folder / f"out-{number}"
        shutil.copytree(kinds[kind], path)
        what = f"{number}: {kind}: {DAMAGES[damage](path, rng)}"
        given = list(commands(kind, path, whole, out).items())
        # What writes into the directory comes last.
        chosen = sorted(rng.permutation(len(given))[:most].tolist())
        for name, command in (given[index] for index in chosen):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            yield what, name, outcome(command)
        shutil.rmtree(out)
        shutil.rmtree(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole_directories(tmp_path_factory.mktemp("whole"))


def test_whole_directories_are_right(whole: Whole, tmp_path: Path) -> None:
    for kind in ("poses", "shards", "tars"):
        path = Path(shutil.copytree(getattr(whole, kind), tmp_path / kind))
        for name, command in commands(kind, path, whole, tmp_path / "out").items():
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            (tmp_path / "out").mkdir()
            assert outcome(command) == "right", name


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory_gives_no_traceback(damage: str, whole: Whole, tmp_path: Path) -> None:
    ends = Counter()
    for what, name, end in campaign(damage, whole, 20, tmp_path, most=2):
        assert "Traceback" not in end, f"{what}\n{name}\n{end}"
        ends[end] += 1
    assert ends["right"] and ends["plain error"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("damage", choices=DAMAGES)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    ends: Counter[str] = Counter()
    copies: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        whole = whole_directories(Path(folder) / "whole")
        for what, name, end in campaign(arguments.damage, whole, arguments.count, Path(folder), seed=arguments.seed):
            kind = "traceback" if "Traceback" in end else end
            ends[kind] += 1
            copies.setdefault(kind, set()).add(what)
            if kind == "traceback":
                print(f"{what}\n{name}\n{end}", flush=True)
    print(f"{arguments.count} copies, {sum(ends.values())} commands:", dict(ends), file=sys.stderr)
    print("copies with one at least:", {kind: len(found) for kind, found in copies.items()}, file=sys.stderr)


if __name__ == "__main__":
    main()
