"""Galleries in files: read in blocks, never copied as a whole."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from reidtrain.metrics import distances
from reidtrain.metrics.ranking import evaluate_features

QUERIES, GALLERY, DIMENSION = 20, 3000, 3000

LARGER_THAN_THE_LIMIT = """
import resource, sys
import numpy as np
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.retrieval.exact import search

gallery = np.load(sys.argv[1], mmap_mode="r")
query = np.zeros((3, gallery.shape[1]), np.float32)
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + gallery.nbytes // 2,) * 2)
try:
    np.array(gallery)
except MemoryError:
    print("no room for a copy")
labels = np.arange(3), np.arange(len(gallery)), np.zeros(3, int), np.ones(len(gallery), int)
print(int(evaluate_features(query, gallery, *labels).first_match_rank[0]) == len(gallery))
print(search(query, [gallery], top=2).indices[0].tolist())
"""


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_little_is_held_at_a_time(dtype, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    # Small whole numbers have exact distances, in blocks of any size.
    gallery = rng.integers(-9, 10, (GALLERY, DIMENSION), np.int8).astype(dtype)
    query = rng.integers(-9, 10, (QUERIES, DIMENSION)).astype(np.float32)
    labels = (
        rng.integers(0, 500, QUERIES),
        rng.integers(-1, 500, GALLERY),
        np.zeros(QUERIES, int),
        rng.integers(0, 3, GALLERY),
    )
    np.save(tmp_path / "gallery.npy", gallery)
    expected = evaluate_features(query, gallery, *labels)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 1 << 18)
    # What remains grows with the number of images, not with their features.
    tracemalloc.start()
    found = evaluate_features(query, np.load(tmp_path / "gallery.npy", mmap_mode="r"), *labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.average_precision, expected.average_precision)
    assert peak < gallery.nbytes / 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory as Linux does")
def test_a_gallery_larger_than_the_memory(tmp_path):
    path = tmp_path / "gallery.npy"
    # A sparse file: zeros that take no room on the disk.
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(1 << 16, 1 << 11)).flush()
    result = subprocess.run(
        [sys.executable, "-c", LARGER_THAN_THE_LIMIT, path], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split("\n")[:3] == ["no room for a copy", "True", "[0, 1]"], result.stderr
