"""Write a drawn dataset in the layout of Market-1501."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.executors.local import LocalExecutor
from reidprep.files import TOOL, FolderKind, whole_folder
from reidprep.images import encode_jpeg
from reidprep.skeleton import JOINTS
from reidprep.synth.appearance import Identity, sample_identity
from reidprep.synth.background import BACKDROPS
from reidprep.synth.camera import Camera, sample_camera
from reidprep.synth.scene import Drawing, draw_nobody, draw_person
from reidprep.synth.truth import FILE_NAME, SCHEMA, VERSION

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
DISTRACTORS_PER_CAMERA = 2
DATASET = FolderKind("a drawn dataset", SCHEMA, FILE_NAME, f"{TRAIN}|{QUERY}|{GALLERY}")
VIEWS = np.radians([0, 90, 180, 270, 35, 145, 215, 325])
# First numbers of the seeds, so that no two kinds of random stream are the same.
_IDENTITY, _CAMERA, _VIEWS, _IMAGE, _PASSER_BY, _JUNK = range(6)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What shapes a drawn dataset; see `generate`."""

    identities: int
    cameras: int
    images_per_camera: int
    seed: int


@dataclass(frozen=True, slots=True)
class SynthSummary:
    """What `generate` wrote.

    Attributes:
        path: the dataset's folder.
        train: images in `bounding_box_train`.
        query: images in `query`.
        gallery: images in `bounding_box_test`, distractors and junk included.
        distractors: gallery images of pid 0.
        junk: gallery images of pid -1.
    """

    path: str
    train: int
    query: int
    gallery: int
    distractors: int
    junk: int


@dataclass(frozen=True, slots=True)
class _Image:
    path: str
    pid: int
    camid: int
    quality: int
    drawing: Drawing


# Path, JPEG, and what `truth.json` says of it.
_File = tuple[str, bytes, dict[str, Any]]


def generate(
    out: Path,
    *,
    identities: int = 12,
    cameras: int = 3,
    images_per_camera: int = 5,
    seed: int = 0,
    overwrite: bool = False,
    workers: int = 1,
) -> SynthSummary:
    """Draw a dataset of pedestrians in the layout and with the file names of Market-1501.

    Even pids go to `bounding_box_train`, odd ones to `query` (the first image of each camera) and
    `bounding_box_test`; the gallery also gets two distractors per camera (pid 0: a false detection and a
    stranger) and a badly cut image of each of its people (pid -1). `truth.json` says what each image shows.

    The same arguments give the same bytes with the same versions of NumPy and OpenCV, whatever the workers, and an
    image stays as it is when more people, cameras or images are asked for.

    Args:
        out: folder to write, which is there whole or not at all.
        identities: people, 2 to 9999.
        cameras: 2 to 9.
        images_per_camera: images of each person by each camera, 2 to 99.
        seed: 0 or more.
        overwrite: replace a dataset that was drawn earlier.
        workers: processes that draw, one person at a time.

    Raises:
        ReidError: a number is out of range, `out` holds something else or cannot be written to.
    """
    parameters = Parameters(identities, cameras, images_per_camera, seed)
    _check(parameters)
    folders = (TRAIN, QUERY, GALLERY)
    entries = []
    with whole_folder(out, DATASET, overwrite=overwrite) as drawn:
        for folder in folders:
            (drawn / folder).mkdir()
        tasks = range(parameters.identities + 1)
        with closing(LocalExecutor(workers).map(_Job(parameters, drawn), tasks)) as people:
            for files in people:
                for path, jpeg, entry in files:
                    (drawn / path).write_bytes(jpeg)
                    entries.append(entry)
        entries.sort(key=lambda entry: (folders.index(entry["path"].partition("/")[0]), entry["path"]))
        (drawn / FILE_NAME).write_text(_document(parameters, entries), encoding="utf-8", newline="\n")

    def count(folder: str, pid: int | None = None) -> int:
        return sum(e["path"].startswith(f"{folder}/") and pid in (None, e["pid"]) for e in entries)

    return SynthSummary(
        str(out), count(TRAIN), count(QUERY), count(GALLERY), count(GALLERY, pid=0), count(GALLERY, pid=-1)
    )


def _check(parameters: Parameters) -> None:
    for name, low, high in (("identities", 2, 9999), ("cameras", 2, 9), ("images_per_camera", 2, 99)):
        value = getattr(parameters, name)
        if not low <= value <= high:
            raise ReidError(f"--{name.replace('_', '-')} is {value}; give a number from {low} to {high}")
    if parameters.seed < 0:
        raise ReidError(f"--seed is {parameters.seed}; give 0 or more")


