"""The folder of a run (docs/training.md): what was asked, on what, with what, and what came out."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reidprep.errors import ReidError
from reidprep.files import TOOL, FolderClaim, FolderKind, not_written, write_file
from reidprep.store.hdf5 import Schema
from reidprep.text import json_file
from reidtrain.recipes.loading import changes, differences, recipe_to_dict, recipe_to_yaml, stored_recipe
from reidtrain.recipes.schema import Recipe

SCHEMA = Schema("reidtrain.run", 1)
# What may change while a run goes on: no step comes out otherwise.
_SAME_RUN = ("validation.every", "validation.batch_size", "checkpoint.minutes")
_NOT_COMPARED = {"path": None, "plan": None, "validation": None}
_LIBRARIES = ("torch", "lightning", "numpy", "h5py", "opencv-python-headless")
RUN = FolderKind(
    "a run",
    SCHEMA.name,
    "run.json",
    r"recipe\.yaml|metrics\.csv|curves\.(?:png|pdf|svg)|scores\.json|checkpoints|tensorboard|evaluation|explore",
)


class RunFolder:
    """Writes what a run leaves behind. One process of a run, the first, has one.

    A run is known by its recipe, the data and the weights it started from: only the same goes on in the same folder,
    validated otherwise perhaps, or with more epochs of the last stage. One without any checkpoint claims nothing.
    Use as a context manager; the folder is locked meanwhile.

    Args:
        path: the folder; made if need be.
        recipe: the recipe.
        source: what is trained on; its `path` may change, and its `plan`, which runs of before did not keep, follows
            from the hash of the manifest.
        init: the weights that training starts from.
        overwrite: remove what an earlier run left.

    Attributes:
        about: what run.json says.
        longer: of how many epochs the run was to be before, if of fewer than now; else None.

    Raises:
        ReidError: the folder holds another run, or something else; the differences are named.
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        source: Mapping[str, Any],
        init: Mapping[str, Any] | None,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self.recipe, self.source, self.init = recipe, source, init
        self._claim = FolderClaim(path, RUN, overwrite=overwrite)
        try:
            earlier = None if overwrite or not any(path.glob("checkpoints/*.ckpt")) else self._claim.earlier
            self.longer: int | None = None
            if earlier is not None:
                if earlier.get("version") != SCHEMA.version:
                    raise ReidError(
                        f"{self.path}: {SCHEMA.name} version {earlier.get('version')} is not known to {TOOL}; choose "
                        "another folder, or --overwrite to start anew"
                    )
                self.check_same(path / "run.json", earlier)
            else:
                self._claim.clear()
        except BaseException:
            self.close()
            raise
        self.about: dict[str, Any] = {"seconds": 0.0, **(earlier or {})}
        self._started = {
            "schema": SCHEMA.name,
            "version": SCHEMA.version,
            "tool": TOOL,
            "status": "running",
            "source": dict(source),
            "init": None if init is None else dict(init),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
            "machine": {
                "system": platform.platform(),
                "cores": os.cpu_count(),
                "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
            },
            "started": self.about.get("started", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
            "seconds": self.about["seconds"],
            "recipe": recipe_to_dict(recipe),
        }

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others have the folder."""
        self._claim.close()

    def begin(self) -> None:
        """Write what is known at the start, or when a run goes on. The folder of a run that has ended stays as it is.

        Raises:
            ReidError: the folder cannot be written to.
        """
        self.write(**self._started)
        write_file(self.path / "recipe.yaml", recipe_to_yaml(self.recipe).encode())
        checkpoints = self.path / "checkpoints"
        try:
            checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise not_written(checkpoints, error) from None

    def write(self, **fields: Any) -> None:
        """Write run.json, with some fields new."""
        self.about |= fields
        write_file(self.path / "run.json", json_file(self.about))

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv: a row for each epoch; figures an epoch does not have stay empty."""
        names = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_file(self.path / "metrics.csv", text.getvalue().encode())

    def check_same(self, file: Path, earlier: Mapping[str, Any]) -> None:
        """Make sure that a file of the folder is of this run.

        Args:
            file: run.json, or a checkpoint.
            earlier: what it says: `recipe`, `source`, `init`.

        Raises:
            ReidError: it is of another one; the differences are named.
        """
        try:
            changed = changes(recipe_to_dict(self.recipe), stored_recipe(earlier["recipe"]))
            last = f"stages.{len(self.recipe.stages) - 1}.epochs"
            new, old = changed.get(last, (0, 0))
            if not self.recipe.training.max_minutes and old != "absent" and new > old:
                del changed[last]
                self.longer = self.recipe.epochs - new + old
            found = [f"--set {key} is {new}, was {old}" for key, (new, old) in changed.items() if key not in _SAME_RUN]
            ours, theirs = (json.loads(json.dumps(_compared(each))) for each in (self.source, earlier["source"]))
            found += [f"data: {entry}" for entry in differences(ours, theirs)]
            ours, theirs = ({"sha256": (entry or {}).get("sha256")} for entry in (self.init, earlier["init"]))
            found += [f"--init: {entry}" for entry in differences(ours, theirs)]
            float(earlier.get("seconds", 0.0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ReidError(
                f"{file}: a field is missing or wrong ({error!r}); choose another folder, or --overwrite to start anew"
            ) from None
        if found:
            raise ReidError(
                f"{file}: holds a run that differs: {'; '.join(found[:5])}{' ...' if len(found) > 5 else ''}. "
                "Choose another folder, or --overwrite to start anew"
            )


def _compared(source: Mapping[str, Any]) -> dict[str, Any]:
    """What must stay the same of the data that is trained on."""
    sets = {name: {**entry, "path": None} for name, entry in source.get("sets", {}).items()}
    return {**source, **_NOT_COMPARED, **({"sets": sets} if sets else {})}
