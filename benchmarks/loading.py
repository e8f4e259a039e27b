"""Loading: shards at both storage scales against cutting crops out of the source images in the loader.

    python benchmarks/loading.py POSES [--samples 4096] [--rounds 5]

All three fill batches of 32 (whole body at 384x192, four parts at 96x192) in one single-threaded worker process of a
`DataLoader`, from the same samples in the same random order, in turns:

- on the fly, as re-identification toolkits do: decode the source image, five warps, flip, normalise to float32;
- from shards at full scale: decode five JPEGs, uint8;
- from shards at source scale: decode five smaller JPEGs, uint8.

Flip and normalisation of the latter two are left to the training device, and so is the rest of the resize of the last;
what that costs is timed apart, on `--device`. Times are those of a core, user and system, so that neighbours on a busy
machine count little. What storing does to the pixels is the difference between the network's input from shards and that
from crops which were never encoded.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reidprep.datasets.registry import open_images
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards, cut_crops
from reidprep.shards.format import VIEWS
from reidprep.shards.reader import ShardSet
from reidtrain.data.dataset import Batch, ShardDataset, collate
from reidtrain.data.preprocessing import Augmentation, ChannelMeans, Preprocessor, resize
from reidtrain.data.samplers import ShuffledBatchSampler

BATCH = 32
SCALES = ("full", "source")


class OnTheFly(Dataset):
    """What a toolkit without shards does for the same network input, with the fastest decoder and warps at hand."""

    def __init__(self, shards: ShardSet, source: Path) -> None:
        plan = shards.plan
        # The toolkit would hold the boxes in memory, as its list of files.
        self.boxes, self.pids = shards.column("boxes"), shards.pids
        self.paths = [str(source / path) for path in shards.column("paths")]
        self.shapes = [(*plan.whole_size, 3)] + [(*plan.part_size, 3)] * 4
        self.border = plan.border
        means = ChannelMeans.of(shards)
        self.means = torch.tensor([means.whole, *means.parts])[..., None, None]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        image = cv2.imread(self.paths[index], cv2.IMREAD_COLOR_RGB)
        flipped = torch.rand(()) < 0.5
        views = []
        for crop, mean in zip(cut_crops(image, self.boxes[index], self.shapes, self.border), self.means, strict=True):
            pixels = torch.from_numpy(cv2.flip(crop, 1) if flipped else crop)
            views.append(pixels.permute(2, 0, 1).contiguous().float().sub_(mean).div_(255))
        return views[0], torch.stack(views[1:]), int(self.pids[index])


def worker_seconds(dataset: Dataset, collate_fn: Callable | None, samples: int) -> float:
    """Seconds of one core per sample: all that a worker process, which never waits, takes from start to end."""
    count = min(samples, len(dataset)) // BATCH
    batches = list(ShuffledBatchSampler(len(dataset), BATCH, seed=0))[:count]
    loader = DataLoader(
        dataset, batch_sampler=batches, collate_fn=collate_fn, num_workers=1, worker_init_fn=single_thread
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in loader:
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / (count * BATCH)


def single_thread(worker: int) -> None:
    cv2.setNumThreads(1)


def device_seconds(work: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Median seconds of each, in turns; of one core if that is the device."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(20):
        for name, function in work.items():
            started = clock()
            function()
            if device != "cpu":
                torch.cuda.synchronize()
            times[name].append(clock() - started)
    return {name: median(values[2:]) for name, values in times.items()}


def resize_all(batch: Batch, sizes: Mapping[str, tuple[int, int]]) -> None:
    for view in ("whole", "parts"):
        resize(getattr(batch, view), sizes[view])


def network_input(shards: ShardSet, rows: list[int]) -> dict[str, torch.Tensor]:
    """What the network sees, in grey levels."""
    dataset = ShardDataset(shards, VIEWS)
    none = ChannelMeans((0.0,) * 3, ((0.0,) * 3,) * 4, (0.0,) * 3)
    batch = Preprocessor(none, divisor=1, sizes=shards.full_sizes)(collate([dataset[row] for row in rows]))
    return {view: getattr(batch, view).double() for view in VIEWS}


def never_encoded(shards: ShardSet, source: Path, rows: list[int]) -> dict[str, torch.Tensor]:
    """The same from crops that are cut at full size and never encoded."""
    plan = shards.plan
    images = open_images(plan.poses.dataset.name, source, plan.poses.dataset.options)
    shapes = [(*shards.full_sizes[view], 3) for view in ("whole", *["parts"] * 4, "image")]
    paths, boxes = shards.column("paths"), shards.column("boxes")
    crops = [cut_crops(images.read(str(paths[row])), boxes[row], shapes, plan.border) for row in rows]
    stacked = {
        "whole": [cut[0] for cut in crops],
        "parts": [np.stack(cut[1:5]) for cut in crops],
        "image": [cut[5] for cut in crops],
    }
    return {view: torch.from_numpy(np.stack(cut)).movedim(-1, -3).double() for view, cut in stacked.items()}


def compare_pixels(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str:
    texts = []
    for view in VIEWS:
        difference = found[view] - expected[view]
        psnr = 10 * torch.log10(255**2 / (difference**2).mean())
        texts.append(f"{view} {psnr:.1f} dB, mean difference {difference.abs().mean():.2f}")
    return "; ".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="a pose directory")
    parser.add_argument("--samples", type=int, default=4096, help="samples timed per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="where the resize is finished")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    poses = PoseSet(arguments.poses)
    with tempfile.TemporaryDirectory() as name:
        shards = {}
        for scale in SCALES:
            build_shards(
                arguments.poses, Path(name) / scale, BuildOptions(scale=scale, image_size=(256, 128)), workers=2
            )
            shards[scale] = ShardSet.open(Path(name) / scale, "train")
        loaders = {"on the fly": (OnTheFly(shards["full"], poses.source), None)}
        loaders |= {scale: (ShardDataset(shards[scale]), collate) for scale in SCALES}
        for dataset, collate_fn in loaders.values():
            worker_seconds(dataset, collate_fn, arguments.samples)  # reads the files into the system's memory
        times: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(arguments.rounds):
            for name, (dataset, collate_fn) in loaders.items():
                times[name].append(worker_seconds(dataset, collate_fn, arguments.samples))

        print(f"loading, one core, batches of {BATCH}, median of {arguments.rounds} rounds")
        for name in loaders:
            ratios = [other / own for other, own in zip(times["on the fly"], times[name], strict=True)]
            print(
                f"  {name:<11} {1e3 * median(times[name]):.3f} ms/sample, {1 / median(times[name]):.0f} samples/s, "
                f"{median(ratios):.2f} x on the fly ({min(ratios):.2f} to {max(ratios):.2f})"
            )

        rows = np.random.default_rng(0).choice(len(shards["full"]), 512, replace=False).tolist()
        work: dict[str, Callable[[], object]] = {}
        for scale in SCALES:
            dataset, sizes = ShardDataset(shards[scale]), shards[scale].full_sizes
            means = ChannelMeans.of(shards[scale])
            preprocess = Preprocessor(means, Augmentation(horizontal_flip=0.5), sizes=sizes).to(arguments.device)
            batch = collate([dataset[row] for row in rows[:BATCH]]).to(arguments.device)
            work[scale] = partial(preprocess, batch, torch.Generator().manual_seed(0))
            work[f"{scale}, resize alone"] = partial(resize_all, batch, sizes)
        print(f"left to the device ({arguments.device}, one thread): resize, flip, normalisation")
        for name, seconds in device_seconds(work, arguments.device).items():
            print(f"  {name:<20} {1e3 * seconds / BATCH:.3f} ms/sample")

        print(f"stored, and the network's input against crops never encoded ({len(rows)} samples)")
        expected = never_encoded(shards["full"], poses.source, rows)
        for scale in SCALES:
            everything = ShardSet.open(shards[scale].path)
            size = sum(entry.stat().st_size for entry in everything.path.iterdir()) / len(everything)
            print(f"  {scale:<11} {shards[scale].stored_sizes}, {size:.0f} bytes/sample with the plain image")
            print(f"  {'':<11} {compare_pixels(network_input(shards[scale], rows), expected)}")


if __name__ == "__main__":
    main()
