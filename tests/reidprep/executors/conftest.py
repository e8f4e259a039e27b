"""A Ray cluster on this machine, and what is compared."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from reidprep.executors.ray import connected


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Connected to a cluster of two one-core workers, started as the commands do; its address."""
    # Not imported to find out: Ray reads what `connected` sets when it is imported.
    if find_spec("ray") is None:
        pytest.skip("needs Ray: pip install 'reidprep[ray]'")
    with connected(None, 2):
        import ray

        yield ray.get_runtime_context().gcs_address


@pytest.fixture
def contents():
    def read(path: Path) -> dict[str, bytes]:
        return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}

    return read