@dataclass(frozen=True, slots=True)
class _Job:
    """Draws all images of a pid, a `Job`; 0 stands for the distractors."""

    parameters: Parameters
    out: Path
    in_threads: ClassVar[bool] = False

    def prepare(self) -> Callable[[int], list[_File]]:
        cameras = {
            camid: sample_camera(BACKDROPS[camid % len(BACKDROPS)], _rng(self.parameters.seed, _CAMERA, camid))
            for camid in range(1, self.parameters.cameras + 1)
        }

        def draw(pid: int) -> list[_File]:
            images = _person(self.parameters, cameras, pid) if pid else _distractors(self.parameters.seed, cameras)
            return [(image.path, encode_jpeg(image.drawing.image, image.quality), _entry(image)) for image in images]

        return draw


def _person(parameters: Parameters, cameras: Mapping[int, Camera], pid: int) -> Iterator[_Image]:
    seed = parameters.seed
    identity = sample_identity(_rng(seed, _IDENTITY, pid))
    order = _rng(seed, _VIEWS, pid).permutation(4)
    for camid, camera in cameras.items():
        for index in range(parameters.images_per_camera):
            rng = _rng(seed, _IMAGE, pid, camid, index)
            folder = TRAIN if pid % 2 == 0 else QUERY if index == 0 else GALLERY
            drawing = draw_person(identity, camera, _yaw(order, camid, rng), "detected", rng)
            path = f"{folder}/{_name(pid, camid, index)}"
            yield _Image(path, pid, camid, camera.quality, drawing)
        if pid % 2 == 1 and camid == 1 + pid // 2 % 2:
            yield _junk(seed, pid, camid, identity, camera)


def _distractors(seed: int, cameras: Mapping[int, Camera]) -> Iterator[_Image]:
    for camid, camera in cameras.items():
        for index in range(DISTRACTORS_PER_CAMERA):
            path = f"{GALLERY}/{_name(0, camid, index)}"
            yield _Image(path, 0, camid, camera.quality, _distractor(seed, camid, index, camera))


def _junk(seed: int, pid: int, camid: int, identity: Identity, camera: Camera) -> _Image:
    rng = _rng(seed, _JUNK, pid, camid)
    drawing = draw_person(identity, camera, rng.choice(VIEWS), "misplaced", rng)
    return _Image(f"{GALLERY}/{_name(-1, camid, pid)}", -1, camid, camera.quality, drawing)


def _distractor(seed: int, camid: int, index: int, camera: Camera) -> Drawing:
    rng = _rng(seed, _PASSER_BY, camid, index)
    if index % 2 == 0:
        return draw_nobody(camera, rng)
    return draw_person(sample_identity(rng), camera, rng.choice(VIEWS), "detected", rng)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def _yaw(order: NDArray[np.int64], camid: int, rng: np.random.Generator) -> float:
    """A person crosses a camera's place in one direction, and the next camera sees another side."""
    main = VIEWS[order[camid % 4]]
    return float(main + rng.normal(0, 0.15) + (rng.choice([-0.6, 0.6]) if rng.random() < 0.25 else 0.0))


def _name(pid: int, camid: int, index: int) -> str:
    """`0002_c1s1_000451_03.jpg`: person, camera and sequence, frame, number of the box in the frame."""
    person = "-1" if pid == -1 else f"{pid:04d}"
    return f"{person}_c{camid}s1_{451 + 25 * index:06d}_{1 + index % 4:02d}.jpg"


def _entry(image: _Image) -> dict[str, Any]:
    drawing = image.drawing
    return {
        "path": image.path,
        "pid": image.pid,
        "camid": image.camid,
        "yaw": None if drawing.yaw is None else round(drawing.yaw, 1),
        "joints": None if drawing.joints is None else np.round(drawing.joints, 3).tolist(),
        "visible": drawing.visible.tolist(),
    }


def _document(parameters: Parameters, entries: list[dict[str, Any]]) -> str:
    """One image a line, so that a person can read the file and a diff stays small."""
    head = {
        "schema": SCHEMA,
        "version": VERSION,
        "tool": TOOL,
        "joint_names": list(JOINTS),
        "parameters": asdict(parameters),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    images = ",\n".join(f"    {json.dumps(entry)}" for entry in entries)
    return "{\n" + ",\n".join(lines) + ',\n  "images": [\n' + images + "\n  ]\n}\n"
