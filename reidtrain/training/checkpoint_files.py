"""The checkpoint files of a run: written by a thread beside the steps, whole or not at all."""

from __future__ import annotations

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from secrets import randbits
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection

from reidprep.errors import ReidError
from reidprep.files import whole_file
from reidtrain.checkpoints import read_checkpoint


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, and are read without unpickling anything but plain values.

    A thread writes them beside the steps, one after the other. `wait` for it before processes are forked, which would
    take over its locks.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Copy the weights as they are now, and have them written."""
        self.wait()
        copied = apply_to_collection(checkpoint, torch.Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))
        self._writing = self._thread.submit(_write, copied, Path(path))

    def save_again(self, path: Path, again: Path) -> None:
        """Have what was just saved under a second name, too."""
        self.wait()
        self._writing = self._thread.submit(_write_again, path, again)

    def wait(self) -> None:
        """Until the last checkpoint is written.

        Raises:
            ReidError: it cannot be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def teardown(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint as all of them are read here: no pickle (`reidtrain.checkpoints`)."""
        content = read_checkpoint(Path(path))
        if missing := sorted({"loops", "optimizer_states"} - content.keys()):
            raise ReidError(
                f"{path}: holds no {' and no '.join(missing)}, without which a run cannot go on; its weights can start "
                "another, by --init with a new --out"
            )
        return content


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    buffer = io.BytesIO()
    # Not into the file: what a full disk does to PyTorch's writer cannot be told from other errors.
    torch.save(checkpoint, buffer)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def _write_again(path: Path, again: Path) -> None:
    link = again.with_name(f".{again.name}.{randbits(64)}.tmp")
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        with whole_file(again) as file:
            file.write(path.read_bytes())
    else:
        link.replace(again)
