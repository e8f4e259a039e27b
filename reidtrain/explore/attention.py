"""Where a network looks in a sample: computed when it is asked for, one at a time, and kept."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from reidprep.errors import ReidError
from reidprep.files import claim_file, read_file, write_file
from reidprep.images import encode_jpeg
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import Checkpoint
from reidtrain.explore.sources import Explored
from reidtrain.features.extractor import Computing
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.self_attention import SelfAttentionConfig
from reidtrain.plots.attention import viewed_network
from reidtrain.plots.attention_cards import Viewed, attention_cards

_KEPT = 256
"""Pictures held in memory."""
_QUALITY = 90


class Attention:
    """The attention of a run's network. Safe to use from several threads.

    The deepest maps are shown: those of block 4 over the whole body and over the parts, or that of stage 6.

    Args:
        explored: the run, the shards, and the folder that pictures are kept in.
    """

    def __init__(self, explored: Explored) -> None:
        self._checkpoint: Checkpoint = explored.checkpoint
        self._computing: Computing = explored.computing
        self._shards = ShardSet.open(explored.shards)
        self._folder: Path = explored.file("attention")
        self._version = str(explored.wanted["checkpoint_sha256"])[:12]
        self.names = _names(explored.checkpoint.recipe.model)
        """Of the pictures that there are of a sample."""
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._viewed: Viewed | None = None
        self._computed = Lock()
        self._lock = Lock()

    def picture(self, row: int, name: str) -> bytes:
        """A JPEG of a sample under the heat of its attention.

        Args:
            row: the sample.
            name: one of `names`.

        Raises:
            ReidError: another name, a damaged sample, or a network that the memory does not hold.
        """
        if name not in self.names:
            raise ReidError("there is no such picture")
        file = self._file(row, name)
        with self._lock:
            if file.name in self._recent:
                self._recent.move_to_end(file.name)
                return self._recent[file.name]
        data = self._read(file)
        if data is None:
            # One at a time: all images of a page are asked for at once.
            with self._computed:
                data = self._read(file) or self._compute(row)[name]
        with self._lock:
            self._recent[file.name] = data
            while len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
        return data

    def _file(self, row: int, name: str) -> Path:
        return self._folder / f"{self._version}-{row}-{re.sub(' ', '-', name)}.jpg"

    def _read(self, file: Path) -> bytes | None:
        try:
            return read_file(file)
        except OSError:
            return None

    def _compute(self, row: int) -> dict[str, bytes]:
        if self._viewed is None:
            self._viewed = viewed_network(self._checkpoint, self._computing)
        card = attention_cards([self._viewed], self._shards, [row])[0]
        _, rows = card.groups[0]
        found = {
            name: encode_jpeg(each.panels[-1].picture, _QUALITY) for name, each in zip(self.names, rows, strict=True)
        }
        for name, data in found.items():
            file = self._file(row, name)
            if not self._folder.exists():
                claim_file(file)
            write_file(file, data)
        return found


def _names(model: AttentionDrivenConfig | SelfAttentionConfig) -> tuple[str, ...]:
    """What the rows of an `AttentionCard` show of such a network."""
    if isinstance(model, SelfAttentionConfig):
        return ("whole image",)
    if model.attention == "none":
        return ()
    whole = ["whole body"] if "whole" in model.branches else []
    return (*whole, *(["parts"] if set(model.branches) - {"whole"} else []))
